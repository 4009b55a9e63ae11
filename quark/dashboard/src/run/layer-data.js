// Records of layers and parameters for a heat map: all of them, or those of evenly spaced steps where they are too many.
import { heatOf, nameField } from "../charts/heat.js";
import { records } from "../lib/api.js";

const MOST = 12000;
const MOST_CELLS = 8000;
const MOST_OF_ONE = 20000;

/** @param {string} id @param {{kind: string, where: object}} statistic @param {[number, number] | null} range
 * @param {Record<string, number>} counts @returns {Promise<{records: any[], every: number}>} */
export async function loadLayers(id, { kind, where }, range, counts) {
  if (!counts[kind]) return { records: [], every: 1 };
  /** @type {Record<string, any>} */
  const fields = Object.keys(where).length ? { where: JSON.stringify(where) } : {};
  if (range) Object.assign(fields, { step_min: Math.max(0, Math.ceil(range[0])), step_max: Math.max(0, Math.floor(range[1])) });
  if (counts[kind] <= MOST) return { records: await records(id, kind, fields, MOST), every: 1 };
  const [one] = await records(id, kind, fields, 1);
  if (!one) return { records: [], every: 1 };
  const name = nameField(kind);
  const steps = (await records(id, kind, { ...fields, where: JSON.stringify({ ...where, [name]: one[name] }) }, 100_000)).map((record) => record.step);
  const every = Math.max(1, Math.ceil(steps.length / Math.min(400, Math.max(50, MOST_CELLS / Math.max(1, counts[kind] / steps.length)))));
  const wanted = steps.filter((_, i) => i % every === 0);
  return { records: await records(id, kind, { ...fields, step: wanted }, MOST * 2), every };
}

/** The series of one layer or parameter; null if nothing of it was recorded. ``cut``: later records are not in it.
 * @param {string} id @param {import("./layer-alert.js").Subject} subject @returns {Promise<{chart: Chart, cut: boolean} | null>} */
export async function loadLayer(id, { name, statistic }) {
  const { kind, where } = statistic;
  const held = await records(id, kind, { where: JSON.stringify({ ...where, [nameField(kind)]: name }) }, MOST_OF_ONE);
  const heat = heatOf(held, statistic);
  return heat.rows.length ? { chart: seriesOf(heat, name, id), cut: held.length === MOST_OF_ONE } : null;
}

/** A row of the heat map as a chart. @param {any} heat @param {string} row @param {string} run @returns {Chart} */
export function seriesOf(heat, row, run) {
  const { steps, rows, values } = heat;
  const start = rows.indexOf(row) * steps.length;
  const at = [...steps.keys()].filter((i) => Number.isFinite(values[start + i]));
  const y = Float32Array.from(at, (i) => values[start + i]);
  const bad = [...steps.keys()].filter((i) => heat.bad[start + i]).map((i) => ({ x: steps[i], step: steps[i], kind: "nan" }));
  return { run, key: row, axis: "step", count: at.length, width: 0, x: Float64Array.from(at, (i) => steps[i]), mean: y, min: y, max: y, n: new Float64Array(at.length).fill(1), nonfinite: bad, nonfinite_count: bad.length, restarts: [] };
}
