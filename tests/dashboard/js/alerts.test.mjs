import assert from "node:assert/strict";
import { test } from "node:test";
import { layersOf } from "../../../quark/dashboard/src/run/layer-alert.js";
import { AlertList } from "../../../quark/dashboard/src/runs/alert-list.js";

const alert = (rule_id, minute, extra = {}) => ({ rule_id, severity: "error", subject: null, step_start: minute, title: rule_id, evidence: [], timestamp: `2026-01-01T00:${String(minute).padStart(2, "0")}:00Z`, ...extra });
const run = (id, status = "completed", updated_at = "1") => ({ id, name: null, project_name: "p", status, updated_at });
const brief = (listed) => listed.map(({ run: { id }, alert: { rule_id }, n }) => `${id} ${rule_id} ${n}`);

test("the newest alerts over all runs come first, each with its number in its run, and repeated ones once", async () => {
  const alerts = { a: [alert("spike", 1), alert("spike", 1, { severity: "critical" }), alert("nan", 9)], b: [alert("plateau", 5)], c: [] };
  const list = new AlertList(async (id) => alerts[id]);
  assert.deepEqual(brief(await list.newest([run("c"), run("a"), run("b")], 10)), ["a nan 3", "b plateau 1", "a spike 2"]);
  assert.deepEqual(brief(await list.newest([run("a"), run("b")], 1)), ["a nan 3"]);
  assert.deepEqual(brief(await list.newest([run("a"), run("b")], 1, (_, { rule_id }) => rule_id === "nan")), ["b plateau 1"]);
});

test("alerts of a run that has ended are read once until it changes, those of a running one each time", async () => {
  const read = [];
  const list = new AlertList(async (id) => (read.push(id), []));
  await list.newest([run("ended"), run("live", "running")], 10);
  await list.newest([run("ended"), run("live", "running")], 10);
  assert.deepEqual(read, ["ended", "live", "live"]);
  await list.newest([run("ended", "completed", "2")], 10);
  assert.deepEqual(read.slice(3), ["ended"]);
});

const about = (rule_id, title, ...evidence) => layersOf(alert(rule_id, 1, { title, evidence: evidence.map(([kind, source, summary = ""]) => ({ kind, source, summary })) })).map(({ name, stat }) => [name, stat]);

test("an alert about a layer leads to the statistic that shows it, one about a metric to none", () => {
  assert.deepEqual(about("vanishing_gradients", "", ["parameter", "0.weight"], ["gradient", "all layers"]), [["0.weight", "gradient_norm"]]);
  assert.deepEqual(about("vanishing_gradients", "", ["layer_summary", "fc1"]), [["fc1", "activation_gradient"]]);
  assert.deepEqual(about("stagnant_layers", "", ["parameter", "0.weight"]), [["0.weight", "update_ratio"]]);
  assert.deepEqual(about("activation_collapse", "", ["layer_summary", "act", "absolute: dead"]), [["act", "dead"]]);
  assert.deepEqual(about("activation_collapse", "", ["layer_summary", "act", "absolute: saturated"]), [["act", "saturated"]]);
  assert.deepEqual(about("activation_collapse", "", ["layer_summary", "act", "absolute: constant"]), [["act", "activation_std"]]);
  assert.deepEqual(about("nonfinite_values", "The weight 0.weight is not finite", ["parameter", "0.weight"]), [["0.weight", "weight_norm"]]);
  assert.deepEqual(about("loss_spike", "", ["metric", "train/loss"]), []);
});
