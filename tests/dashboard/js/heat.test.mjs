import assert from "node:assert/strict";
import { test } from "node:test";
import { STATISTICS, TABLE, columnsOf, heatOf, heatPixels, share } from "../../../quark/dashboard/src/charts/heat.js";

const record = (parameter_name, step, gradient_norm, metadata = {}) => ({ parameter_name, step, gradient_norm, metadata });
const heat = () => heatOf([record("a", 0, 1), record("b", 0, 100), record("a", 10, 10), record("b", 10, null, { nonfinite_count: 3 })], STATISTICS.gradient_norm);

test("rows keep the order of the model, steps are sorted, extremes are known", () => {
  const { rows, steps, min, max, least } = heat();
  assert.deepEqual([rows, steps, min, max, least], [["a", "b"], [0, 10], 1, 100, 1]);
});

test("a row without any value is left out", () => {
  assert.deepEqual(heatOf([record("a", 0, 1), record("frozen", 0, null)], STATISTICS.gradient_norm).rows, ["a"]);
});

test("colours go from the least to the greatest value, on a logarithmic scale too", () => {
  assert.equal(share(heat(), 10, true), 0.5);
  assert.equal(share(heat(), 100, false), 1);
  assert.equal(share(heat(), 0, true), 0);
});

test("a cell reaches to the next step, and ends where recording ended", () => {
  assert.deepEqual([...columnsOf([0, 10, 20], 0, 30, 6)], [0, 0, 1, 1, 2, 2]);
  assert.equal(columnsOf([0, 10, 20], 0, 200, 20).at(-1), -1);
  assert.equal(columnsOf([50], 0, 100, 2)[0], -1);
});

test("pixels: a value has its colour, a missing one and one that is not finite have their own", () => {
  const pixels = heatPixels(heat(), true, Int32Array.of(0, 1, -1), 2, 7, 9);
  assert.deepEqual([...pixels], [TABLE[0], TABLE[128], 7, TABLE[0], TABLE[128], 7, TABLE[255], 9, 7, TABLE[255], 9, 7]);
});
