// The filter: three groups of boxes; everything that shows runs follows the boxes that are ticked.
const form = document.getElementById("filter");
let filtered = false;
// Until something has been filtered the tables are as they were written.
const followers = [(chosen) => filtered && rateTables(chosen)];
const ticked = (name) => new Set([...form.querySelectorAll(`input[name=${name}]:checked`)].map((box) => Number(box.value)));

// What the filter has chosen, in words: which families, sizes and methods, and how much of each remains.
const MOST_NAMES = 4;
const nameSome = (noun, chosen, names, many) => {
  if (!chosen.size) return `no ${noun}`;
  // Whichever list is shorter: those that were chosen, or those that were not.
  const fewer = names.length - chosen.size < chosen.size;
  const told = names.filter((_, index) => chosen.has(index) !== fewer).map((name) => name || "(imported)");
  const rest = told.length - MOST_NAMES;
  const list = `${told.slice(0, MOST_NAMES).join(", ")}${rest > 0 ? ` and ${countText(rest)} more` : ""}`;
  return fewer ? `all ${many} but ${list}` : `${told.length === 1 ? noun : many} ${list}`;
};
const tellChosen = (chosen, families, sizes, methods) => {
  const parts = [];
  const add = (noun, ticks, names, many) => ticks.size < names.length && parts.push(nameSome(noun, ticks, names, many));
  add("family", families, report.families.map((family) => family.name), "families");
  add("size", sizes, report.sizes, "sizes");
  add("method", methods, report.methods.map((method) => method.name), "methods");
  const left = new Set(chosen.map((run) => run.instanceIndex)).size;
  return { what: parts.join("; "), left: `${countText(left)} of ${plural(report.instances.length, "instance")}` };
};

const applyFilter = () => {
  const [families, sizes, methods] = ["family", "size", "method"].map(ticked);
  const chosen = runs.filter((run) => families.has(run.family) && sizes.has(run.size) && methods.has(run.method));
  const whole = chosen.length === runs.length;
  filtered ||= !whole;
  document.documentElement.classList.toggle("filtered", !whole);
  form.querySelector("#filter-status").textContent = whole
    ? `All ${plural(runs.length, "run")}: ${plural(families.size, "family", "families")}, ${plural(sizes.size, "size")}, ${plural(methods.size, "method")}`
    : `${countText(chosen.length)} of ${plural(runs.length, "run")}: ${countText(families.size)} of ${plural(report.families.length, "family", "families")}, ${countText(sizes.size)} of ${plural(report.sizes.length, "size")}, ${countText(methods.size)} of ${plural(report.methods.length, "method")}`;
  document.querySelectorAll("[data-filter]").forEach((row) => {
    const { family, size, method } = row.dataset;
    row.hidden =
      (family !== undefined && !families.has(Number(family))) ||
      (size !== undefined && !sizes.has(Number(size))) ||
      (method !== undefined && !methods.has(Number(method)));
  });
  const told = tellChosen(chosen, families, sizes, methods);
  document.querySelectorAll(".chosen").forEach((box) => {
    box.textContent = whole ? "" : `Filtered: ${told.what}; ${told.left} and ${countText(chosen.length)} of ${plural(runs.length, "run")} remain.`;
  });
  for (const follow of followers) follow(chosen, whole ? null : told);
};

if (form) {
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", applyFilter);
  form.querySelectorAll("button[data-tick]").forEach((button) => {
    button.addEventListener("click", () => {
      button.closest("fieldset").querySelectorAll("input").forEach((box) => (box.checked = button.dataset.tick === "all"));
      applyFilter();
    });
  });
  form.querySelector("#filter-reset").addEventListener("click", () => {
    form.querySelectorAll("input").forEach((box) => (box.checked = true));
    applyFilter();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    form.querySelector("details").open = false;
    form.querySelector("summary").focus();
  });
  document.addEventListener("pointerdown", (event) => {
    if (!form.contains(event.target)) form.querySelector("details").open = false;
  });
}
