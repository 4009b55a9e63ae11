import assert from "node:assert/strict";
import { test } from "node:test";
import { difference, direction, settingsTable } from "../../../quark/dashboard/src/runs/compare-data.js";
import { nearestPoint, numbersOf, rangeOf, within } from "../../../quark/dashboard/src/runs/scatter-data.js";
import { cell, firstColumns, groupRows, headOf, meanOf, queryOf, sorted } from "../../../quark/dashboard/src/runs/table-data.js";

const row = (id, columns, extra = {}) => ({ id, name: null, project: "p", status: "completed", reason: null, created_at: "2026-01-01T00:00:00Z", ended_at: "2026-01-01T00:01:00Z", updated_at: "", tags: [], columns, steps: {}, ...extra });
const ids = (rows) => rows.map(({ id }) => id).join("");

test("rows are sorted by numbers as numbers, runs without a value last either way, equal ones in their order", () => {
  const rows = [row("a", { m: 10 }), row("b", { m: null }), row("c", { m: 9 }), row("d", { m: 10 })];
  assert.equal(ids(sorted(rows, "m")), "cadb");
  assert.equal(ids(sorted(rows, "-m")), "adcb");
});

test("text and mixed columns have an order too", () => {
  const rows = [row("a", { m: "x" }), row("b", { m: 3 }), row("c", { m: "B" })];
  assert.equal(ids(sorted(rows, "m")), "bca");
  assert.equal(ids(sorted([row("a", {}, { name: "z" }), row("b", {}, { name: "y" })], "name")), "ba");
  assert.equal(cell(row("a", {}), "took"), 60);
});

test("groups are those of the values of the keys; a mean is over the runs that have a number", () => {
  const rows = [row("a", { "config.lr": 0.1, m: 1 }), row("b", { "config.lr": 0.2, m: 5 }), row("c", { "config.lr": 0.1, m: null }), row("d", { m: 2 })];
  const groups = groupRows(rows, ["lr"]);
  assert.deepEqual(groups.map(({ name, rows: held }) => [name, ids(held)]), [["lr=0.1", "ac"], ["lr=0.2", "b"], ["lr=–", "d"]]);
  assert.equal(meanOf(groups[0].rows, "m"), 1);
  assert.equal(meanOf([], "m"), null);
});

test("a project's name cannot change the query", () => {
  assert.equal(queryOf('a" status:failed "\\', "lr<1"), 'project:"a\\" status:failed \\"\\\\" lr<1');
});

test("the first columns are what differs, and losses and scores", () => {
  assert.deepEqual(firstColumns([{ lr: 1, seed: 1 }, { lr: 2, seed: 1 }], ["x", "train/loss", "val/acc"]), ["config.lr", "max:val/acc", "min:train/loss"]);
  assert.deepEqual(["config.lr", "min:val/loss", "started_at"].map(headOf), ["lr", "val/loss (min)", "started"]);
});

test("the table of settings knows which differ, also where one run has none", () => {
  const table = settingsTable([{ a: { b: 1 }, c: 2 }, { a: { b: 1 } }]);
  assert.deepEqual(table.map(({ path, differs }) => [path, differs]), [["a.b", false], ["c", true]]);
});

test("differences say their size, their part, and whether they are better where that is known", () => {
  assert.deepEqual(difference("val/loss", 2, 1), { size: -1, part: -0.5, way: 1 });
  assert.equal(difference("val/acc", 0.5, 0.4)?.way, -1);
  assert.equal(difference("lr", 1, 2)?.way, 0);
  assert.equal(difference("x", null, 1), null);
  assert.equal(direction("closs_rate"), 0);
});

test("axes: numbers keep their size, words their order, magnitudes get a logarithm", () => {
  assert.deepEqual(numbersOf([row("a", { o: "sgd" }), row("b", { o: "adam" }), row("c", {})], "o"), { values: Float64Array.of(1, 0, NaN), words: ["adam", "sgd"] });
  assert.equal(rangeOf(Float64Array.of(1e-4, 1e-1)).log, true);
  assert.deepEqual(rangeOf(Float64Array.of(NaN)), { min: 0, max: 1, log: false });
});

test("the point under the pointer is the nearest one, within reach", () => {
  assert.equal(nearestPoint(Float64Array.of(0, 10), Float64Array.of(0, 10), 9, 9, 5), 1);
  assert.equal(nearestPoint(Float64Array.of(0, NaN), Float64Array.of(0, 10), 50, 50, 5), -1);
  assert.deepEqual([...within([Float64Array.of(1, 5, NaN)], [[0, 2]])], [1, 0, 0]);
});
