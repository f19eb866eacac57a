"use strict";
// How numbers read: the same rounding, against the method, as bench/formats.py.
const NOISE = 1e-9;
const MISSING = "\u2013";
const special = (value) =>
  value === null || Number.isNaN(value) ? MISSING : value === Infinity ? "∞" : value === -Infinity ? "-∞" : "";
const countText = (count) => special(count) || Math.trunc(count).toLocaleString("en-US");
const savingRatioText = (ratio) =>
  special(ratio) || (Math.floor((ratio + NOISE) * 1e4) / 1e4).toFixed(4);
const latencyRatioText = (ratio) =>
  special(ratio) ||
  (ratio >= 1e6 ? shortText(ratio, 3) : (Math.ceil((ratio - NOISE) * 1e4) / 1e4).toFixed(4));
const gapText = (gap) =>
  special(gap) || `${(Math.max(0, Math.ceil((gap - NOISE) * 1e4)) / 1e2).toFixed(2)} %`;
const beatenText = (gap) =>
  gap < -NOISE && Number.isFinite(gap) ? `beaten by ${(Math.floor((NOISE - gap) * 1e4) / 1e2).toFixed(2)} %` : gapText(gap);
const shortText = (value, digits) => {
  const exponent = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(Number(value.toPrecision(digits)))));
  if (exponent >= -5 && exponent < digits) return String(Number(value.toPrecision(digits)));
  const [mantissa, power] = value.toExponential(digits - 1).split("e");
  const size = String(Math.abs(Number(power))).padStart(2, "0");
  return `${Number(mantissa)}e${Number(power) < 0 ? "-" : "+"}${size}`;
};
const valueText = (value) => special(value) || shortText(value, 6);
const secondsText = (seconds) => {
  if (special(seconds)) return special(seconds);
  const rounded = Number(seconds.toPrecision(3));
  if (rounded < 1e-6) return "< 1 µs";
  const significant = (value) =>
    value >= 1000
      ? countText(Math.round(value))
      : value.toFixed(2 - Math.max(0, Math.floor(Math.log10(value))));
  for (const [limit, scale, unit] of [[1e-3, 1e6, "µs"], [1, 1e3, "ms"], [600, 1, "s"], [7200, 1 / 60, "min"]]) {
    if (rounded < limit) return `${significant(rounded * scale)} ${unit}`;
  }
  return `${significant(rounded / 3600)} h`;
};
const secondsTick = (seconds) => {
  for (const [scale, unit] of [[1e6, "µs"], [1e3, "ms"]]) {
    if (seconds * scale < 999) return `${Number((seconds * scale).toPrecision(3))} ${unit}`;
  }
  return `${countText(Math.round(seconds))} s`;
};
const plural = (count, noun, many) => `${countText(count)} ${count === 1 ? noun : many ?? noun + "s"}`;

// Statistics of a list of numbers; unknown ones have been left out before.
const mean = (values) => {
  // Neumaier's sum: the mean does not depend on the order of the runs.
  let total = 0;
  let rest = 0;
  for (const value of values) {
    const next = total + value;
    rest += Math.abs(total) >= Math.abs(value) ? total - next + value : value - next + total;
    total = next;
  }
  if (!values.length) return NaN;
  return (Number.isFinite(total) ? total + rest : total) / values.length;
};
const median = (values) => {
  if (!values.length) return NaN;
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};
