// A heat map on a canvas, with its rows named, a cursor by mouse and keys, and its scale.
import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { number } from "../lib/format.js";
import { announcement, isDark, show, view } from "../lib/state.js";
import { columnsOf, heatPixels, TABLE } from "./heat.js";
import { Text } from "../parts/text.jsx";
import { useSize } from "../lib/use-size.js";

/** @param {{heat: import("./heat.js").Heat, log: boolean, outlined: Set<any>, chosen: string, choose: (row: string) => void, title: string, noun?: string}} props */
export function HeatMap({ heat, log, outlined, chosen, choose, title, noun = "layers" }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const width = useSize(canvas, "clientWidth", 0);
  const at = useSignal(/** @type {{row: number, column: number} | null} */ (null));
  const given = useSignal({ heat, log });
  given.value = { heat, log };
  const cell = Math.max(12, Math.min(24, Math.floor(460 / heat.rows.length)));
  const span = view.value.z ?? [heat.steps[0], (heat.steps.at(-1) ?? 0) + 1];
  useSignalEffect(() => {
    const held = given.value;
    const element = canvas.current;
    const range = view.value.z ?? [held.heat.steps[0], (held.heat.steps.at(-1) ?? 0) + 1];
    if (!element || !width.value || !held.heat.rows.length) return;
    const columns = columnsOf(held.heat.steps, range[0], range[1], width.value);
    const pixels = heatPixels(held.heat, held.log, columns, cell, isDark.value ? 0xff2a221c : 0xffece8e4, 0xff3d3dff);
    element.width = width.value;
    element.height = cell * held.heat.rows.length;
    const ctx = /** @type {CanvasRenderingContext2D} */ (element.getContext("2d"));
    ctx.putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), element.width, element.height), 0, 0);
  });
  const cellAt = (event) => {
    const box = /** @type {HTMLElement} */ (canvas.current).getBoundingClientRect();
    const columns = columnsOf(heat.steps, span[0], span[1], Math.max(1, Math.round(box.width)));
    const column = columns[Math.min(columns.length - 1, Math.max(0, Math.floor(event.clientX - box.left)))];
    return { row: Math.min(heat.rows.length - 1, Math.floor((event.clientY - box.top) / cell)), column };
  };
  const words = (place) => {
    if (!place || place.column < 0) return "";
    const index = place.row * heat.steps.length + place.column;
    return `${heat.rows[place.row]}, step ${number(heat.steps[place.column])}: ${heat.bad[index] ? "not finite" : number(heat.values[index])}`;
  };
  function onKey(event) {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const now = at.value ?? { row: 0, column: 0 };
    if (event.key === "Enter") choose(heat.rows[now.row]);
    else if (by) {
      at.value = { row: Math.min(heat.rows.length - 1, Math.max(0, now.row + by[0])), column: Math.min(heat.steps.length - 1, Math.max(0, now.column + by[1])) };
      announcement.value = words(at.value);
    } else return;
    event.preventDefault();
  }
  const left = at.value && at.value.column >= 0 ? ((heat.steps[at.value.column] - span[0]) / (span[1] - span[0])) * 100 : 0;
  return (
    <div class="heat">
      <ol class="heat-rows" aria-label={noun[0].toUpperCase() + noun.slice(1)}>
        {heat.rows.map((row) => (
          <li key={row} style={{ height: `${cell}px` }}>
            <button class={`link${outlined.has(row) ? " outlined" : ""}`} aria-pressed={chosen === row} onClick={() => choose(row)} title={outlined.has(row) ? `${row}: has an alert` : row}><Text>{row}</Text></button>
          </li>
        ))}
      </ol>
      <div class="heat-body">
        <div class="heat-canvas">
          <canvas ref={canvas} tabIndex={0} role="img" aria-label={`${title}, ${heat.rows.length} ${noun} by ${heat.steps.length} steps, from ${number(heat.min)} to ${number(heat.max)}. Arrow keys move, Enter opens a row.`}
            style={{ height: `${cell * heat.rows.length}px` }} onMouseMove={(event) => (at.value = cellAt(event))} onMouseLeave={() => (at.value = null)} onKeyDown={onKey}
            onClick={(event) => choose(heat.rows[cellAt(event).row])} onDblClick={() => show({ z: null })} />
          {at.value && at.value.column >= 0 && <i class="heat-cell" style={{ top: `${at.value.row * cell}px`, height: `${cell}px`, left: `${Math.max(0, left)}%` }} />}
        </div>
        <p class="heat-foot"><span>step {number(Math.round(span[0]))}</span><output>{words(at.value)}</output><span>{number(Math.round(span[1]))}</span></p>
        <Scale low={log ? heat.least : heat.min} high={heat.max} log={log} />
      </div>
    </div>
  );
}

/** @param {{low: number, high: number, log: boolean}} props */
function Scale({ low, high, log }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  useEffect(() => {
    const ctx = canvas.current?.getContext("2d");
    ctx?.putImageData(new ImageData(new Uint8ClampedArray(TABLE.slice().buffer), 256, 1), 0, 0);
  }, []);
  return <p class="heat-scale"><span>{number(low)}</span><canvas ref={canvas} width={256} height={1} aria-hidden="true" /><span>{number(high)}{log ? " (log)" : ""}</span></p>;
}
