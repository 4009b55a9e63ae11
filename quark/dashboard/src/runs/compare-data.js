// What differs between runs. Pure functions.
import { flatten } from "../lib/format.js";

const LATE = /^environment\.(packages|git\.dirty|git\.changes)(\.|$)/; // known of a run once the program got that far

/** Rows of a table of settings, one a dotted path; ``differs`` says whether the runs disagree. A package is listed with a run
 * if the program had imported it when the run started, and changes of files if the run lasted until they were looked for: what
 * is missing there is not known, and differs by nothing.
 * @param {Record<string, unknown>[]} held one object a run @returns {{path: string, values: unknown[], differs: boolean}[]} */
export function settingsTable(held) {
  const flat = held.map((one) => new Map(flatten(one).filter(([path]) => path)));
  const paths = [...new Set(flat.flatMap((one) => [...one.keys()]))].sort();
  return paths.map((path) => {
    const values = flat.map((one) => one.get(path));
    const known = LATE.test(path) ? values.filter((value) => value !== undefined) : values;
    return { path, values, differs: new Set(known.map((value) => JSON.stringify(value) ?? "")).size > 1 };
  });
}

/** Which way a metric is better: -1 lower, 1 higher, 0 unknown. @param {string} key */
export function direction(key) {
  const name = key.toLowerCase();
  if (/(^|[^a-z])(loss|error|perplexity|ppl|rmse|mae|mse|wer|cer)([^a-z]|$)/.test(name)) return -1;
  if (/(^|[^a-z])(acc|accuracy|f1|auc|map|iou|dice|bleu|rouge|precision|recall|reward|score)([^a-z]|$)/.test(name)) return 1;
  return 0;
}

// What repeats a training without changing it: runs that differ in nothing else show how far chance alone takes them apart.
const OF_CHANCE = /(^|[._])(seed|random_state|repeat)($|[._])/i;

/** Groups of runs whose settings are the same but for their seeds, as places in the list; those of one run are left out.
 * @param {Record<string, unknown>[]} configs @returns {number[][]} */
export function seedGroups(configs) {
  const groups = new Map();
  configs.forEach((config, i) => {
    const key = JSON.stringify(flatten(config).filter(([path]) => !OF_CHANCE.test(path)).sort(([a], [b]) => (a < b ? -1 : 1)));
    groups.set(key, [...(groups.get(key) ?? []), i]);
  });
  return [...groups.values()].filter((group) => group.length > 1);
}

/** Twice the deviation of the difference of two runs that differ in their seeds only; null where no two such runs have values.
 * @param {unknown[]} values one a run @param {number[][]} groups */
export function noiseBand(values, groups) {
  let [squares, freedom] = [0, 0];
  for (const group of groups) {
    const held = group.map((i) => values[i]).filter((value) => typeof value === "number" && Number.isFinite(value)).map(Number);
    if (held.length < 2) continue;
    const mean = held.reduce((sum, value) => sum + value, 0) / held.length;
    squares += held.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    freedom += held.length - 1;
  }
  return freedom ? 2 * Math.sqrt((2 * squares) / freedom) : null;
}

/** How a value differs from that of the first run: in size, in parts of it, and whether that is better.
 * @param {string} key @param {unknown} first @param {unknown} value */
export function difference(key, first, value) {
  if (typeof first !== "number" || typeof value !== "number" || !Number.isFinite(first) || !Number.isFinite(value)) return null;
  const size = value - first;
  const way = size === 0 ? 0 : Math.sign(size) * direction(key);
  return { size, part: first === 0 ? null : size / Math.abs(first), way };
}
