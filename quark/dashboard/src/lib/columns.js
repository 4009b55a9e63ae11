// Charts as the service sends them: JSON, or binary columns. Pure functions.

export const COLUMNS = "application/vnd.quark.columns";
const NAMES = ["x", "mean", "min", "max", "n"];
const REST = { axis: "step", count: 0, width: 0, nonfinite: [], nonfinite_count: 0, restarts: [] };

/** A chart of a JSON answer, with typed columns. The chart of a group has its name in the place of a run.
 * @param {any} held @returns {Chart} */
export function chartOfJson(held) {
  const columns = NAMES.map((name) => [name, Float64Array.from(held[name] ?? [], (/** @type {number | null} */ value) => value ?? NaN)]);
  return { ...REST, ...held, run: held.run ?? held.name, ...Object.fromEntries(columns) };
}

/** The charts of a binary answer: the length of a JSON text, the text, then the columns of each chart, each at a multiple of
 * eight bytes. The columns are views of the answer; nothing is copied. @param {ArrayBuffer} buffer @returns {Chart[]} */
export function chartsOfColumns(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const { charts } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let at = 4 + length;
  return charts.map((/** @type {any} */ { types, length: rows, ...about }) => {
    const columns = NAMES.map((name) => {
      const column = types[name] === "f8" ? new Float64Array(buffer, at, rows) : new Float32Array(buffer, at, rows);
      at += Math.ceil(column.byteLength / 8) * 8;
      return [name, column];
    });
    return { ...REST, ...about, run: about.run ?? about.name, ...Object.fromEntries(columns) };
  });
}
