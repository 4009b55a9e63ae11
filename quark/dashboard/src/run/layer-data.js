// Records of layers and parameters for a heat map: all of them, or those of evenly spaced steps where they are too many.
import { records } from "../lib/api.js";

const MOST = 12000;
const MOST_CELLS = 8000;

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
  const name = kind === "parameter" ? "parameter_name" : "module_name";
  const steps = (await records(id, kind, { ...fields, where: JSON.stringify({ ...where, [name]: one[name] }) }, 100_000)).map((record) => record.step);
  const every = Math.max(1, Math.ceil(steps.length / Math.min(400, Math.max(50, MOST_CELLS / Math.max(1, counts[kind] / steps.length)))));
  const wanted = steps.filter((_, i) => i % every === 0);
  return { records: await records(id, kind, { ...fields, step: wanted }, MOST * 2), every };
}
