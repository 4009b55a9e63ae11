import assert from "node:assert/strict";
import { test } from "node:test";
import { laneHeat, slowest, stepBars } from "../../../quark/dashboard/src/run/step-data.js";

const chart = (x, mean, n = x.map(() => 1)) => ({ x: Float64Array.from(x), mean: Float64Array.from(mean), n: Float64Array.from(n) });

test("the bars of a step stack what both metrics have, and the share counts every step", () => {
  const bars = stepBars(chart([0, 10, 20], [1, 3, 9], [1, 3, 1]), chart([0, 10, 30], [9, 7, 9], [1, 3, 1]));
  assert.deepEqual([[...bars.x], [...bars.data], [...bars.rest], bars.most], [[0, 10], [1, 3], [9, 7], 10]);
  assert.equal(bars.share, 10 / 40);
  assert.deepEqual([stepBars(chart([], []), chart([], [])).most, stepBars(chart([], []), chart([], [])).share], [0, 0]);
});

const record = (rank, step, step_time_ms) => ({ rank, step, step_time_ms });

test("ranks are lanes in their order; neighbouring steps share a cell where there are many", () => {
  const heat = laneHeat([record(1, 0, 30), record(0, 0, 10), record(0, 1, 20), record(1, 1, 50), record(0, null, 99), record(1, 1, null)], "step_time_ms", 300);
  assert.deepEqual([heat.rows, heat.steps, [...heat.values]], [["rank 0", "rank 1"], [0, 1], [10, 20, 30, 50]]);
  assert.deepEqual([heat.min, heat.max], [10, 50]);
  const dense = laneHeat(Array.from({ length: 1000 }, (_, step) => record(step % 2, step, step)), "step_time_ms", 10);
  assert.equal(dense.steps.length, 10);
  assert.ok([...dense.values].every(Number.isFinite), "ranks that record different steps leave no cell empty");
  assert.deepEqual([laneHeat([], "step_time_ms", 10).rows, laneHeat([], "step_time_ms", 10).steps], [[], []]);
});

test("the slowest rank is named with how many times it takes of the middle one", () => {
  const lanes = (...times) => laneHeat(times.map((time, rank) => record(rank, 0, time)), "step_time_ms", 10);
  assert.deepEqual(slowest(lanes(10, 10, 25)), { row: "rank 2", times: 2.5 });
  assert.equal(slowest(lanes(10)), null);
});
