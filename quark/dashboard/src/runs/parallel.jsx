// Parallel coordinates over the columns of the table; dragging on an axis keeps the runs within, and chooses them for the charts.
import { useSignal, useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import { sized } from "../charts/canvas.js";
import { pixel, scaleOf } from "../charts/draw.js";
import { css } from "../lib/colors.js";
import { number } from "../lib/format.js";
import { hovered, show } from "../lib/state.js";
import { numbersOf, rangeOf, within } from "./scatter-data.js";
import { headOf } from "./table-data.js";
import { useSize } from "../lib/use-size.js";

const [TOP, BOTTOM, SIDE, HEIGHT] = [34, 24, 60, 460];
const MOST_CHOSEN = 20;

/** @param {{model: import("./model.js").ProjectModel}} props */
export function Parallel({ model }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const width = useSize(canvas, "clientWidth", 0);
  const brushes = useSignal(/** @type {([number, number] | null)[]} */ ([]));
  const drag = useRef(/** @type {{axis: number, from: number} | null} */ (null));
  const kept = useSignal(0);
  const axesOf = () => model.columns.value.map((column) => {
    const { values, words } = numbersOf(model.ordered.value, column);
    const range = rangeOf(values);
    return { column, values, words, range, scale: scaleOf(range.min, range.max, HEIGHT - BOTTOM, TOP, range.log) };
  });
  const placeOf = (index, count) => SIDE + (count > 1 ? (index * (width.peek() - 2 * SIDE)) / (count - 1) : 0);
  const insideOf = (axes) => {
    const inside = new Uint8Array(model.ordered.value.length).fill(1);
    axes.forEach(({ values, scale }, axis) => {
      const brush = brushes.value[axis];
      if (!brush) return;
      const shownAt = values.map((value) => pixel(scale, value));
      within([shownAt], [brush]).forEach((yes, i) => (inside[i] &= yes));
    });
    return inside;
  };
  useSignalEffect(() => {
    const element = canvas.current;
    if (!element || !width.value) return;
    const axes = axesOf();
    const inside = insideOf(axes);
    kept.value = inside.reduce((sum, one) => sum + one, 0);
    paint(element, width.value, axes, inside, axes.map((_, i) => placeOf(i, axes.length)), brushes.value, model.ordered.value.findIndex((row) => row.id === hovered.value));
  });
  const place = (event) => {
    const box = /** @type {HTMLElement} */ (canvas.current).getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  function down(event) {
    const [x, y] = place(event);
    const count = model.columns.peek().length;
    const axis = [...Array(count).keys()].find((i) => Math.abs(placeOf(i, count) - x) < 24);
    if (axis === undefined) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    drag.current = { axis, from: y };
    brushes.value = Object.assign([...brushes.value], { [axis]: null });
  }
  function move(event) {
    if (!drag.current) return;
    const { axis, from } = drag.current;
    const y = place(event)[1];
    if (Math.abs(y - from) > 3) brushes.value = Object.assign([...brushes.value], { [axis]: [Math.min(from, y), Math.max(from, y)] });
  }
  const choose = () => show({ sel: model.ordered.peek().filter((_, i) => insideOf(axesOf())[i]).slice(0, MOST_CHOSEN).map((row) => row.id), m: "charts" });
  return (
    <div class="parallel">
      <div class="bar">
        <span class="dim">{kept.value} of {model.ordered.value.length} runs are within; drag along an axis</span>
        {brushes.value.some(Boolean) && <><button class="primary" onClick={choose}>Chart these</button><button onClick={() => (brushes.value = [])}>Clear</button></>}
      </div>
      <canvas ref={canvas} height={HEIGHT} role="img" aria-label={`Parallel coordinates of ${model.columns.value.map(headOf).join(", ")}; the table has the values`} onPointerDown={down} onPointerMove={move} onPointerUp={() => (drag.current = null)} />
    </div>
  );
}

/** @param {HTMLCanvasElement} canvas @param {number} width @param {any[]} axes @param {Uint8Array} inside @param {number[]} places
 * @param {([number, number] | null)[]} brushes @param {number} focus */
function paint(canvas, width, axes, inside, places, brushes, focus) {
  const ctx = sized(canvas, width, HEIGHT);
  const line = (/** @type {number} */ i) => {
    ctx.beginPath();
    let pen = false;
    axes.forEach(({ values, scale }, axis) => {
      if (Number.isNaN(values[i])) return void (pen = false);
      const y = pixel(scale, values[i]);
      if (pen) ctx.lineTo(places[axis], y);
      else ctx.moveTo(places[axis], y);
      pen = true;
    });
    ctx.stroke();
  };
  const dense = inside.length > 500 ? 0.15 : 0.5;
  ctx.strokeStyle = css("--line");
  inside.forEach((yes, i) => !yes && line(i));
  ctx.strokeStyle = css("--c0");
  ctx.globalAlpha = dense;
  inside.forEach((yes, i) => yes && line(i));
  ctx.globalAlpha = 1;
  if (focus >= 0) {
    ctx.lineWidth = 2.5;
    ctx.strokeStyle = css("--c1");
    line(focus);
  }
  ctx.lineWidth = 1;
  ctx.font = "11px system-ui, sans-serif";
  ctx.textAlign = "center";
  axes.forEach(({ column, words, range }, axis) => {
    ctx.strokeStyle = css("--dim");
    ctx.strokeRect(places[axis], TOP, 0, HEIGHT - TOP - BOTTOM);
    ctx.fillStyle = css("--text");
    ctx.fillText(headOf(column).slice(0, 24), places[axis], 14);
    ctx.fillStyle = css("--dim");
    ctx.fillText(words ? words.at(-1) ?? "" : number(range.max), places[axis], 28);
    ctx.fillText(words ? words[0] ?? "" : number(range.min), places[axis], HEIGHT - 8);
    const brush = brushes[axis];
    if (!brush) return;
    ctx.fillStyle = css("--window");
    ctx.fillRect(places[axis] - 8, brush[0], 16, brush[1] - brush[0]);
    ctx.strokeStyle = css("--accent");
    ctx.strokeRect(places[axis] - 8, brush[0], 16, brush[1] - brush[0]);
  });
}
