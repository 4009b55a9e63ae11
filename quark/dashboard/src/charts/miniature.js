// A curve in miniature: the band of its buckets and their mean, without axes.
import { css } from "../lib/colors.js";
import { drawBand, drawLine, scaleOf } from "./draw.js";
import { extent, stretches } from "./shape.js";

/** @param {CanvasRenderingContext2D} ctx @param {Chart} chart @param {[number, number]} range of x that sets the scale of y
 *  @param {import("./draw.js").Scale} sx @param {number} bottom @param {number} top */
export function drawMiniature(ctx, chart, range, sx, bottom, top) {
  const [low, high] = extent([chart], range, false, false);
  const sy = scaleOf(low, high, bottom, top);
  const starts = stretches(chart.x, chart.width);
  ctx.fillStyle = ctx.strokeStyle = css("--c0");
  ctx.globalAlpha = 0.3;
  drawBand(ctx, chart, starts, sx, sy, 1);
  ctx.globalAlpha = 1;
  drawLine(ctx, chart.x, chart.mean, starts, sx, sy, 1);
}
