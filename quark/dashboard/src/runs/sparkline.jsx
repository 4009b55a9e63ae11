// The course of a metric in a cell of the run table.
import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { sized } from "../charts/canvas.js";
import { scaleOf } from "../charts/draw.js";
import { drawMiniature } from "../charts/miniature.js";
import { number } from "../lib/format.js";
import { isDark } from "../lib/state.js";

const [WIDTH, HEIGHT] = [96, 22];
const RANGE = { buckets: WIDTH, axis: "step", min: null, max: null };
const REST_MS = 150;

/** @type {Set<() => void>} */
const waiting = new Set();
let timer = 0;

/** Call back when no further row has come into view for a while: all rows in view ask at once, those that were scrolled past
 * ask for nothing. @param {() => void} ask @returns {() => void} takes it back */
function atRest(ask) {
  waiting.add(ask);
  clearTimeout(timer);
  timer = setTimeout(() => {
    const all = [...waiting];
    waiting.clear();
    all.forEach((one) => one());
  }, REST_MS);
  return () => void waiting.delete(ask);
}

/** @param {{source: import("../lib/source.js").ChartSource, run: string, metric: string, generation: number}} props */
export function Sparkline({ source, run, metric, generation }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const chart = useSignal(/** @type {Chart | null} */ (null));
  useEffect(() => {
    let gone = false;
    const leave = atRest(() => source.get(run, metric, RANGE).then((held) => gone || (chart.value = held), () => {})); // the charts say why
    return () => {
      gone = true;
      leave();
    };
  }, [source, run, metric, generation]);
  useSignalEffect(() => {
    isDark.value;
    if (canvas.current && chart.value?.x.length) paint(canvas.current, chart.value);
  });
  const held = chart.value;
  const label = held?.x.length ? `from ${number(held.mean[0])} to ${number(held.mean.at(-1))}` : "no values";
  return <canvas ref={canvas} class="sparkline" width={WIDTH} height={HEIGHT} role="img" aria-label={label} title={label} />;
}

/** @param {HTMLCanvasElement} canvas @param {Chart} chart */
function paint(canvas, chart) {
  const ctx = sized(canvas, WIDTH, HEIGHT);
  const [from, to] = [chart.x[0], /** @type {number} */ (chart.x.at(-1))];
  const sx = scaleOf(from, Math.max(from + 1, to), 1, WIDTH - 1);
  drawMiniature(ctx, chart, [from, Math.max(from + 1, to)], sx, HEIGHT - 2, 2);
}
