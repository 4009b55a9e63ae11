import assert from "node:assert/strict";
import { test } from "node:test";
import { answerOf } from "../../../quark/dashboard/src/lib/report.js";

const chart = { run: "r", key: "loss", axis: "step", count: 4, x: [0, 10, 20, 30], mean: [4, 3, 2, 1], min: [4, 3, 2, 1], max: [4, 3, 2, 1], n: [1, 1, 1, 1], nonfinite: [{ x: 5, step: 5, kind: "nan" }] };
const held = { path: "/r/r", charts: [chart], answers: { "/runs/r": { id: "r" }, "/runs/r/records/event": { records: [{ event_type: "a", time_ns: 1 }, { event_type: "b", time_ns: 2 }, { event_type: "b", time_ns: 3 }], next: null } } };

test("a report answers what it holds, with the records that are asked for", () => {
  assert.equal(answerOf(held, "/runs/r").id, "r");
  assert.equal(answerOf(held, "/runs/r/records/event?where=%7B%22event_type%22%3A%22b%22%7D&limit=1").records.length, 1);
  assert.equal(answerOf(held, "/runs/r/records/event?sort=-arrival&limit=1").records[0].time_ns, 3);
  assert.deepEqual(answerOf(held, "/runs/r/records/layer?limit=1").records, []);
  assert.equal(answerOf(held, "/projects"), null);
});

test("charts of a report are those of the whole run, cut to the range with one bucket beyond", () => {
  const ask = (more) => answerOf(held, "/charts", { runs: ["r"], keys: ["loss", "none"], buckets: 9, axis: "step", min: null, max: null, ...more });
  assert.deepEqual(ask({}).map(({ x }) => [...x]), [[0, 10, 20, 30], []]);
  assert.deepEqual([...ask({ min: 12, max: 18 })[0].x], [10, 20]);
  assert.deepEqual(ask({ min: 12 })[0].nonfinite, []);
  assert.deepEqual([...ask({ axis: "wall" })[0].x], []);
});
