// The strip: the whole run in miniature, with its phases and alerts; dragging on it sets the range of all charts.
import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { drawBand, drawLine, pixel, scaleOf } from "../charts/draw.js";
import { extent, spanOf, stretches } from "../charts/shape.js";
import { css } from "../lib/colors.js";
import { position } from "../lib/format.js";
import { isDark, show, view } from "../lib/state.js";

const HEIGHT = 48;
export const PHASE_COLORS = {
  initialization_adaptation: "--phase-start", rapid_learning: "--phase-fast", stabilization: "--phase-steady",
  stagnation: "--phase-flat", overfitting_onset: "--phase-over", divergence: "--phase-bad",
};

/** @param {{model: import("./model.js").RunModel}} props */
export function Strip({ model }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const width = useSignal(0);
  const chart = useSignal(/** @type {Chart | null} */ (null));
  const drag = useRef(/** @type {null | {from: number, shift: [number, number] | null}} */ (null));
  const key = model.main.value;

  useEffect(() => {
    const element = /** @type {HTMLCanvasElement} */ (canvas.current);
    const sized = new ResizeObserver(() => (width.value = element.clientWidth));
    sized.observe(element);
    return () => sized.disconnect();
  }, []);
  useSignalEffect(() => {
    model.generation.value;
    const wanted = model.main.value;
    if (!wanted) return;
    model.source.get(model.id, wanted, { buckets: 600, axis: "step", min: null, max: null }).then((held) => {
      chart.value = held;
      const steps = Object.values(model.overview.peek()?.latest ?? {}).map(([step]) => step ?? 0);
      const span = spanOf([held]) ?? [0, 1];
      const last = Math.max(span[1], ...steps);
      if (JSON.stringify(model.whole.peek()) !== JSON.stringify([span[0], last])) model.whole.value = [span[0], last];
    }, () => {}); // the charts below say why
  });
  useSignalEffect(() => {
    isDark.value;
    if (canvas.current && width.value) paint(canvas.current, width.value, chart.value, model);
  });

  const xOf = (event) => {
    const box = /** @type {HTMLElement} */ (canvas.current).getBoundingClientRect();
    const [from, to] = model.whole.peek() ?? [0, 1];
    return from + (Math.min(1, Math.max(0, (event.clientX - box.left) / box.width))) * (to - from);
  };
  function down(event) {
    event.currentTarget.setPointerCapture(event.pointerId);
    const x = xOf(event);
    const z = view.peek().z;
    drag.current = { from: x, shift: z && x > z[0] && x < z[1] ? z : null };
  }
  function move(event) {
    const held = drag.current;
    const whole = model.whole.peek();
    if (!held || !whole) return;
    const x = xOf(event);
    if (held.shift) {
      const by = Math.min(whole[1] - held.shift[1], Math.max(whole[0] - held.shift[0], x - held.from));
      show({ z: [held.shift[0] + by, held.shift[1] + by] }, { replace: true });
    } else if (Math.abs(x - held.from) > (whole[1] - whole[0]) / 200) {
      show({ z: [Math.min(held.from, x), Math.max(held.from, x)] }, { replace: true });
    }
  }
  function onKey(event) {
    const whole = model.whole.peek();
    if (!whole) return;
    const moved = stepRange(event.key, event.shiftKey, view.peek().z ?? whole, whole);
    if (moved === undefined) return;
    event.preventDefault();
    show({ z: moved });
  }
  const z = view.value.z;
  const label = `The whole run${key ? `, ${key}` : ""}. ${z ? `Shown: ${position("step", z[0])} to ${position("step", z[1])}` : "All of it is shown"}. Arrow keys move the range, + and - zoom, Escape shows all.`;
  return (
    <div class="strip">
      <canvas ref={canvas} height={HEIGHT} tabIndex={0} role="img" aria-label={label} onPointerDown={down} onPointerMove={move}
        onPointerUp={() => (drag.current = null)} onDblClick={() => show({ z: null })} onKeyDown={onKey} />
      <Phases model={model} />
    </div>
  );
}

/** The range after a key; undefined if the key does nothing. @param {string} key @param {boolean} far
 * @param {[number, number]} z @param {[number, number]} whole @returns {[number, number] | null | undefined} */
export function stepRange(key, far, z, whole) {
  const size = z[1] - z[0];
  if (key === "Escape") return null;
  if (key === "ArrowLeft" || key === "ArrowRight") {
    const wanted = (key === "ArrowLeft" ? -1 : 1) * size * (far ? 1 : 0.1);
    const by = Math.min(whole[1] - z[1], Math.max(whole[0] - z[0], wanted));
    return [z[0] + by, z[1] + by];
  }
  if (key !== "+" && key !== "=" && key !== "-") return undefined;
  const half = (size * (key === "-" ? 2 : 0.5)) / 2;
  const middle = (z[0] + z[1]) / 2;
  const next = [Math.max(whole[0], middle - half), Math.min(whole[1], middle + half)];
  return next[0] <= whole[0] && next[1] >= whole[1] ? null : [next[0], next[1]];
}

/** @param {{model: import("./model.js").RunModel}} props */
function Phases({ model }) {
  const names = [...new Map(model.phases.value.map((phase) => [phase.phase_name, phase.display_name]))];
  if (!names.length) return null;
  return <p class="phases">{names.map(([name, title]) => <span key={name}><i style={{ background: `var(${PHASE_COLORS[name] ?? "--phase-start"})` }} />{title}</span>)}</p>;
}

/** @param {HTMLCanvasElement} canvas @param {number} width @param {Chart | null} chart @param {import("./model.js").RunModel} model */
function paint(canvas, width, chart, model) {
  const ratio = devicePixelRatio || 1;
  canvas.width = width * ratio;
  canvas.height = HEIGHT * ratio;
  const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  ctx.scale(ratio, ratio);
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
  if (chart?.x.length) {
    const [low, high] = extent([chart], whole, false, false);
    const sy = scaleOf(low, high, HEIGHT - 4, 8);
    const starts = stretches(chart.x, chart.width);
    ctx.fillStyle = ctx.strokeStyle = css("--c0");
    ctx.globalAlpha = 0.3;
    drawBand(ctx, chart, starts, sx, sy, 1);
    ctx.globalAlpha = 1;
    drawLine(ctx, chart.x, chart.mean, starts, sx, sy, 1);
  }
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
