import assert from "node:assert/strict";
import { test } from "node:test";
import { isMuted, mute, parseMuted } from "../../../quark/dashboard/src/lib/muted.js";
import { metricOf } from "../../../quark/dashboard/src/runs/table-data.js";

test("a rule is muted in the project where somebody muted it, until they take that back", () => {
  mute("vision", "loss_spike", true);
  mute("vision", "loss_spike", true);
  mute("__proto__x", "plateau", true);
  assert.deepEqual([["vision", "loss_spike"], ["vision", "plateau"], ["other", "loss_spike"], ["toString", "loss_spike"]].map(([project, rule]) => isMuted(project, rule)), [true, false, false, false]);
  mute("vision", "loss_spike", false);
  assert.equal(isMuted("vision", "loss_spike"), false);
  assert.equal(isMuted(undefined, "loss_spike"), false);
});

test("what was kept is read if it has the form of what is kept", () => {
  assert.deepEqual(parseMuted('{"p": ["a"], "q": "a", "r": [1]}'), { p: ["a"] });
  assert.deepEqual([null, "", "no JSON", "3", "null"].map(parseMuted), [{}, {}, {}, {}, {}]);
});

test("the metric whose course is shown is that of the first column that has one", () => {
  assert.equal(metricOf(["config.lr", "max:val/acc:top", "min:val/loss"]), "val/acc:top");
  assert.equal(metricOf(["config.lr", "started_at"]), null);
});
