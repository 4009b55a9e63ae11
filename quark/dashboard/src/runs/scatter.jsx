// A scatter plot of two columns, one point a run; a click opens the run.
import { useSignal, useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import { sized } from "../charts/canvas.js";
import { pixel, scaleOf } from "../charts/draw.js";
import { css } from "../lib/colors.js";
import { number, runName } from "../lib/format.js";
import { go, hovered, show, view } from "../lib/state.js";
import { nearestPoint, numbersOf, rangeOf } from "./scatter-data.js";
import { headOf, shown, cell } from "./table-data.js";
import { useSize } from "../lib/use-size.js";

const [LEFT, BOTTOM, TOP, RIGHT, HEIGHT] = [64, 34, 12, 16, 460];

/** @param {{model: import("./model.js").ProjectModel}} props */
export function Scatter({ model }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const width = useSize(canvas, "clientWidth", 0);
  const at = useSignal(-1);
  const points = useRef({ xs: new Float64Array(), ys: new Float64Array() });
  const options = [...new Set([...model.wanted.value, ...model.settings.value.map((key) => `config.${key}`), ...model.keys.value.filter((key) => !key.startsWith("system/")).flatMap((key) => [`min:${key}`, `max:${key}`, `last:${key}`])])];
  const [x = "", y = ""] = view.value.c ? view.value.c.split("|") : [model.first.value.find((one) => one.startsWith("config.")) ?? options[0], model.first.value.find((one) => one.includes(":")) ?? options[1]];
  useSignalEffect(() => {
    const rows = model.ordered.value;
    const [left, right] = view.value.c ? view.value.c.split("|") : [model.first.value.find((one) => one.startsWith("config.")) ?? "", model.first.value.find((one) => one.includes(":")) ?? ""];
    hovered.value;
    if (canvas.current && width.value) points.current = paint(canvas.current, width.value, rows, left, right, hovered.value);
  });
  const find = (event) => {
    const box = /** @type {HTMLElement} */ (canvas.current).getBoundingClientRect();
    return nearestPoint(points.current.xs, points.current.ys, event.clientX - box.left, event.clientY - box.top, 12);
  };
  const rows = model.ordered.value;
  const row = rows[at.value];
  return (
    <div class="scatter">
      <div class="bar">
        {[["x", x], ["y", y]].map(([name, value]) => (
          <label key={name}>{name} <select value={value} onChange={(event) => show({ c: name === "x" ? `${event.currentTarget.value}|${y}` : `${x}|${event.currentTarget.value}` })}>
            {options.map((option) => <option key={option} value={option}>{headOf(option)}</option>)}
          </select></label>
        ))}
        <output>{row ? `${runName(row)}: ${shown(cell(row, x))}, ${shown(cell(row, y))}` : <span class="dim">{rows.length} runs; a click opens one</span>}</output>
      </div>
      <canvas ref={canvas} height={HEIGHT} role="img" aria-label={`${headOf(y)} against ${headOf(x)} of ${rows.length} runs; the table has the values`}
        onMouseMove={(event) => { at.value = find(event); hovered.value = rows[at.value]?.id ?? ""; }} onMouseLeave={() => { at.value = -1; hovered.value = ""; }}
        onClick={(event) => { const found = rows[find(event)]; if (found) go(`/r/${found.id}`); }} />
    </div>
  );
}

/** @param {HTMLCanvasElement} canvas @param {number} width @param {Row[]} rows @param {string} x @param {string} y @param {string} focus */
function paint(canvas, width, rows, x, y, focus) {
  const ctx = sized(canvas, width, HEIGHT);
  const [across, up] = [numbersOf(rows, x), numbersOf(rows, y)];
  const [rx, ry] = [rangeOf(across.values), rangeOf(up.values)];
  const sx = scaleOf(rx.min, rx.max, LEFT + 10, width - RIGHT, rx.log);
  const sy = scaleOf(ry.min, ry.max, HEIGHT - BOTTOM - 8, TOP + 8, ry.log);
  ctx.font = "11px system-ui, sans-serif";
  ctx.strokeStyle = css("--grid");
  ctx.fillStyle = css("--dim");
  for (let i = 0; i <= 4; i++) {
    const [vx, vy] = [tick(rx, i / 4), tick(ry, i / 4)];
    const [px, py] = [pixel(sx, vx), pixel(sy, vy)];
    ctx.strokeRect(px, TOP, 0, HEIGHT - BOTTOM - TOP);
    ctx.strokeRect(LEFT, py, width - RIGHT - LEFT, 0);
    ctx.textAlign = "center";
    ctx.fillText(across.words ? across.words[Math.round(vx)] ?? "" : number(vx), px, HEIGHT - BOTTOM + 16);
    ctx.textAlign = "right";
    ctx.fillText(up.words ? up.words[Math.round(vy)] ?? "" : number(vy), LEFT - 6, py + 4);
  }
  const xs = new Float64Array(rows.length);
  const ys = new Float64Array(rows.length);
  ctx.fillStyle = css("--c0");
  rows.forEach((row, i) => {
    xs[i] = pixel(sx, across.values[i]);
    ys[i] = pixel(sy, up.values[i]);
    ctx.globalAlpha = focus === row.id ? 1 : rows.length > 2000 ? 0.35 : 0.7;
    ctx.beginPath();
    ctx.arc(xs[i], ys[i], focus === row.id ? 6 : rows.length > 2000 ? 2 : 3.5, 0, 2 * Math.PI);
    ctx.fill();
  });
  return { xs, ys };
}

/** @param {{min: number, max: number, log: boolean}} range @param {number} part */
function tick({ min, max, log }, part) {
  const value = log ? min * (max / min) ** part : min + (max - min) * part;
  return Number(value.toPrecision(3));
}
