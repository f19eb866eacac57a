// Recomputes the tables for the runs that the filter has chosen; sorts them by a pressed heading.
const setCell = (cell, value, text, below) => {
  cell.dataset.value = Number.isNaN(value) ? "" : value === Infinity ? "inf" : String(value);
  cell.replaceChildren(text);
  if (below) cell.append(make("small", "", below));
};
const worstOf = (list, name, down) => {
  let worst = null;
  for (const run of list) if (!worst || (down ? run[name] < worst[name] : run[name] > worst[name])) worst = run;
  return worst;
};
const TEXTS = { saving_ratio: savingRatioText, latency_ratio: latencyRatioText, bound_gap: gapText, certified_gap: gapText };
for (const name of ["known_gap", "known_bound_gap", "primal_integral", "primal_dual_integral"]) TEXTS[name] = beatenText;
const PERFECT = new Set(["1.0000", "0.00 %"]);

// Count (when asked for), mean and worst of a measure, into cells from a position; returns the next one.
const rateMeasure = (cells, next, chosen, name, down, counted) => {
  const measured = known(chosen, name);
  const worst = worstOf(measured, name, down);
  const text = TEXTS[name];
  if (counted) setCell(cells[next++], measured.length, countText(measured.length));
  const middle = mean(measured.map((run) => run[name]));
  setCell(cells[next++], middle, text(middle));
  const extreme = worst ? worst[name] : NaN;
  setCell(cells[next++], extreme, text(extreme), worst && !PERFECT.has(text(extreme)) ? worst.instance.name : "");
  return next;
};

// The cells of a row of the tables of methods: see rating_cells in macros.html.j2.
const rateRow = (cells, chosen) => {
  let next = 0;
  const rating = (name, down, counted) => {
    next = rateMeasure(cells, next, chosen, name, down, counted);
  };
  rating("saving_ratio", true, true);
  rating("latency_ratio", false, false);
  if (report.gaps) rating("bound_gap", false, true);
  if (report.certified) rating("certified_gap", false, true);
  const solved = chosen.filter((run) => run.solved);
  const seconds = known(solved, "seconds").map((run) => run.seconds);
  const middle = median(seconds);
  const longest = seconds.length ? seconds.reduce((a, b) => Math.max(a, b)) : NaN;
  setCell(cells[next++], middle, secondsText(middle));
  setCell(cells[next++], longest, secondsText(longest));
  const unsupported = chosen.filter((run) => run.unsupported).length;
  const failed = chosen.length - solved.length - unsupported;
  const missing = [failed ? `${countText(failed)} failed` : "", unsupported ? `${countText(unsupported)} unsupported` : ""];
  setCell(cells[next], solved.length, `${countText(solved.length)} of ${countText(chosen.length)}`, missing.filter(Boolean).join(", "));
};

const rateTables = (chosen) => {
  const groups = new Map();
  for (const run of chosen) {
    for (const key of [`${run.method}`, `${run.method}/${run.family}`, `${run.method}/size ${run.size}`]) {
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(run);
    }
  }
  document.querySelectorAll("tr[data-rated]").forEach((row) => {
    const { method, family } = row.dataset;
    const own = groups.get(family === undefined ? method : `${method}/${family}`) ?? [];
    row.hidden = own.length === 0;
    if (own.length) rateRow([...row.cells].slice(family === undefined ? 1 : 2), own);
  });
  document.querySelectorAll("tr[data-measures]").forEach((row) => {
    const { method, measures, reached } = row.dataset;
    const own = groups.get(method) ?? [];
    const names = measures.split(" ");
    row.hidden = !known(own, names[0]).length;
    if (row.hidden) return;
    const cells = [...row.cells].slice(1);
    let next = 0;
    if (reached) {
      const count = known(own, reached).filter((run) => run[reached] <= NOISE).length;
      setCell(cells[next++], count, countText(count));
    }
    for (const name of names) next = rateMeasure(cells, next, own, name, false, true);
  });
  document.querySelectorAll("table.matrix").forEach((table) => {
    const name = table.dataset.column;
    const used = new Set();
    for (const row of table.tBodies[0].rows) {
      let filled = false;
      for (const cell of [...row.cells].slice(1)) {
        const own = known(groups.get(`${cell.dataset.method}/${row.dataset.family}`) ?? [], name);
        cell.classList.toggle("shade", own.length > 0);
        if (!own.length) {
          cell.replaceChildren();
          delete cell.dataset.value;
          continue;
        }
        filled = true;
        used.add(cell.dataset.method);
        const middle = mean(own.map((run) => run[name]));
        setCell(cell, middle, TEXTS[name](middle), TEXTS[name](worstOf(own, name, name === "saving_ratio")[name]));
        const share = name === "saving_ratio" ? middle : 1 - middle;
        cell.style.setProperty("--share", (Math.min(1, Math.max(0, share)) ** 4).toFixed(3));
      }
      row.hidden = !filled;
    }
    table.querySelectorAll("[data-method]").forEach((cell) => (cell.hidden = !used.has(cell.dataset.method)));
  });
  document.querySelectorAll("#table-times tbody tr").forEach((row) => {
    let filled = false;
    for (const cell of [...row.cells].slice(1)) {
      const own = (groups.get(`${row.dataset.method}/size ${cell.dataset.size}`) ?? []).filter((run) => run.solved);
      cell.replaceChildren();
      delete cell.dataset.value;
      if (!own.length) continue;
      filled = true;
      const seconds = own.map((run) => run.seconds);
      setCell(cell, median(seconds), secondsText(median(seconds)), secondsText(Math.max(...seconds)));
      const limited = own.filter((run) => run.limited).length;
      if (limited) cell.lastChild.append(make("br"), `${countText(limited)} of ${countText(own.length)} stopped`);
    }
    row.hidden = !filled;
  });
  const failures = new Map();
  for (const run of chosen) if (run.failure !== null) failures.set(run.failure, (failures.get(run.failure) ?? 0) + 1);
  document.querySelectorAll("tr[data-failure]").forEach((row) => {
    const count = failures.get(Number(row.dataset.failure)) ?? 0;
    row.hidden = count === 0;
    setCell(row.cells[2], count, countText(count));
  });
};

document.querySelectorAll("table.sortable").forEach((table) => {
  const body = table.tBodies[0];
  const heads = table.querySelectorAll("th[data-column]");
  const key = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    const number = Number(text.replace("inf", "Infinity"));
    return { empty: text === "", number: text !== "" && !Number.isNaN(number) ? number : null, text };
  };
  heads.forEach((head) => {
    const button = document.createElement("button");
    button.type = "button";
    while (head.firstChild) button.append(head.firstChild);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const column = Number(head.dataset.column);
      const compare = ([a], [b]) => {
        if (a.empty !== b.empty) return a.empty ? 1 : -1;
        const order =
          a.number !== null && b.number !== null
            ? a.number - b.number || 0
            : a.text.localeCompare(b.text);
        return up ? order : -order;
      };
      const keyed = [...body.rows].map((row) => [key(row, column), row]);
      body.append(...keyed.sort(compare).map(([, row]) => row));
    });
  });
});
