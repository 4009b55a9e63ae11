import assert from "node:assert/strict";
import { test } from "node:test";
import { drawBand, drawLine, drawNonfinite, pixel, scaleOf } from "../../../quark/dashboard/src/charts/draw.js";

/** A canvas context that notes what was drawn; stands for a browser's, which node has not. */
function paper() {
  const calls = [];
  const note = (name) => (...args) => calls.push([name, ...args]);
  const names = ["beginPath", "moveTo", "lineTo", "closePath", "fill", "stroke", "rect", "arc"];
  return { calls, ...Object.fromEntries(names.map((name) => [name, note(name)])) };
}
const chart = (x, min, max) => ({ x: Float64Array.from(x), min: Float32Array.from(min), max: Float32Array.from(max) });
const [sx, sy] = [scaleOf(0, 10, 0, 100), scaleOf(0, 10, 100, 0)];

test("scales are linear or logarithmic, and put what a logarithm has not far below", () => {
  assert.equal(pixel(sx, 5), 50);
  assert.equal(pixel(scaleOf(1, 100, 0, 100, true), 10), 50);
  assert.ok(pixel(scaleOf(1, 100, 100, 0, true), 0) > 1000);
});

test("a spike of one bucket reaches its full height in the band", () => {
  const ctx = paper();
  drawBand(ctx, chart([0, 1, 2], [0, 0, 0], [1, 9, 1]), [0], sx, sy, 2);
  assert.ok(ctx.calls.some(([name, x, y]) => name === "lineTo" && x === 10 && Math.abs(y - 10) < 1e-4));
});

test("neither band nor line crosses a gap", () => {
  const ctx = paper();
  drawBand(ctx, chart([0, 1, 8, 9], [0, 0, 0, 0], [1, 1, 1, 1]), [0, 2], sx, sy, 2);
  assert.equal(ctx.calls.filter(([name]) => name === "closePath").length, 2);
  const line = paper();
  drawLine(line, Float64Array.of(0, 1, 8, 9), Float32Array.of(1, 1, 1, 1), [0, 2], sx, sy, 2);
  assert.equal(line.calls.filter(([name]) => name === "moveTo").length, 2);
});

test("a single point is a dot, and its band a bar", () => {
  const ctx = paper();
  drawLine(ctx, Float64Array.of(4), Float32Array.of(1), [0], sx, sy, 2);
  assert.ok(ctx.calls.some(([name]) => name === "arc"));
  drawBand(ctx, chart([4], [1], [3]), [0], sx, sy, 2);
  assert.deepEqual(ctx.calls.find(([name]) => name === "rect")?.slice(1), [39, 70, 2, 20]);
});

test("NaN is hollow at the bottom, Inf filled at the top, -Inf filled at the bottom; what is out of view is left out", () => {
  const box = { left: 0, top: 0, width: 100, height: 100 };
  const tips = (kind, x = 5) => {
    const ctx = paper();
    drawNonfinite(ctx, [{ x, step: x, kind }], sx, box, 4);
    return [ctx.calls.findLast(([name]) => name === "lineTo")?.[2], ctx.calls.at(-1)?.[0]];
  };
  assert.deepEqual(tips("nan"), [99, "stroke"]);
  assert.deepEqual(tips("inf"), [1, "fill"]);
  assert.deepEqual(tips("-inf"), [99, "fill"]);
  assert.deepEqual(tips("nan", 500), [undefined, undefined]);
});
