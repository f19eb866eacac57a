// The runs of the page, and which of them the filter has chosen.
const element = document.getElementById("report-data");
const report = element ? JSON.parse(element.content.textContent) : null;
const NUMBERS = ["saving_ratio", "latency_ratio", "bound_gap", "certified_gap", "seconds", "saving_ms", "latency_ms", "bound_saving_ms", "known_gap", "known_bound_gap", "primal_integral", "primal_dual_integral"];
const runs = [];
if (report) {
  const columns = report.runs;
  columns.instance.forEach((instance, index) => {
    const run = { index, instance: report.instances[instance], instanceIndex: instance, method: columns.method[index] };
    run.family = run.instance.family;
    run.size = run.instance.size;
    for (const name of ["failure", "seed"]) run[name] = columns[name][index];
    for (const name of ["solved", "unsupported", "proven", "refuted", "limited"]) run[name] = columns[name][index] === 1;
    for (const name of NUMBERS) {
      const value = columns[name][index];
      run[name] = value === null ? NaN : Number(value);
    }
    runs.push(run);
  });
}
const methodName = (run) => report.methods[run.method].name;
const known = (list, name) => list.filter((run) => !Number.isNaN(run[name]));

// Elements with text; names are only ever set as text.
const make = (tag, className, text) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};
