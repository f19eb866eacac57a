// The page of each instance: its trajectories and its placement are drawn when it is opened.
const trajectoryPlot = (page, instance) => {
  const drawn = page.trajectories
    .map((each) => ({ ...each, run: runs[each.run] }))
    .filter((each) => each.seconds.length);
  const values = drawn.flatMap((each) => [...each.savings, ...each.bounds]).filter((value) => typeof value === "number");
  if (!values.length) return null;
  const end = most(drawn.map((each) => Math.max(each.run.seconds, each.seconds.at(-1))));
  const x = timeAxis(drawn.flatMap((each) => [each.seconds[0], end]), "time since the method began");
  const goal = instance.optimum ?? instance.bound;
  const top = Math.max(...values.filter((value) => goal === null || value <= 2 * goal), goal ?? 0);
  const bottom = least(values);
  const spare = 0.06 * (top - bottom || top || 1);
  const series = [];
  for (const each of drawn) {
    const name = methodName(each.run) + (each.run.seed === null ? "" : `, seed ${each.run.seed}`);
    const look = methodLook(each.run.method);
    for (const [what, list, dash] of [["", each.savings, 0], [" (bound)", each.bounds, 1]]) {
      const corners = each.seconds
        .map((seconds, index) => [Math.max(seconds, 1e-6), list[index]])
        .filter(([, value]) => typeof value === "number")
        .filter(([, value], index, all) => index === 0 || value !== all[index - 1][1]);
      if (!corners.length) continue;
      series.push({
        name: name + what, key: methodName(each.run), ...look, dash, steps: true, small: true,
        points: corners.map(([seconds, value]) => ({ x: seconds, y: value, text: [name, `${what ? "proves at most" : "saves"} ${valueText(value)} ms per token`, `after ${secondsText(seconds)}`] })),
        line: [...corners, [Math.max(each.run.seconds || 0, corners.at(-1)[0]), corners.at(-1)[1]]],
      });
    }
  }
  if (goal !== null) {
    series.push({ name: instance.optimum !== null ? "optimum" : "best bound", colour: 9, dash: 2, points: [], line: [[x.low, goal], [x.high, goal]] });
  }
  return { label: `Saving and bound over time on ${instance.name}`, height: 340, x, y: { scale: "linear", label: "saving, ms per token", low: bottom - spare, high: top + spare, text: (v) => shortText(v, 4) }, series };
};

const unpack = (packed) => Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
const drawMap = (box, map) => {
  const rows = map.stored.map(unpack);
  const readout = make("p", "readout", "Point at a cell, or go from layer to layer with the arrow keys.");
  readout.setAttribute("aria-live", "polite");
  const list = make("div", "layers");
  let first = 0;
  for (const [model, layers, experts] of map.models) {
    if (map.models.length > 1) list.append(make("h5", "", model));
    for (let layer = 0; layer < layers; layer++) {
      const start = first;
      const holds = (server, expert) => (rows[server][(start + expert) >> 3] >> (7 - ((start + expert) & 7))) & 1;
      const cell = Math.max(3, Math.min(13, Math.floor(330 / experts)));
      const high = Math.max(4, Math.min(13, Math.floor(240 / rows.length)));
      const tile = make("div", "layer");
      tile.tabIndex = first ? -1 : 0;
      tile.setAttribute("role", "img");
      let path = "";
      const counts = rows.map((_, server) => {
        let count = 0;
        for (let expert = 0; expert < experts; expert++) {
          if (!holds(server, expert)) continue;
          count++;
          path += `M${expert * cell} ${server * high}h${cell - 1}v${high - 1}h${1 - cell}z`;
        }
        return count;
      });
      const sum = `layer ${layer}: ${map.servers.map((name, server) => `${name} ${counts[server]}`).join(", ")} of ${plural(experts, "expert")}`;
      tile.setAttribute("aria-label", sum);
      tile.append(make("span", "", `layer ${layer}`));
      const svg = draw(tile, "svg", { viewBox: `0 0 ${experts * cell} ${rows.length * high}`, width: experts * cell, height: rows.length * high, "aria-hidden": "true" });
      draw(svg, "rect", { width: "100%", height: "100%", class: "field" });
      draw(svg, "path", { d: path, class: "held" });
      tile.addEventListener("focus", () => (readout.textContent = sum));
      svg.addEventListener("pointermove", (event) => {
        const edge = svg.getBoundingClientRect();
        const expert = Math.min(experts - 1, Math.max(0, Math.floor(((event.clientX - edge.left) / edge.width) * experts)));
        const server = Math.min(rows.length - 1, Math.max(0, Math.floor(((event.clientY - edge.top) / edge.height) * rows.length)));
        const holders = map.servers.filter((_, each) => holds(each, expert));
        readout.textContent = `${map.servers[server]} ${holds(server, expert) ? "stores" : "does not store"} expert ${expert} of layer ${layer}; ${holders.length ? `stored on ${holders.join(", ")}` : "it comes from the cloud"}`;
      });
      list.append(tile);
      first += experts;
    }
  }
  // One stop of the Tab key for the whole map, however many layers it has.
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const tiles = [...list.querySelectorAll(".layer")];
    const next = step && tiles[tiles.indexOf(document.activeElement) + step];
    if (!step) return;
    event.preventDefault();
    if (!next) return;
    document.activeElement.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
  const legend = make("p", "note", `Rows: ${map.servers.join(", ")}, from above. Columns: the experts of the layer. Filled: stored.`);
  box.replaceChildren(readout, list, legend);
};

const opened = new Set();
const drawInstance = (details) => {
  if (opened.has(details)) return;
  opened.add(details);
  const index = Number(details.dataset.instance);
  const page = report.pages[index];
  if (!page) return;
  const box = details.querySelector(".trajectory");
  const spec = box ? trajectoryPlot(page, report.instances[index]) : null;
  if (spec) new Plot(box, spec);
  const mapBox = details.querySelector(".map");
  if (mapBox && page.map) drawMap(mapBox, page.map);
};
document.querySelectorAll("details.instance").forEach((details) => {
  details.addEventListener("toggle", () => details.open && drawInstance(details));
});
const openTarget = () => {
  const target = document.getElementById(location.hash.slice(1));
  if (!target) return;
  for (let outer = target.closest("details"); outer; outer = outer.parentElement.closest("details")) {
    outer.open = true;
    if (outer.matches(".instance")) drawInstance(outer);
  }
  target.scrollIntoView();
};
