// Points and axes of scatter plots and parallel coordinates. Pure functions.
import { cell } from "./table-data.js";

/** The numbers of a column, NaN where a run has none; text in the order of its appearance.
 * @param {Row[]} rows @param {string} column @returns {{values: Float64Array, words: string[] | null}} */
export function numbersOf(rows, column) {
  const held = rows.map((row) => cell(row, column));
  const isNumber = held.every((value) => value === null || value === undefined || typeof value === "number");
  if (isNumber) return { values: Float64Array.from(held, (value) => (typeof value === "number" ? value : NaN)), words: null };
  const words = [...new Set(held.filter((value) => value !== null && value !== undefined).map(String))].sort();
  const at = new Map(words.map((word, i) => [word, i]));
  return { values: Float64Array.from(held, (value) => (value === null || value === undefined ? NaN : at.get(String(value)) ?? NaN)), words };
}

/** The range of numbers, and whether it spans so many magnitudes that a logarithm shows it better.
 * @param {Float64Array} values @returns {{min: number, max: number, log: boolean}} */
export function rangeOf(values) {
  let [min, max] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < min) min = value;
    if (value > max) max = value;
  }
  if (!(min <= max)) return { min: 0, max: 1, log: false };
  const log = min > 0 && max / min >= 30;
  if (min === max) return { min: min - 1, max: max + 1, log: false };
  return { min, max, log };
}

/** The index of the point that is nearest to a place, within a reach; -1 of none.
 * @param {Float64Array} xs pixels @param {Float64Array} ys @param {number} x @param {number} y @param {number} reach */
export function nearestPoint(xs, ys, x, y, reach) {
  let [found, best] = [-1, reach * reach];
  for (let i = 0; i < xs.length; i++) {
    const far = (xs[i] - x) ** 2 + (ys[i] - y) ** 2;
    if (far <= best) [found, best] = [i, far];
  }
  return found;
}

/** Whether each run is within the ranges that were brushed. @param {Float64Array[]} columns @param {([number, number] | null)[]} brushes */
export function within(columns, brushes) {
  const out = new Uint8Array(columns[0]?.length ?? 0).fill(1);
  brushes.forEach((brush, axis) => {
    if (!brush) return;
    for (let i = 0; i < out.length; i++) if (!(columns[axis][i] >= brush[0] && columns[axis][i] <= brush[1])) out[i] = 0;
  });
  return out;
}
