// The picture of a strip: the main metric in miniature, phases below it, alerts as pins, the shown range in a frame.
import { sized } from "../charts/canvas.js";
import { pixel, scaleOf } from "../charts/draw.js";
import { drawMiniature } from "../charts/miniature.js";
import { css } from "../lib/colors.js";
import { view } from "../lib/state.js";

export const HEIGHT = 48;
export const PHASE_COLORS = {
  initialization_adaptation: "--phase-start", rapid_learning: "--phase-fast", stabilization: "--phase-steady",
  stagnation: "--phase-flat", overfitting_onset: "--phase-over", divergence: "--phase-bad",
};

/** @param {HTMLCanvasElement} canvas @param {number} width @param {Chart | null} chart @param {import("./model.js").RunModel} model */
export function paint(canvas, width, chart, model) {
  const ctx = sized(canvas, width, HEIGHT);
  const whole = model.whole.value;
  if (!whole) return;
  const sx = scaleOf(whole[0], Math.max(whole[0] + 1, whole[1]), 0, width);
  for (const phase of model.phases.value) {
    ctx.fillStyle = css(PHASE_COLORS[phase.phase_name] ?? "--phase-start");
    ctx.globalAlpha = 0.16;
    ctx.fillRect(pixel(sx, phase.step_start), 0, Math.max(1, pixel(sx, phase.step_end) - pixel(sx, phase.step_start)), HEIGHT);
    ctx.globalAlpha = 1;
    ctx.fillRect(pixel(sx, phase.step_start), HEIGHT - 3, Math.max(1, pixel(sx, phase.step_end) - pixel(sx, phase.step_start)), 3);
  }
  if (chart?.x.length) drawMiniature(ctx, chart, whole, sx, HEIGHT - 4, 8);
  for (const { x, severity } of model.marks.value) {
    ctx.fillStyle = css(`--${severity}`);
    const px = pixel(sx, x);
    ctx.fillRect(px - 0.5, 0, 1.5, HEIGHT);
    ctx.beginPath();
    ctx.moveTo(px - 4, 0);
    ctx.lineTo(px + 5, 0);
    ctx.lineTo(px + 0.5, 7);
    ctx.fill();
  }
  const z = view.value.z;
  if (!z) return;
  ctx.fillStyle = css("--shade");
  const [left, right] = [pixel(sx, z[0]), pixel(sx, z[1])];
  ctx.fillRect(0, 0, left, HEIGHT);
  ctx.fillRect(right, 0, width - right, HEIGHT);
  ctx.strokeStyle = css("--accent");
  ctx.strokeRect(left + 0.5, 0.5, Math.max(2, right - left - 1), HEIGHT - 1);
}
