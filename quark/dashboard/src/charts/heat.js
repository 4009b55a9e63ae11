// A heat map over typed arrays: rows by steps to pixels. Pure functions.

/** The statistics that a heat map shows, and the records that hold them. */
export const STATISTICS = {
  gradient_norm: { title: "gradient norm", kind: "parameter", field: "gradient_norm", where: {}, log: true },
  update_ratio: { title: "update to weight ratio", kind: "parameter", field: "update_ratio", where: {}, log: true },
  weight_norm: { title: "weight norm", kind: "parameter", field: "weight_norm", where: {}, log: true },
  activation_std: { title: "activation std", kind: "layer", field: "std", where: { summary_type: "activation" }, log: true },
  activation_gradient: { title: "gradient of activations, norm", kind: "layer", field: "norm", where: { summary_type: "gradient" }, log: true },
  dead: { title: "dead units", kind: "layer", field: "dead_unit_ratio", where: { summary_type: "activation" }, log: false },
  saturated: { title: "saturated units", kind: "layer", field: "saturation_ratio", where: { summary_type: "activation" }, log: false },
};

/** The field of a record that names its layer or parameter. @param {string} kind */
export function nameField(kind) {
  return kind === "parameter" ? "parameter_name" : "module_name";
}

/** @typedef {{rows: string[], steps: number[], values: Float32Array, bad: Uint8Array, min: number, max: number, least: number}} Heat
 * Rows are in the order of the first record of each, which is that of the model.
 * @param {any[]} records @param {{kind: string, field: string}} statistic @returns {Heat} */
export function heatOf(records, { kind, field }) {
  const name = nameField(kind);
  const rows = [...new Set(records.map((record) => record[name]))];
  const steps = [...new Set(records.map((record) => record.step ?? 0))].sort((a, b) => a - b);
  const [rowAt, stepAt] = [new Map(rows.map((row, i) => [row, i])), new Map(steps.map((step, i) => [step, i]))];
  const values = new Float32Array(rows.length * steps.length).fill(NaN);
  const bad = new Uint8Array(values.length);
  let [min, max, least] = [Infinity, -Infinity, Infinity];
  for (const record of records) {
    const value = record[field];
    const at = (rowAt.get(record[name]) ?? 0) * steps.length + (stepAt.get(record.step ?? 0) ?? 0);
    if (value === null || value === undefined) {
      if (record.metadata?.nonfinite_count) bad[at] = 1;
      continue;
    }
    values[at] = value;
    min = Math.min(min, value);
    max = Math.max(max, value);
    if (value > 0) least = Math.min(least, value);
  }
  const kept = rows.filter((_, i) => values.subarray(i * steps.length, (i + 1) * steps.length).some(Number.isFinite) || bad.subarray(i * steps.length, (i + 1) * steps.length).some(Boolean));
  if (kept.length < rows.length) return heatOf(records.filter((record) => kept.includes(record[name])), { kind, field });
  return { rows, steps, values, bad, min, max, least };
}

// Viridis at nine places: even in lightness, so that it reads without colour too.
const STOPS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];

/** 256 colours as RGBA in one number each, as ImageData holds them on little-endian machines. */
export const TABLE = Uint32Array.from({ length: 256 }, (_, i) => {
  const place = (i / 255) * (STOPS.length - 1);
  const [low, high] = [STOPS[Math.floor(place)], STOPS[Math.ceil(place)]];
  const [r, g, b] = low.map((value, part) => Math.round(value + (high[part] - value) * (place % 1)));
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
});

/** Where a value lies between the least and the greatest one, 0 to 1. @param {Heat} heat @param {number} value @param {boolean} log */
export function share({ min, max, least }, value, log) {
  if (!log) return max > min ? (value - min) / (max - min) : 0.5;
  if (!(value > 0)) return 0;
  return max > least ? Math.log(value / least) / Math.log(max / least) : 0.5;
}

/** The column of each pixel: that of the last step at or before its place, for a cell reaches to the next step.
 * @param {number[]} steps @param {number} from @param {number} to @param {number} width @returns {Int32Array} */
export function columnsOf(steps, from, to, width) {
  const usual = steps.length > 1 ? [...steps.slice(1)].map((step, i) => step - steps[i]).sort((a, b) => a - b)[(steps.length - 1) >> 1] : 1;
  let at = -1;
  return Int32Array.from({ length: width }, (_, px) => {
    const x = from + ((px + 0.5) / width) * (to - from);
    while (at + 1 < steps.length && steps[at + 1] <= x) at++;
    return at >= 0 && x < steps[at] + 4 * usual ? at : -1;
  });
}

/** The pixels of a heat map, one row of cells after the other. @param {Heat} heat @param {boolean} log @param {Int32Array} columns
 * @param {number} cell height of a row in pixels @param {number} missing @param {number} broken colours, as in the table
 * @returns {Uint32Array<ArrayBuffer>} */
export function heatPixels(heat, log, columns, cell, missing, broken) {
  const { rows, steps, values, bad } = heat;
  const width = columns.length;
  const out = new Uint32Array(width * cell * rows.length);
  for (let row = 0; row < rows.length; row++) {
    const start = row * cell * width;
    for (let px = 0; px < width; px++) {
      const at = row * steps.length + columns[px];
      const value = columns[px] < 0 ? NaN : values[at];
      const isBad = columns[px] >= 0 && bad[at];
      out[start + px] = isBad ? broken : Number.isNaN(value) ? missing : TABLE[Math.round(255 * share(heat, value, log))];
    }
    for (let line = 1; line < cell; line++) out.copyWithin(start + line * width, start, start + width);
  }
  return out;
}
