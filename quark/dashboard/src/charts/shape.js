// What a chart is made of, computed over typed arrays: gaps, extents, smoothing. Pure functions.
import { lowerBound } from "../lib/search.js";

const GAP = 4;
const GAP_IN_TIME = 25; // a step may take long now and then

/** Where a line is interrupted: the indices that begin a new stretch. Points are connected while they are at most four
 * times as far apart as they usually are, 25 times on an axis of time.
 * @param {Float64Array} x @param {number} [width] how far they usually are @param {string} [axis] @returns {number[]} */
export function stretches(x, width = 0, axis = "step") {
  if (x.length < 3) return x.length ? [0] : [];
  const widths = new Float64Array(x.length - 1);
  for (let i = 1; i < x.length; i++) widths[i - 1] = x[i] - x[i - 1];
  const limit = (axis === "wall" || axis === "relative" ? GAP_IN_TIME : GAP) * Math.max(width, Float64Array.from(widths).sort()[widths.length >> 1]);
  const starts = [0];
  for (let i = 1; i < x.length; i++) if (widths[i - 1] > limit || widths[i - 1] < 0) starts.push(i);
  return starts;
}

/** The least and the greatest x of charts; null of none. @param {Chart[]} charts @returns {[number, number] | null} */
export function spanOf(charts) {
  let low = Infinity;
  let high = -Infinity;
  for (const chart of charts) {
    if (chart.x.length) {
      low = Math.min(low, chart.x[0]);
      high = Math.max(high, chart.x[chart.x.length - 1]);
    }
    for (const point of chart.nonfinite) {
      low = Math.min(low, point.x);
      high = Math.max(high, point.x);
    }
  }
  return low <= high ? [low, high] : null;
}

/** The range of y that shows every minimum and maximum between two x; with ``fit`` the middle 96 % of the means.
 * @param {Chart[]} charts @param {[number, number]} span @param {boolean} log @param {boolean} fit
 * @returns {[number, number]} */
export function extent(charts, [from, to], log, fit) {
  let low = Infinity;
  let high = -Infinity;
  const means = [];
  for (const chart of charts) {
    const [first, last] = [lowerBound(chart.x, from), lowerBound(chart.x, to)];
    for (let i = first; i < chart.x.length && chart.x[i] <= to; i++) {
      if (fit) {
        if (!log || chart.mean[i] > 0) means.push(chart.mean[i]);
        continue;
      }
      if (chart.max[i] > high) high = chart.max[i];
      if (chart.min[i] < low && (!log || chart.min[i] > 0)) low = chart.min[i];
      else if (log && chart.mean[i] > 0 && chart.mean[i] < low) low = chart.mean[i];
    }
    // The line reaches the edges of the chart where a point beyond is connected.
    for (const [i, edge] of fit ? [] : [[first, from], [last, to]]) {
      if (i < 1 || i >= chart.x.length) continue;
      const part = (edge - chart.x[i - 1]) / (chart.x[i] - chart.x[i - 1]);
      const [least, most] = [chart.min, chart.max].map((column) => column[i - 1] + part * (column[i] - column[i - 1]));
      if (most > high) high = most;
      if (least < low && (!log || least > 0)) low = least;
    }
  }
  if (fit && means.length) {
    means.sort((a, b) => a - b);
    low = means[Math.floor(0.02 * (means.length - 1))];
    high = means[Math.ceil(0.98 * (means.length - 1))];
  }
  return padded(low, high, log);
}

/** @param {number} low @param {number} high @param {boolean} log @returns {[number, number]} */
function padded(low, high, log) {
  if (!(low <= high)) return log ? [0.1, 1] : [0, 1];
  if (log) return low === high ? [low / 2, high * 2] : [low / 1.15, high * 1.15];
  if (low === high) return [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1];
  return [low - (high - low) * 0.06, high + (high - low) * 0.06];
}

/** A debiased exponential mean of the bucket means over a window in units of x. @param {Chart} chart @param {number} span */
export function smoothed({ x, mean }, span) {
  const out = new Float32Array(mean.length);
  let value = 0;
  let weight = 0;
  for (let i = 0; i < mean.length; i++) {
    const apart = i ? x[i] - x[i - 1] : (x[1] ?? x[0] + 1) - x[0];
    const kept = Math.exp(-Math.max(0, apart) / span);
    if (Number.isFinite(mean[i])) {
      value = kept * value + (1 - kept) * mean[i];
      weight = kept * weight + (1 - kept);
    }
    out[i] = weight ? value / weight : NaN;
  }
  return out;
}

/** Where runs of a group end before the others: the last buckets before the number of runs falls for good.
 * @param {Column} n @returns {number[]} */
export function endings(n) {
  const out = [];
  let most = 0;
  for (let i = n.length - 1; i >= 0; i--) {
    if (i < n.length - 1 && n[i] > most) out.push(i);
    most = Math.max(most, n[i]);
  }
  return out.reverse();
}

/** What a chart says to those who do not see it. @param {string} key @param {Line[]} lines @param {(v: number) => string} show */
export function spoken(key, lines, show) {
  const parts = lines.map(({ name, chart }) => {
    if (!chart.x.length) return `${name}: no values`;
    let low = Infinity;
    let high = -Infinity;
    for (let i = 0; i < chart.x.length; i++) {
      low = Math.min(low, chart.min[i]);
      high = Math.max(high, chart.max[i]);
    }
    const bad = chart.nonfinite_count ? `, ${chart.nonfinite_count} not finite` : "";
    return `${name}: last ${show(chart.mean[chart.x.length - 1])}, min ${show(low)}, max ${show(high)}${bad}`;
  });
  return `${key}. ${parts.join("; ")}`;
}
