// Where the time of the steps goes, and which rank takes longest. Pure functions.

/** @typedef {{x: Float64Array, data: Float64Array, rest: Float64Array, most: number, share: number}} Bars
 * ``data``: mean time until the batch was ready, of each bucket; ``rest``: that of the rest of the step; ``share``: of the data in all.
 * @param {Chart} data @param {Chart} rest @returns {Bars} */
export function stepBars(data, rest) {
  const at = new Map(Array.from(rest.x, (x, i) => [x, i]));
  const both = [...data.x.keys()].filter((i) => at.has(data.x[i]));
  const other = both.map((i) => /** @type {number} */ (at.get(data.x[i])));
  const bars = { x: Float64Array.from(both, (i) => data.x[i]), data: Float64Array.from(both, (i) => data.mean[i]), rest: Float64Array.from(other, (i) => rest.mean[i]) };
  const sum = (/** @type {Chart} */ chart, /** @type {number[]} */ places) => places.reduce((total, i) => total + chart.mean[i] * chart.n[i], 0);
  const [waited, worked] = [sum(data, both), sum(rest, other)];
  return { ...bars, most: Math.max(0, ...bars.data.map((value, i) => value + bars.rest[i])), share: waited + worked > 0 ? waited / (waited + worked) : 0 };
}

/** Steps of each rank as rows of a heat map: the mean of a field over neighbouring steps, at most ``most`` columns of them. Ranks
 * do not record the same steps, so that a cell of one step would be empty in most rows.
 * @param {{rank: number, step: number | null, [field: string]: any}[]} records @param {string} field @param {number} most
 * @returns {import("../charts/heat.js").Heat} */
export function laneHeat(records, field, most) {
  const held = records.filter((record) => record.step !== null && Number.isFinite(record[field]));
  const ranks = [...new Set(held.map(({ rank }) => rank))].sort((a, b) => a - b);
  const at = held.map(({ step }) => Number(step));
  const [first, last] = [at.reduce((a, b) => Math.min(a, b), Infinity), at.reduce((a, b) => Math.max(a, b), -Infinity)];
  const columns = Math.max(1, Math.min(most, Math.floor(held.length / Math.max(1, ranks.length))));
  const wide = Math.max(1, (last - first + 1) / columns);
  const steps = held.length ? Array.from({ length: Math.ceil((last - first + 1) / wide) }, (_, i) => Math.round(first + i * wide)) : [];
  const [sums, counts] = [new Float64Array(ranks.length * steps.length), new Uint32Array(ranks.length * steps.length)];
  for (const record of held) {
    const place = ranks.indexOf(record.rank) * steps.length + Math.min(steps.length - 1, Math.floor((Number(record.step) - first) / wide));
    sums[place] += record[field];
    counts[place] += 1;
  }
  const values = Float32Array.from(sums, (sum, i) => (counts[i] ? sum / counts[i] : NaN));
  const known = [...values].filter(Number.isFinite);
  const positive = known.filter((value) => value > 0);
  return { rows: ranks.map((rank) => `rank ${rank}`), steps, values, bad: new Uint8Array(values.length), min: Math.min(...known), max: Math.max(...known), least: Math.min(...positive) };
}

/** The rank whose mean is highest, and how many times that is of the middle one; null where there are fewer than two.
 * @param {import("../charts/heat.js").Heat} heat @returns {{row: string, times: number} | null} */
export function slowest({ rows, steps, values }) {
  if (rows.length < 2) return null;
  const means = rows.map((_, i) => {
    const row = values.subarray(i * steps.length, (i + 1) * steps.length).filter(Number.isFinite);
    return row.reduce((sum, value) => sum + value, 0) / row.length;
  });
  const middle = means.toSorted((a, b) => a - b)[(means.length - 1) >> 1];
  const most = means.indexOf(Math.max(...means));
  return middle > 0 ? { row: rows[most], times: means[most] / middle } : null;
}
