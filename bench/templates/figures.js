// The interactive figures, drawn from the runs that the filter has chosen.
const COLOURS = 8;
const tellRun = (run) => {
  const lines = [run.instance.name, methodName(run) + (run.seed === null ? "" : `, seed ${run.seed}`)];
  if (!Number.isNaN(run.saving_ratio)) lines.push(`F / F* ${savingRatioText(run.saving_ratio)}, T / T* ${latencyRatioText(run.latency_ratio)}`);
  if (!Number.isNaN(run.bound_gap)) lines.push(`gap to the bound ${gapText(run.bound_gap)}`);
  if (!Number.isNaN(run.saving_ms)) lines.push(`saves ${valueText(run.saving_ms)} ms per token`);
  lines.push(`${secondsText(run.seconds)}${run.limited ? ", stopped by the time limit" : ""}`);
  return lines;
};
const methodLook = (index) => ({ colour: (index % COLOURS) + 1, mark: (index + Math.floor(index / COLOURS)) % COLOURS, dash: Math.floor(index / COLOURS) % 4 });
const least = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
const most = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);
const timeAxis = (values, label) => {
  const low = Math.max(1e-6, least(values));
  const high = Math.max(low, most(values));
  return { scale: "log", label, low: low / 1.4, high: Math.max(high, 3 * low) * 1.4, text: secondsTick };
};
const EMPTY_AXIS = { scale: "linear", label: "", low: 0, high: 1, text: String };

const gapFigure = (column, label) => (chosen) => {
  const gapOf = (run) => (column === "saving_ratio" ? 1 - run.saving_ratio : run[column]) * 100;
  const measured = known(chosen, column);
  const groups = new Map();
  for (const run of measured) groups.set(run.method, [...(groups.get(run.method) ?? []), run]);
  // Exact methods that are perfect wherever they answer have nothing to show.
  const perfect = [...groups.keys()].filter((method) => report.methods[method].exact && most(groups.get(method).map(gapOf)) <= 100 * NOISE);
  if (perfect.length < groups.size) for (const method of perfect) groups.delete(method);
  const shown = measured.filter((run) => groups.has(run.method));
  const lanes = [...groups.keys()]
    .map((method) => ({ method, mean: mean(groups.get(method).map(gapOf)) }))
    .sort((a, b) => a.mean - b.mean || a.method - b.method);
  const row = new Map(lanes.map((lane, index) => [lane.method, index]));
  const families = [...new Set(shown.map((run) => run.family))].sort((a, b) => a - b);
  const high = Math.max(1, most(shown.map(gapOf)));
  return {
    label: `Gap of each method, in percent of ${label}`,
    height: 60 + Math.max(2, lanes.length) * 40,
    x: { scale: "symlog", threshold: 0.01, label: `gap, % of ${label}`, low: 0, high: high * 1.15, text: (v) => String(v) },
    y: { scale: "linear", low: lanes.length - 0.5, high: -0.5, names: lanes.map((lane) => report.methods[lane.method].name), notes: lanes.map((lane) => `${report.methods[lane.method].exact ? "exact, " : ""}n = ${countText(groups.get(lane.method).length)}`) },
    bars: lanes.map((lane, index) => ({ x: lane.mean, y: index })),
    series: families.map((family, index) => {
      const look = report.families[family];
      const offset = families.length > 1 ? -0.3 + (0.6 * index) / (families.length - 1) : 0;
      return {
        name: look.name, colour: look.colour, mark: look.marker, filled: look.filled, small: shown.length > 600,
        points: shown.filter((run) => run.family === family).map((run) => ({ x: Math.max(0, gapOf(run)), y: row.get(run.method) + offset, text: tellRun(run) })),
      };
    }),
  };
};

const byMethod = (shown) => {
  const groups = new Map();
  for (const run of shown) groups.set(run.method, [...(groups.get(run.method) ?? []), run]);
  return [...groups].sort(([a], [b]) => report.methods[a].name.localeCompare(report.methods[b].name));
};

const timeFigure = (chosen) => {
  const shown = known(chosen.filter((run) => run.solved), "seconds");
  const size = (run) => Math.max(1, run.instance.clauses);
  const sizes = shown.map(size);
  return {
    label: "Time of each run against the size of its instance",
    height: 440,
    x: shown.length ? { scale: "log", label: "size of the instance, clauses", low: least(sizes) / 1.3, high: Math.max(most(sizes), 3 * least(sizes)) * 1.3, text: countText } : EMPTY_AXIS,
    y: shown.length ? timeAxis(shown.map((run) => run.seconds), "time") : EMPTY_AXIS,
    series: byMethod(shown).map(([method, own]) => {
      const groups = new Map();
      for (const run of own) {
        const group = Math.round(3 * Math.log10(size(run)));
        groups.set(group, [...(groups.get(group) ?? []), run]);
      }
      return {
        name: report.methods[method].name, ...methodLook(method), small: true,
        dash: report.methods[method].exact ? 1 : 0,
        points: own.map((run) => ({ x: size(run), y: Math.max(1e-6, run.seconds), hollow: run.limited, text: tellRun(run) })),
        line: [...groups.keys()].sort((a, b) => a - b).map((group) => [median(groups.get(group).map(size)), Math.max(1e-6, median(groups.get(group).map((run) => run.seconds)))]),
      };
    }),
  };
};

// Costs by instance and method: the median over seeds, infinite where nothing was found.
const costTable = (shown, counts) => {
  const table = new Map();
  for (const run of shown) {
    if (!table.has(run.instanceIndex)) table.set(run.instanceIndex, new Map());
    const row = table.get(run.instanceIndex);
    if (!row.has(run.method)) row.set(run.method, []);
    if (counts(run)) row.get(run.method).push(run.seconds);
  }
  const methods = [...new Set(shown.map((run) => run.method))].sort((a, b) => a - b);
  const rows = [...table.values()].map((row) =>
    methods.map((method) => (row.get(method)?.length ? median(row.get(method)) : Infinity)));
  return { methods, rows };
};
const stepSeries = (method, corners, end, tell) => ({
  name: report.methods[method].name, ...methodLook(method), mark: undefined, steps: true,
  points: corners.map(([x, y]) => ({ x, y, text: [report.methods[method].name, ...tell(x, y)] })),
  line: corners.length ? [...corners, [end, corners.at(-1)[1]]] : [],
});
const FLOOR_S = 1e-3;
// Shares within a factor of the fastest (Dolan and Moré): see bench/statistics/profiles.py.
const performanceProfile = ({ methods, rows }) => {
  const ratios = rows.map((row) => {
    const floored = row.map((cost) => Math.max(cost, FLOOR_S));
    const best = least(floored);
    return floored.map((cost) => (Number.isFinite(cost) ? cost / best : Infinity));
  });
  return methods.map((method, column) => {
    const own = ratios.map((row) => row[column]).filter(Number.isFinite).sort((a, b) => a - b);
    const corners = [[1, 0]];
    own.forEach((factor, index) => {
      const share = (index + 1) / rows.length;
      if (factor === corners.at(-1)[0]) corners.at(-1)[1] = share;
      else corners.push([factor, share]);
    });
    return { method, corners };
  });
};
const profileFigure = (chosen) => {
  const table = costTable(chosen, (run) => run.solved);
  const profile = performanceProfile(table);
  const end = Math.max(3, most(profile.map((each) => each.corners.at(-1)[0]))) * 1.3;
  return {
    label: "Performance profile of time",
    height: 380,
    x: { scale: "log", label: "factor of the fastest time", low: 1, high: end, text: countText },
    y: { scale: "linear", label: "% of instances", low: 0, high: 102, text: String },
    series: profile.map(({ method, corners }) =>
      stepSeries(method, corners.map(([factor, share]) => [factor, 100 * share]), end, (factor, share) => [`${share.toFixed(1)} % of ${plural(table.rows.length, "instance")}`, `within ${shortText(factor, 3)} times the fastest`])),
  };
};
const quantileFigure = (chosen) => {
  const table = costTable(chosen.filter((run) => report.methods[run.method].exact), (run) => run.proven && run.solved);
  const curves = table.methods
    .map((method, column) => ({ method, times: table.rows.map((row) => row[column]).filter(Number.isFinite).sort((a, b) => a - b) }))
    .filter(({ times }) => times.length);
  const all = curves.flatMap(({ times }) => times);
  const x = all.length ? timeAxis(all, "time for each instance") : EMPTY_AXIS;
  return {
    label: "Instances proven optimal within a time",
    height: 380,
    x,
    y: { scale: "linear", label: "instances", low: 0, high: Math.max(1, ...curves.map(({ times }) => times.length)) * 1.04, text: String },
    series: curves.map(({ method, times }) =>
      stepSeries(method, times.map((time, index) => [Math.max(1e-6, time), index + 1]), x.high, (time, count) => [`${plural(count, "instance")} within ${secondsText(time)} each`])),
  };
};

// Mean gap of the runs of each method over time: see bench/anytime.py. Long trajectories are thinned in the page.
const LEAST_S = 1e-3;
const POINTS = 160;
const courses = new Map();
if (report) for (const page of report.pages) for (const each of page.trajectories) courses.set(each.run, each);
const gapAt = (run, reference) => {
  const told = courses.get(run.index) ?? { seconds: [run.seconds], savings: [Number.isNaN(run.saving_ms) ? null : run.saving_ms] };
  const corners = [];
  let best = -Infinity;
  if (!run.refuted) {
    told.seconds.forEach((seconds, index) => {
      if (typeof told.savings[index] !== "number") return;
      best = Math.max(best, told.savings[index]);
      corners.push([seconds, reference === 0 ? 0 : Math.min(1, Math.max(0, (reference - best) / reference))]);
    });
  }
  return corners;
};
const meanGaps = (chosen) => {
  const measured = chosen.filter((run) => !run.unsupported && run.instance.reference !== null && run.instance.horizon !== null);
  const end = most(measured.map((run) => run.instance.horizon));
  const begin = Math.min(LEAST_S, end / 10);
  const times = Array.from({ length: POINTS }, (_, index) => begin * (end / begin) ** (index / (POINTS - 1)));
  const curves = byMethod(measured).map(([method, own]) => {
    const sums = times.map(() => 0);
    for (const run of own) {
      const corners = gapAt(run, run.instance.reference);
      let next = 0;
      times.forEach((time, index) => {
        while (next < corners.length && corners[next][0] <= time) next++;
        sums[index] += next ? corners[next - 1][1] : 1;
      });
    }
    return { method, gaps: sums.map((sum) => (100 * sum) / own.length), count: own.length };
  });
  return { times, curves };
};
const gapOverTimeFigure = (chosen) => {
  const { times, curves } = meanGaps(chosen);
  return {
    label: "Mean gap over time",
    height: 400,
    x: curves.length ? { scale: "log", label: "time since the method began", low: times[0], high: times.at(-1), text: secondsTick } : EMPTY_AXIS,
    y: { scale: "symlog", threshold: 0.01, label: "mean gap, %", low: 0, high: 120, text: String },
    series: curves.map(({ method, gaps, count }) => {
      const corners = times.map((time, index) => [time, gaps[index]]).filter(([, gap], index) => index === 0 || gap !== gaps[index - 1]);
      return stepSeries(method, corners, times.at(-1), (time, gap) => [`mean gap ${gapText(gap / 100)} of ${plural(count, "run")}`, `from ${secondsText(time)} on`]);
    }),
  };
};

const FIGURES = {
  "gap-over-time": gapOverTimeFigure,
  "gap-to-optimum": gapFigure("saving_ratio", "the largest saving"),
  "gap-to-bound": gapFigure("bound_gap", "the bound"),
  time: timeFigure,
  profile: profileFigure,
  quantiles: quantileFigure,
};
const plots = new Map();
const headings = new Map();
const drawFigures = (chosen, told) => {
  document.querySelectorAll(".live[data-figure]").forEach((box) => {
    const spec = FIGURES[box.dataset.figure](chosen);
    // The heading as written tells what all runs show; of a part of them it would not be true.
    const heading = box.closest("figure").querySelector("h3");
    if (!headings.has(heading)) headings.set(heading, heading.textContent);
    heading.textContent = told ? `${spec.label}: ${told.what} (${told.left})` : headings.get(heading);
    if (plots.has(box)) plots.get(box).show(spec);
    else {
      box.hidden = false;
      box.closest("figure").classList.add("has-live");
      plots.set(box, new Plot(box, spec));
    }
  });
};
if (form) followers.push(drawFigures);
