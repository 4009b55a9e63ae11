// What differs between runs. Pure functions.
import { flatten } from "../lib/format.js";

/** Rows of a table of settings, one a dotted path; ``differs`` says whether the runs disagree.
 * @param {Record<string, unknown>[]} held one object a run @returns {{path: string, values: unknown[], differs: boolean}[]} */
export function settingsTable(held) {
  const flat = held.map((one) => new Map(flatten(one).filter(([path]) => path)));
  const paths = [...new Set(flat.flatMap((one) => [...one.keys()]))].sort();
  return paths.map((path) => {
    const values = flat.map((one) => one.get(path));
    return { path, values, differs: new Set(values.map((value) => JSON.stringify(value) ?? "")).size > 1 };
  });
}

/** Which way a metric is better: -1 lower, 1 higher, 0 unknown. @param {string} key */
export function direction(key) {
  const name = key.toLowerCase();
  if (/(^|[^a-z])(loss|error|perplexity|ppl|rmse|mae|mse|wer|cer)([^a-z]|$)/.test(name)) return -1;
  if (/(^|[^a-z])(acc|accuracy|f1|auc|map|iou|dice|bleu|rouge|precision|recall|reward|score)([^a-z]|$)/.test(name)) return 1;
  return 0;
}

/** How a value differs from that of the first run: in size, in parts of it, and whether that is better.
 * @param {string} key @param {unknown} first @param {unknown} value */
export function difference(key, first, value) {
  if (typeof first !== "number" || typeof value !== "number" || !Number.isFinite(first) || !Number.isFinite(value)) return null;
  const size = value - first;
  const way = size === 0 ? 0 : Math.sign(size) * direction(key);
  return { size, part: first === 0 ? null : size / Math.abs(first), way };
}
