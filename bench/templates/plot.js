// An interactive plot as SVG: hover or arrow keys tell a point, dragging zooms, the legend switches.
const SVG = "http://www.w3.org/2000/svg";
const MARKS = [
  (r) => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`,
  (r) => `M${-r} ${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (r) => `M0 ${-1.2 * r}L${1.2 * r} ${r}H${-1.2 * r}z`,
  (r) => `M0 ${-1.3 * r}L${1.3 * r} 0L0 ${1.3 * r}L${-1.3 * r} 0z`,
  (r) => `M0 ${1.2 * r}L${1.2 * r} ${-r}H${-1.2 * r}z`,
  (r) => `M${-r / 2} ${-1.3 * r}h${r}v${0.8 * r}h${0.8 * r}v${r}h${-0.8 * r}v${0.8 * r}h${-r}v${-0.8 * r}h${-0.8 * r}v${-r}h${0.8 * r}z`,
  (r) => `M${-1.2 * r} ${-0.6 * r}L${-0.6 * r} ${-1.2 * r}L0 ${-0.6 * r}L${0.6 * r} ${-1.2 * r}L${1.2 * r} ${-0.6 * r}L${0.6 * r} 0L${1.2 * r} ${0.6 * r}L${0.6 * r} ${1.2 * r}L0 ${0.6 * r}L${-0.6 * r} ${1.2 * r}L${-1.2 * r} ${0.6 * r}L${-0.6 * r} 0z`,
  (r) => `M${-1.15 * r} 0L${-0.58 * r} ${-r}H${0.58 * r}L${1.15 * r} 0L${0.58 * r} ${r}H${-0.58 * r}z`,
];
const draw = (parent, tag, attributes, text) => {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
};

// A scale maps values to 0..1; symlog is linear up to its threshold and shows 0 at its left end.
const LINEAR_PART = 0.12;
const SCALES = {
  linear: () => ({ to: (v) => v, from: (v) => v }),
  log: () => ({ to: (v) => Math.log10(v), from: (v) => 10 ** v }),
  symlog: (threshold) => ({
    to: (v) => (v <= threshold ? (Math.max(0, v) / threshold) * 0.6 : 0.6 + Math.log10(v / threshold)),
    from: (v) => (v <= 0.6 ? (v / 0.6) * threshold : threshold * 10 ** (v - 0.6)),
  }),
};
const linearTicks = (low, high, most) => {
  const rough = (high - low) / most || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
  const ticks = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; n++) ticks.push(Number((n * step).toPrecision(12)));
  return ticks;
};
const logTicks = (low, high, most) => {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  const every = Math.max(1, Math.ceil((last - first + 1) / most));
  const ticks = [];
  for (let power = first; power <= last; power += every) ticks.push(Number(`1e${power}`));
  return ticks.length >= 2 ? ticks : linearTicks(low, high, Math.min(4, most)).filter((tick) => tick > 0);
};

class Plot {
  // spec: label, height, x and y {scale, label, low, high, text, threshold, names}, and series
  // [{name, key, colour, mark, filled, dash, small, points: [{x, y, text}], line: [[x, y]], steps}].
  // Series with the same key share an entry of the legend; without one, the name is the key.
  constructor(box, spec) {
    this.box = box;
    this.hidden = new Set();
    this.at = -1;
    box.replaceChildren();
    this.frame = make("div", "plot");
    this.frame.tabIndex = 0;
    this.frame.setAttribute("role", "group");
    this.frame.setAttribute("aria-roledescription", "interactive plot");
    this.tip = make("div", "tip");
    this.tip.setAttribute("role", "status");
    this.tip.hidden = true;
    this.reset = make("button", "quiet", "Show all again");
    this.reset.type = "button";
    this.reset.hidden = true;
    this.keys = make("div", "keys");
    this.saving = make("button", "quiet", "Save what is shown as SVG");
    this.saving.type = "button";
    this.saving.addEventListener("click", () => this.save());
    box.append(this.frame, this.keys, this.reset, " ", this.saving);
    this.reset.addEventListener("click", () => this.zoom(null));
    this.listen();
    this.width = 0;
    new ResizeObserver(() => {
      if (Math.abs(this.box.clientWidth - this.width) > 1) this.paint();
    }).observe(box);
    this.show(spec);
  }

  show(spec) {
    this.spec = spec;
    this.window = null;
    this.reset.hidden = true;
    this.frame.setAttribute("aria-label", `${spec.label}. Arrow keys go from point to point.`);
    this.legend();
    this.paint();
  }

  zoom(window) {
    this.window = window;
    this.reset.hidden = window === null;
    this.paint();
    if (window === null) this.frame.focus();
  }

  legend() {
    this.keys.replaceChildren();
    const keyed = new Map();
    for (const series of this.spec.series) keyed.set(series.key ?? series.name, keyed.get(series.key ?? series.name) ?? series);
    for (const [name, series] of keyed) {
      const key = make("button", `key c${series.colour}`);
      key.type = "button";
      key.setAttribute("aria-pressed", String(!this.hidden.has(name)));
      const sample = draw(key, "svg", { viewBox: "-12 -7 24 14", width: 24, height: 14, "aria-hidden": "true" });
      if (series.line) draw(sample, "path", { d: "M-11 0H11", class: `curve dash${series.dash ?? 0}` });
      if (series.mark !== undefined) draw(sample, "path", { d: MARKS[series.mark](4), class: series.filled === false ? "mark hollow" : "mark" });
      key.append(make("span", "", name));
      key.addEventListener("click", () => {
        if (!this.hidden.delete(name)) this.hidden.add(name);
        key.setAttribute("aria-pressed", String(!this.hidden.has(name)));
        this.paint();
      });
      this.keys.append(key);
    }
  }

  // A drawing of its own: colours and fonts as they are shown, with the legend below.
  picture() {
    const svg = this.frame.querySelector("svg");
    const copy = svg.cloneNode(true);
    const looks = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "font-size", "font-family"];
    const dress = (from, to) => {
      const style = getComputedStyle(from);
      for (const look of looks) to.style.setProperty(look, style.getPropertyValue(look));
    };
    [svg, ...svg.querySelectorAll("*")].forEach((from, index) => dress(from, index ? copy.querySelectorAll("*")[index - 1] : copy));
    const [width, height] = ["width", "height"].map((name) => Number(svg.getAttribute(name)));
    const entries = [...this.keys.querySelectorAll(".key[aria-pressed=true]")];
    entries.forEach((key, row) => {
      const sample = key.querySelector("svg");
      const group = draw(copy, "g", { transform: `translate(${20 + 12} ${height + 12 + 18 * row})` });
      for (const part of sample.children) {
        const copied = part.cloneNode();
        dress(part, copied);
        group.append(copied);
      }
      const text = draw(group, "text", { x: 18, y: 4 }, key.textContent);
      dress(svg.querySelector("text") ?? key, text);
    });
    const whole = height + 24 + 18 * entries.length;
    for (const [name, value] of [["xmlns", SVG], ["height", whole], ["viewBox", `0 0 ${width} ${whole}`]]) copy.setAttribute(name, value);
    const paper = document.createElementNS(SVG, "rect");
    for (const [name, value] of [["width", width], ["height", whole], ["fill", getComputedStyle(document.body).backgroundColor]]) paper.setAttribute(name, value);
    copy.prepend(paper);
    const title = document.createElementNS(SVG, "title");
    title.textContent = this.spec.label;
    copy.prepend(title);
    return new XMLSerializer().serializeToString(copy);
  }

  save() {
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([this.picture()], { type: "image/svg+xml" }));
    link.download = `${this.spec.label.replace(/[^A-Za-z0-9]+/g, "-").replace(/^-|-$/g, "").toLowerCase()}.svg`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  paint() {
    const { spec } = this;
    this.width = this.box.clientWidth;
    if (!this.width) return;
    const width = Math.min(this.width, 1100);
    const shown = spec.series.filter((series) => !this.hidden.has(series.key ?? series.name));
    const names = spec.y.names;
    const letters = width < 560 ? 17 : 34;
    const cut = (name) => (name.length > letters ? `${name.slice(0, letters - 1)}…` : name);
    const left = names ? Math.min(0.4 * width, 12 + 7 * Math.max(4, ...names.map((name) => cut(name).length))) : 58;
    const area = { left, right: width - 16, top: names ? 8 : 26, bottom: (spec.height ?? 340) - 44 };
    const axis = (of, from, to, zoomed) => {
      const scale = SCALES[of.scale](of.threshold);
      const [low, high] = (zoomed ?? [of.low, of.high]).map(scale.to);
      const span = high - low || 1;
      return { low: scale.from(low), high: scale.from(high), place: (v) => from + ((scale.to(v) - low) / span) * (to - from), value: (p) => scale.from(low + ((p - from) / (to - from)) * span) };
    };
    const x = axis(spec.x, area.left, area.right, this.window?.x);
    const y = axis(spec.y, area.bottom, area.top, this.window?.y);
    Object.assign(this, { area, xAxis: x, yAxis: y });
    const height = spec.height ?? 340;
    const svg = document.createElementNS(SVG, "svg");
    for (const [name, value] of [["viewBox", `0 0 ${width} ${height}`], ["width", width], ["height", height], ["aria-hidden", "true"]]) svg.setAttribute(name, value);
    const ticks = (of, a, room) =>
      of.scale === "log" ? logTicks(a.low, a.high, room)
      : of.scale === "symlog" ? [0, ...logTicks(of.threshold, Math.max(a.high, 10 * of.threshold), room)].filter((tick) => tick >= a.low - 1e-12 && tick <= a.high)
      : linearTicks(a.low, a.high, room);
    for (const tick of ticks(spec.x, x, Math.max(2, Math.floor((area.right - area.left) / 70)))) {
      const at = x.place(tick);
      draw(svg, "path", { d: `M${at.toFixed(1)} ${area.top}V${area.bottom}`, class: "grid" });
      draw(svg, "text", { x: at.toFixed(1), y: area.bottom + 17, class: "tick", "text-anchor": "middle" }, spec.x.text(tick));
    }
    if (names) {
      names.forEach((name, row) => {
        const at = y.place(row);
        if (at < area.top || at > area.bottom) return;
        const text = draw(svg, "text", { x: area.left - 8, y: (at + (spec.y.notes ? -3 : 4)).toFixed(1), class: "name", "text-anchor": "end" }, cut(name));
        if (spec.y.notes) draw(svg, "text", { x: area.left - 8, y: (at + 12).toFixed(1), class: "tick", "text-anchor": "end" }, spec.y.notes[row]);
        draw(text, "title", {}, name);
        const edge = y.place(row + 0.5);
        if (edge < area.bottom - 1) draw(svg, "path", { d: `M${area.left} ${edge.toFixed(1)}H${area.right}`, class: "grid" });
      });
    } else {
      for (const tick of ticks(spec.y, y, 6)) {
        const at = y.place(tick);
        draw(svg, "path", { d: `M${area.left} ${at.toFixed(1)}H${area.right}`, class: "grid" });
        draw(svg, "text", { x: area.left - 7, y: (at + 4).toFixed(1), class: "tick", "text-anchor": "end" }, spec.y.text(tick));
      }
      draw(svg, "text", { x: 4, y: 13, class: "axis" }, spec.y.label);
    }
    draw(svg, "path", { d: `M${area.left} ${area.bottom}H${area.right}`, class: "base" });
    draw(svg, "text", { x: names ? area.right : (area.left + area.right) / 2, y: area.bottom + 37, class: "axis", "text-anchor": names ? "end" : "middle" }, spec.x.label);
    this.points = [];
    const inside = (px, py) => px >= area.left - 1 && px <= area.right + 1 && py >= area.top - 1 && py <= area.bottom + 1;
    const clip = `clip-${Plot.count++}`;
    const clipping = draw(svg, "clipPath", { id: clip });
    draw(clipping, "rect", { x: area.left - 5, y: area.top - 5, width: area.right - area.left + 10, height: area.bottom - area.top + 10 });
    const plotted = draw(svg, "g", { "clip-path": `url(#${clip})` });
    for (const series of shown) {
      const group = draw(plotted, "g", { class: `c${series.colour}` });
      if (series.line) {
        let path = "";
        let before = null;
        for (const [vx, vy] of series.line) {
          const [px, py] = [x.place(vx), y.place(vy)].map((value) => value.toFixed(1));
          path += before === null ? `M${px} ${py}` : series.steps ? `H${px}V${py}` : `L${px} ${py}`;
          before = py;
        }
        draw(group, "path", { d: path, class: `curve dash${series.dash ?? 0}` });
      }
      const radius = series.small ? 2.6 : 3.8;
      const mark = series.mark === undefined ? null : MARKS[series.mark](radius);
      for (const point of series.points) {
        const [px, py] = [x.place(point.x), y.place(point.y)];
        if (!inside(px, py)) continue;
        if (mark) draw(group, "path", { d: mark, transform: `translate(${px.toFixed(1)} ${py.toFixed(1)})`, class: series.filled === false || point.hollow ? "mark hollow" : "mark" });
        this.points.push({ px, py, point, series });
      }
    }
    for (const bar of spec.bars ?? []) {
      const at = x.place(bar.x).toFixed(1);
      draw(plotted, "path", { d: `M${at} ${y.place(bar.y - 0.38).toFixed(1)}V${y.place(bar.y + 0.38).toFixed(1)}`, class: "bar" });
    }
    if (!shown.length || !spec.series.some((series) => series.points.length || series.line?.length)) {
      draw(svg, "text", { x: (area.left + area.right) / 2, y: (area.top + area.bottom) / 2, class: "axis", "text-anchor": "middle" }, "Nothing chosen to show.");
    }
    this.ring = draw(svg, "circle", { r: 7, class: "ring", visibility: "hidden" });
    this.band = draw(svg, "rect", { class: "band", visibility: "hidden" });
    this.svg = svg;
    this.points.sort((a, b) => a.py - b.py || a.px - b.px);
    if (!names) this.points.sort((a, b) => a.px - b.px || a.py - b.py);
    this.frame.replaceChildren(svg, this.tip);
    this.tell(-1);
  }

  tell(index) {
    this.at = index;
    const chosen = this.points[index];
    this.tip.hidden = !chosen;
    this.ring.setAttribute("visibility", chosen ? "visible" : "hidden");
    if (!chosen) return;
    this.ring.setAttribute("cx", chosen.px);
    this.ring.setAttribute("cy", chosen.py);
    const [first, ...lines] = chosen.point.text;
    this.tip.replaceChildren(make("b", "", first), ...lines.map((line) => make("span", "", line)));
    const room = this.frame.clientWidth;
    const wide = Math.min(this.tip.offsetWidth, room);
    this.tip.style.left = `${Math.max(0, Math.min(room - wide, chosen.px + (chosen.px > room / 2 ? -wide - 12 : 12)))}px`;
    this.tip.style.top = `${Math.max(0, chosen.py > 90 ? chosen.py - this.tip.offsetHeight - 10 : chosen.py + 12)}px`;
  }

  where(event) {
    const box = this.svg.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  listen() {
    let start = null;
    this.frame.addEventListener("pointermove", (event) => {
      const [mx, my] = this.where(event);
      if (start && event.pointerType === "mouse" && Math.hypot(mx - start[0], my - start[1]) > 6) {
        const [left, right] = [Math.min(mx, start[0]), Math.max(mx, start[0])];
        const [top, bottom] = this.spec.y.names ? [this.area.top, this.area.bottom] : [Math.min(my, start[1]), Math.max(my, start[1])];
        for (const [name, value] of [["x", left], ["y", top], ["width", right - left], ["height", bottom - top], ["visibility", "visible"]]) this.band.setAttribute(name, value);
        this.tip.hidden = true;
        return;
      }
      let nearest = -1;
      let least = 28 ** 2;
      this.points.forEach(({ px, py }, index) => {
        const distance = (px - mx) ** 2 + (py - my) ** 2;
        if (distance < least) [nearest, least] = [index, distance];
      });
      if (nearest !== this.at) this.tell(nearest);
    });
    this.frame.addEventListener("pointerleave", () => this.tell(-1));
    this.frame.addEventListener("blur", () => this.tell(-1));
    this.frame.addEventListener("pointerdown", (event) => {
      if (event.button === 0) start = this.where(event);
    });
    window.addEventListener("pointerup", (event) => {
      if (!start) return;
      const begin = start;
      start = null;
      this.band.setAttribute("visibility", "hidden");
      if (event.pointerType !== "mouse") return;
      const end = this.where(event);
      const { area, xAxis, yAxis } = this;
      const held = (value, low, high) => Math.min(high, Math.max(low, value));
      const xs = [begin[0], end[0]].map((at) => held(at, area.left, area.right)).sort((a, b) => a - b);
      const ys = [begin[1], end[1]].map((at) => held(at, area.top, area.bottom)).sort((a, b) => a - b);
      if (xs[1] - xs[0] < 12 || (!this.spec.y.names && ys[1] - ys[0] < 12)) return;
      this.zoom({ x: xs.map(xAxis.value), y: this.spec.y.names ? undefined : [yAxis.value(ys[1]), yAxis.value(ys[0])] });
    });
    this.frame.addEventListener("dblclick", () => this.zoom(null));
    this.frame.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
      if (event.key in steps && this.points.length) {
        const last = this.points.length - 1;
        const from = this.at < 0 && steps[event.key] < 0 ? this.points.length : this.at;
        this.tell(Math.min(last, Math.max(0, from + steps[event.key])));
      } else if (event.key === "Home" && this.points.length) this.tell(0);
      else if (event.key === "End" && this.points.length) this.tell(this.points.length - 1);
      else if (event.key === "Escape") this.window ? this.zoom(null) : this.tell(-1);
      else return;
      event.preventDefault();
    });
  }
}
Plot.count = 0;
