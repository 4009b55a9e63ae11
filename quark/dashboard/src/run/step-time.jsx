// Where the time of the steps goes: a stacked bar for each stretch of steps.
import { useSignal, useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import { sized } from "../charts/canvas.js";
import { pixel, scaleOf } from "../charts/draw.js";
import { css } from "../lib/colors.js";
import { number, position } from "../lib/format.js";
import { useSize } from "../lib/use-size.js";
import { isDark, view } from "../lib/state.js";
import { stepBars } from "./step-data.js";

export const DATA = "system/runtime/data_time_ms";
export const REST = "system/runtime/compute_time_ms";
const HEIGHT = 90;
const BUCKETS = 200;

/** @param {{model: import("./model.js").RunModel}} props */
export function StepTime({ model }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const width = useSize(canvas, "clientWidth", 0);
  const bars = useSignal(/** @type {import("./step-data.js").Bars | null} */ (null));
  const turn = useRef(0);
  useSignalEffect(() => {
    model.generation.value;
    const mine = ++turn.current;
    const [min, max] = view.value.z ?? [null, null];
    const range = { buckets: BUCKETS, axis: "step", min, max };
    Promise.all([DATA, REST].map((key) => model.source.get(model.id, key, range)))
      .then(([data, rest]) => mine === turn.current && (bars.value = stepBars(data, rest)), () => {}); // the charts below say why
  });
  useSignalEffect(() => {
    isDark.value;
    if (canvas.current && width.value && bars.value) paint(canvas.current, width.value, bars.value);
  });
  const held = bars.value;
  const share = held ? `${(100 * held.share).toFixed(held.share < 0.1 ? 1 : 0)} %` : "";
  const ends = held?.x.length ? [held.x[0], /** @type {number} */ (held.x.at(-1))].map((x) => position("step", Math.round(x))) : [];
  return (
    <section class="step-time" aria-label="Time of a step">
      <h2>Time of a step</h2>
      <canvas ref={canvas} height={HEIGHT} role="img" aria-label={!ends.length ? "Time of a step" : `Mean time of a step from step ${ends[0]} to ${ends[1]}: ${share} of it waiting for data, up to ${number(held?.most)} ms in all. The charts below have the values.`} />
      <p class="heat-foot"><span>{ends[0]}</span><span><i class="swatch data" /> waiting for data, {share} <i class="swatch rest" /> the rest; the tallest bar is {number(held?.most)} ms</span><span>{ends[1]}</span></p>
    </section>
  );
}

/** @param {HTMLCanvasElement} canvas @param {number} width @param {import("./step-data.js").Bars} bars */
function paint(canvas, width, { x, data, rest, most }) {
  const ctx = sized(canvas, width, HEIGHT);
  if (!x.length) return;
  const usual = x.length > 1 ? (x[x.length - 1] - x[0]) / (x.length - 1) : 1;
  const sx = scaleOf(x[0], x[x.length - 1] + usual, 0, width);
  const sy = scaleOf(0, most || 1, HEIGHT, 2);
  for (let i = 0; i < x.length; i++) {
    const next = x[i + 1] - x[i] <= 3 * usual ? x[i + 1] : x[i] + usual; // further away is a gap
    const [left, top, split] = [Math.round(pixel(sx, x[i])), pixel(sy, data[i] + rest[i]), pixel(sy, data[i])];
    const across = Math.max(1, Math.round(pixel(sx, next)) - left); // whole pixels: no lines between neighbours
    ctx.fillStyle = css("--c0");
    ctx.fillRect(left, top, across, split - top);
    ctx.fillStyle = css("--c1");
    ctx.fillRect(left, split, across, HEIGHT - split);
  }
}
