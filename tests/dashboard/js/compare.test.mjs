import assert from "node:assert/strict";
import { test } from "node:test";
import { clipped } from "../../../quark/dashboard/src/lib/format.js";
import { noiseBand, seedGroups, settingsTable } from "../../../quark/dashboard/src/runs/compare-data.js";
import { byCode, patchLines } from "../../../quark/dashboard/src/runs/patch.js";

test("packages that one run imported later are no difference, other versions are", () => {
  const packages = (held) => ({ environment: { packages: held }, config: {} });
  const table = settingsTable([packages({ numpy: "2.1", torch: "2.5" }), packages({ numpy: "2.1", torch: "2.6", pandas: "2.2" })]);
  assert.deepEqual(table.filter(({ differs }) => differs).map(({ path }) => path), ["environment.packages.torch"]);
});

test("changes of files that were not looked for in a short run are no difference", () => {
  const git = (held) => ({ environment: { git: { branch: "main", ...held } }, config: {} });
  assert.deepEqual(settingsTable([git({}), git({ dirty: false, changes: { files: 0 } })]).filter(({ differs }) => differs), []);
  assert.deepEqual(settingsTable([git({ dirty: true }), git({ dirty: false })]).map(({ differs }) => differs), [false, true]);
});

test("long text is clipped, never within a character, and text that is little longer is not", () => {
  assert.equal(clipped("x".repeat(10000)).length, 300);
  assert.equal(clipped("x".repeat(400)), "x".repeat(400));
  assert.equal(clipped("x".repeat(299) + "😀".repeat(400)), "x".repeat(299));
});

test("runs that differ in their seeds only tell how large the noise is", () => {
  const configs = [{ lr: 0.1, seed: 1 }, { seed: 2, lr: 0.1 }, { lr: 0.2, seed: 1 }, { lr: 0.1, data: { random_state: 3 } }];
  assert.deepEqual(seedGroups(configs), [[0, 1, 3]]);
  assert.deepEqual(seedGroups([{ lr: 1 }, { lr: 2 }]), []);
  assert.deepEqual(seedGroups([{ lr: 1, seedling: 1 }, { lr: 1, seedling: 2 }]), []);
  assert.equal(noiseBand([1, 3], [[0, 1]]), 4); // each deviates by the root of 2, their difference by 2
  assert.equal(noiseBand([1, null, 3, NaN], [[0, 1], [2, 3]]), null);
  assert.equal(noiseBand([5, 1, 3, 7], [[1, 2]]), 4);
});

test("what a line of a patch is follows from its place, not from how it looks", () => {
  const patch = ["# changes since commit abc", "diff --git a/x b/x", "--- a/x", "+++ b/x", "@@ -1,3 +1,3 @@ def f():", " same", "--- a removed comment", "+++ an added one", " diff --git a/y b/y", "\\ No newline at end of file", "diff --git a/z b/z", "@@ -1 +0,0 @@", "-gone", ""].join("\n");
  assert.deepEqual(patchLines(patch).map(({ kind }) => kind), ["note", "file", "note", "note", "place", "same", "removed", "added", "same", "note", "file", "place", "removed"]);
});

test("runs of the same commit and changes are one state of the code", () => {
  const held = [{ run: "a", commit: "1", patch: "x" }, { run: "b", commit: "1", patch: null }, { run: "c", commit: "1", patch: "x" }];
  assert.deepEqual(byCode(held).map(({ runs }) => runs.join("")), ["ac", "b"]);
});
