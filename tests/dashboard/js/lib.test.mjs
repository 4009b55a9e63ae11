import assert from "node:assert/strict";
import { test } from "node:test";
import { chartOfJson, chartsOfColumns } from "../../../quark/dashboard/src/lib/columns.js";
import { csvOf, field } from "../../../quark/dashboard/src/lib/csv.js";
import { bytes, duration, flatten, metric, number, plain, position, runName, tickAt, visible } from "../../../quark/dashboard/src/lib/format.js";
import { mainKey, matcher, sections } from "../../../quark/dashboard/src/lib/keys.js";
import { linesOf, notesOf } from "../../../quark/dashboard/src/lib/log-lines.js";
import { imageType } from "../../../quark/dashboard/src/lib/media.js";
import { stepRange } from "../../../quark/dashboard/src/lib/range.js";
import { ranked } from "../../../quark/dashboard/src/lib/rank.js";
import { nearest } from "../../../quark/dashboard/src/lib/search.js";
import { ChartSource, byRuns } from "../../../quark/dashboard/src/lib/source.js";
import { distinct, leading, verdict } from "../../../quark/dashboard/src/lib/verdict.js";
import { START, decodeView, encodeView } from "../../../quark/dashboard/src/lib/view-code.js";

test("numbers are short and say what they are", () => {
  const shown = [0, 1, 1199, 39120.4, 0.00012, 1.23456, NaN, -Infinity, null, 1e12, 2.3e-9].map(number);
  assert.deepEqual(shown, ["0", "1", "1,199", "39,120", "1.2e-4", "1.235", "NaN", "-Inf", "–", "1e12", "2.3e-9"]);
  assert.equal(bytes(3318292480), "3.32 GB");
  assert.equal(metric("system/ram/used_bytes", 1500), "1.5 kB");
  assert.deepEqual([5, 65, 3700, 90000].map(duration), ["5 s", "1 min 5 s", "1 h 1 min", "1 d 1 h"]);
  assert.deepEqual([tickAt("step", 25000, 5000), position("step", 25000), tickAt("relative", 1.5, 0.5), tickAt("relative", 5400, 600)], ["25k", "25,000", "1.5 s", "1:30 h"]);
});

test("a view survives the address, and a broken address is the view at the start", () => {
  const view = { ...START, f: "loss|µ", z: [1, 2.5], p: ["a/b"], y: true, s: 50 };
  assert.deepEqual(decodeView(encodeView(view)), view);
  assert.equal(encodeView({ ...START }), "");
  for (const hash of ["", "#", "#v=", "#v=%%", "#v=bm90IGpzb24", "#token=x", encodeView({ ...START, f: 3, z: ["a", 1], p: "x", y: 1 })]) assert.deepEqual(decodeView(hash), START);
});

test("a filter is a regular expression, or text while it is no valid one", () => {
  assert.deepEqual(["train/loss", "val/loss", "lr"].filter(matcher("^train|^LR$")), ["train/loss", "lr"]);
  assert.ok(matcher("loss (")("x/loss (train)"));
  assert.ok(matcher("")("anything"));
});

test("sections: training first, losses first in them, charts alone in their namespace share one, the system last", () => {
  const held = sections(["system/cpu", "system/ram", "lr", "grad/norm", "val/acc", "val/loss", "train/acc", "train/loss"]);
  assert.deepEqual(held.map(([name]) => name), ["train", "val", "metrics", "system"]);
  assert.deepEqual(held[0][1], ["train/loss", "train/acc"]);
  assert.deepEqual(held[2][1], ["grad/norm", "lr"]);
  assert.equal(mainKey(["val/loss", "train/loss"]), "train/loss");
  assert.equal(mainKey([]), null);
});

const alert = (severity, step_start, rule_id = "r", extra = {}) => ({ rule_id, severity, step_start, subject: null, title: rule_id, fact: "It rose", actions: ["Stop"], ...extra });
const run = { id: "0123456789abcdef", status: "completed", reason: null };

test("an alert that grew worse counts once, with its number in the list of all", () => {
  const held = distinct([alert("warning", 5), alert("info", 9, "other"), alert("critical", 5)]);
  assert.deepEqual(held.map(({ n, alert: { severity } }) => [n, severity]), [[2, "info"], [3, "critical"]]);
  assert.equal(leading(held)?.n, 3);
  const slow = alert("critical", 1, "slow_step", { category: "runtime" });
  assert.equal(leading(distinct([slow, alert("warning", 5, "loss_spike"), alert("warning", 6, "lr_too_high")]))?.n, 3);
});

test("the verdict: the worst alert with the number and what to do; failure; not diagnosed; healthy", () => {
  const said = verdict(run, distinct([alert("warning", 1000)]), [], 1);
  assert.deepEqual([said.what, said.why, said.next, said.level], ["r, since step 1,000.", "It rose.", "Try: Stop.", "warning"]);
  assert.equal(verdict({ ...run, status: "failed", reason: "lost" }, [], [], 0).what, "The run failed (lost).");
  const left = { text: "Overfitting, since step 9: the loss rose by 3.2. Try: Stop early", severity: "warning", rule: "r", step: 9 };
  assert.deepEqual(verdict(run, distinct([alert("warning", 9)]), [], 1, left), { level: "warning", what: "Overfitting, since step 9.", why: "The loss rose by 3.2.", next: "Try: Stop early", n: 1 });
  assert.equal(verdict(run, [], [], 1, { text: "No fault was found: it fell to 0.1.", status: "healthy" }).what, "No fault was found: it fell to 0.1.");
  assert.equal(verdict(run, [], [], 1, { text: "Not analyzed: too large", status: "not analyzed" }).next, "quark analyze 0123456789abc");
  assert.match(verdict(run, [], [], 0).what, /Not diagnosed/);
  const nan = alert("error", 1200, "nonfinite_values", { title: "train/loss is nan", fact: "train/loss was nan at step 1200.", step_end: 1200 });
  assert.deepEqual([verdict(run, distinct([nan]), [], 1)].map(({ what, why }) => [what, why]), [["train/loss is nan, at step 1,200.", ""]]);
  const twice = { text: "train/loss is nan, seen at step 9: train/loss was nan at step 9. Try: Look", severity: "error", rule: "nonfinite_values", step: 9 };
  assert.deepEqual([verdict(run, [], [], 1, twice)].map(({ what, why, next }) => [what, why, next]), [["train/loss is nan, seen at step 9.", "", "Try: Look"]]);
  assert.equal(verdict(run, [], [], 2).level, "healthy");
});

test("what many panels ask for in one moment travels in one request, once", async () => {
  const asked = [];
  const source = new ChartSource(async (body) => {
    asked.push(body);
    return body.runs.flatMap((id) => body.keys.map((key) => chartOfJson({ run: id, key, count: 0 })));
  });
  const range = { buckets: 100, axis: "step", min: null, max: null };
  const [one, other] = await Promise.all([source.get("a", "x", range), source.get("a", "y", range), source.get("b", "x", range), source.get("a", "x", range)]);
  assert.deepEqual([one.key, other.key], ["x", "y"]);
  assert.equal(asked.length, 2);
  await source.get("a", "x", range);
  assert.equal(asked.length, 2);
  source.refresh();
  await source.get("a", "x", range);
  assert.equal(asked.length, 3);
});

test("a request that fails is said to all who wait, and asked again", async () => {
  let fail = true;
  const source = new ChartSource(async ({ runs, keys }) => {
    if (fail) throw new Error("away");
    return [chartOfJson({ run: runs[0], key: keys[0] })];
  });
  const range = { buckets: 1, axis: "step", min: null, max: null };
  await assert.rejects(source.get("a", "x", range), /away/);
  fail = false;
  assert.equal((await source.get("a", "x", range)).run, "a");
  assert.deepEqual(byRuns([{ run: "a", key: "x" }, { run: "b", key: "x" }]).map(([runs]) => runs), [["a", "b"]]);
});

test("positions are the nearest ones", () => {
  const x = Float64Array.of(0, 10, 20);
  assert.deepEqual([-5, 4, 5, 6, 99].map((at) => nearest(x, at)), [0, 0, 0, 1, 2]);
  assert.equal(nearest(Float64Array.of(), 1), -1);
});

test("CSV quotes what it must, and no name becomes a formula", () => {
  assert.deepEqual(['a"b', "a,b", "=1+1", -1, "-x"].map(field), ['"a""b"', '"a,b"', "'=1+1", "-1", "'-x"]);
  const line = { name: "=cmd", chart: chartOfJson({ run: "r", key: "k", x: [1], mean: [2], min: [1], max: [3], n: [4] }) };
  assert.equal(csvOf("step", [line]), "run,name,key,step,mean,min,max,n\r\nr,'=cmd,k,1,2,1,3,4\r\n");
});

test("events become lines, printed ones line by line", () => {
  const event = { id: "e", timestamp: "t", step: 1, severity: "info" };
  assert.deepEqual(linesOf({ ...event, event_type: "log_line", payload: { message: "a\nb", stream: "stdout" } }).map(({ text }) => text), ["a", "b"]);
  assert.equal(linesOf({ ...event, event_type: "checkpoint", payload: { path: "x", n: 2 } })[0].text, "path=x  n=2");
});

test("a few letters find what begins with them first", () => {
  const items = ["val/loss", "loss"].map((title) => ({ title, kind: "metric" }));
  assert.deepEqual(ranked(items, "loss").map(({ title }) => title), ["loss", "val/loss"]);
  assert.deepEqual(ranked(items, "metric val").map(({ title }) => title), ["val/loss"]);
});

test("nested values are dotted paths", () => {
  assert.deepEqual(flatten({ a: { b: 1 }, c: [1] }), [["a.b", 1], ["c", [1]]]);
  assert.deepEqual([plain(null), plain([1]), plain("x"), plain(0.1)], ["–", "[1]", "x", "0.1"]);
});

test("binary columns are those of the JSON answer, whatever the widths of their numbers", () => {
  const charts = [{ run: "a", key: "é", types: { x: "f8", mean: "f4", min: "f8", max: "f4", n: "f4" }, length: 3 }, { name: "group", key: "k", types: { x: "f8", mean: "f4", min: "f4", max: "f4", n: "f4" }, length: 1 }];
  let text = new TextEncoder().encode(JSON.stringify({ charts }));
  text = Uint8Array.from([...text, ...Array((8 - ((text.length + 4) % 8)) % 8).fill(32)]);
  const column = (kind, values) => {
    const bytes = new Uint8Array((kind === "f8" ? Float64Array : Float32Array).from(values).buffer);
    return [...bytes, ...Array((8 - (bytes.length % 8)) % 8).fill(0)];
  };
  const body = charts.flatMap(({ types, length }) => Object.values(types).flatMap((kind, c) => column(kind, Array.from({ length }, (_, i) => 10 * c + i))));
  const bytes = Uint8Array.from([...new Uint8Array(Uint32Array.of(text.length).buffer), ...text, ...body]);
  const [one, other] = chartsOfColumns(bytes.buffer);
  assert.deepEqual([[...one.x], [...one.min], [...one.n], one.key, one.run], [[0, 1, 2], [20, 21, 22], [40, 41, 42], "é", "a"]);
  assert.deepEqual([[...other.max], other.run, other.nonfinite], [[30], "group", []]);
  assert.ok(Number.isNaN(chartOfJson({ x: [1], mean: [null] }).mean[0]));
});

test("marks that reorder or hide text are shown, letters of every script and ends of lines stay", () => {
  assert.equal(visible("a\u202egnp\u0007 \u05e9\u05dc漢é\n\t"), "a\\u202egnp\\u0007 \u05e9\u05dc漢é\n\t");
  assert.equal(runName({ id: "0123456789abcdef", name: "x\u2066y" }), "x\\u2066y");
  assert.equal(plain(["\u200b"]), '["\\u200b"]');
});

test("notes are those since the last one that took the place of the others", () => {
  const note = (text, replaces) => ({ payload: { text, replaces } });
  assert.equal(notesOf([note("a"), note("b", true), note("c")]), "b\n\nc");
  assert.equal(notesOf([note("a"), note("b")]), "a\n\nb");
  assert.equal(notesOf([]), "");
});

test("images are known by their first bytes, not by their names", () => {
  assert.equal(imageType(Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 1)), "image/png");
  assert.equal(imageType(new TextEncoder().encode("RIFF1234WEBP")), "image/webp");
  assert.equal(imageType(new TextEncoder().encode("<svg onload=alert(1)>")), "");
  assert.equal(imageType(Uint8Array.of()), "");
});

test("keys move and size the range within the whole run", () => {
  const whole = [0, 100];
  assert.deepEqual(stepRange("ArrowRight", false, [10, 20], whole), [11, 21]);
  assert.deepEqual(stepRange("ArrowRight", true, [85, 95], whole), [90, 100]);
  assert.deepEqual(stepRange("+", false, [0, 100], whole), [25, 75]);
  assert.equal(stepRange("-", false, [25, 75], whole), null);
  assert.equal(stepRange("Escape", false, [25, 75], whole), null);
  assert.equal(stepRange("a", false, [25, 75], whole), undefined);
});
