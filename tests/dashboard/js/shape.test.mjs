import assert from "node:assert/strict";
import { test } from "node:test";
import { endings, extent, smoothed, spanOf, spoken, stretches } from "../../../quark/dashboard/src/charts/shape.js";

export const chart = (x, min, max, extra = {}) => ({
  run: "r", key: "k", axis: "step", count: x.length, x: Float64Array.from(x), min: Float32Array.from(min), max: Float32Array.from(max),
  mean: Float32Array.from(x, (_, i) => (min[i] + max[i]) / 2), n: new Float64Array(x.length).fill(3), nonfinite: [], nonfinite_count: 0, restarts: [], ...extra,
});

test("a line is interrupted where points are far apart, and only there", () => {
  assert.deepEqual(stretches(Float64Array.of(0, 1, 2, 3, 50, 51, 52)), [0, 4]);
  assert.deepEqual(stretches(Float64Array.of(0, 25, 50, 75)), [0]);
  assert.deepEqual(stretches(Float64Array.of()), []);
  assert.deepEqual(stretches(Float64Array.of(7)), [0]);
  assert.deepEqual(stretches(Float64Array.of(0, 1, 2, 12, 13), 1, "wall"), [0]);
});

test("the range of y holds every spike that is in view", () => {
  for (let seed = 1; seed < 200; seed++) {
    const at = (seed * 37) % 500;
    const x = Array.from({ length: 500 }, (_, i) => i * 10);
    const max = x.map((_, i) => (i === at ? 25 + seed : 2));
    const [low, high] = extent([chart(x, x.map(() => 1), max)], [0, 4990], false, false);
    assert.ok(high >= 25 + seed && low <= 1);
  }
});

test("outliers leave the range of y only when that was asked for", () => {
  const x = Array.from({ length: 100 }, (_, i) => i);
  const held = [chart(x, x.map(() => 1), x.map((i) => (i === 50 ? 1000 : 2)))];
  assert.ok(extent(held, [0, 99], false, false)[1] > 1000);
  assert.ok(extent(held, [0, 99], false, true)[1] < 10);
});

test("a logarithmic range begins above zero whatever the values are", () => {
  const [low, high] = extent([chart([0, 1, 2], [-1, 0, 0.01], [0, 0.5, 10])], [0, 2], true, false);
  assert.ok(low > 0 && high >= 10);
  assert.deepEqual(extent([chart([0], [-2], [-1])], [0, 1], true, false).map((v) => v > 0), [true, true]);
});

test("equal values and no values have a range too", () => {
  const [low, high] = extent([chart([0, 1], [3, 3], [3, 3])], [0, 1], false, false);
  assert.ok(low < 3 && high > 3);
  assert.deepEqual(extent([], [0, 1], false, false), [0, 1]);
});

test("the span of x reaches to values that are not finite", () => {
  assert.deepEqual(spanOf([chart([5, 6], [0, 0], [1, 1], { nonfinite: [{ x: 9, step: 9, kind: "nan" }] })]), [5, 9]);
  assert.equal(spanOf([]), null);
});

test("smoothing begins at the first value, stays within the values, and invents none", () => {
  const held = chart([0, 1, 2, 3], [4, 2, 2, 2], [4, 2, 2, 2]);
  const out = smoothed(held, 2);
  assert.equal(out[0], 4);
  assert.ok([...out].every((value, i) => value <= 4 && value >= 2 && (i === 0 || value <= out[i - 1])));
  assert.ok(Math.abs(smoothed(held, 1e9)[3] - 2.5) < 1e-3, "a long window gives the mean of all, not the first value");
});

test("a chart says its last value, its extremes and what is not finite", () => {
  const line = { id: "r", name: "run", color: "", dash: [], chart: chart([0, 1], [1, 2], [5, 2], { nonfinite_count: 2 }) };
  assert.equal(spoken("loss", [line], String), "loss. run: last 2, min 1, max 5, 2 not finite");
});

test("the range of y reaches to where a line leaves the view, not to the point beyond", () => {
  const [, high] = extent([chart([0, 10, 20, 30], [0, 0, 0, 0], [100, 0, 0, 100])], [5, 25], false, false);
  assert.ok(high >= 50 && high < 60);
});

test("the places where shorter runs of a group end are known, a bucket without some runs is none", () => {
  assert.deepEqual(endings([3, 3, 2, 3, 2, 2, 1]), [3, 5]);
  assert.deepEqual(endings([2, 2]), []);
});
