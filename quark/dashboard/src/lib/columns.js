// Charts as the service sends them: JSON, or binary columns (application/vnd.quark.columns). Pure functions.

export const COLUMNS = "application/vnd.quark.columns";
const NAMES = ["x", "mean", "min", "max", "n"];

/** A chart of a JSON answer, with typed columns. @param {any} held @returns {Chart} */
export function chartOfJson(held) {
  return {
    ...held, run: held.run ?? held.name, axis: held.axis ?? "step",
    x: Float64Array.from(held.x ?? []), n: Float64Array.from(held.n ?? []),
    mean: floats(held.mean), min: floats(held.min), max: floats(held.max),
    nonfinite: held.nonfinite ?? [], nonfinite_count: held.nonfinite_count ?? 0, restarts: held.restarts ?? [],
  };
}

/** @param {(number | null)[] | undefined} values */
function floats(values) {
  return Float32Array.from(values ?? [], (value) => value ?? NaN);
}

/** The columns of a chart, in the order in which they are sent. */
export { NAMES };
