// What is under the cursor: one tooltip for the page.
import { signal } from "@preact/signals";
import { metric, number, position } from "../lib/format.js";
import { hovered } from "../lib/state.js";
import { Text } from "../parts/text.jsx";

const MOST_ROWS = 12;
/** @type {import("@preact/signals").Signal<{left: number, top: number, title: string, rows: any[]} | null>} */
const tip = signal(null);

/** The value of a line at a bucket; the mean of a bucket that holds several points. @param {string} key @param {{line: Line, index: number}} at */
export function readout(key, { line, index }) {
  return index < 0 ? "–" : metric(key, line.chart.mean[index]);
}

/** @param {import("./plot.js").Plot} plot @param {string} key @param {number} x */
export function showTip(plot, key, x) {
  const box = plot.host.getBoundingClientRect();
  const { left = 0, top = 0 } = plot.u.cursor;
  const edge = plot.u.over.getBoundingClientRect();
  const rows = plot.at(x).filter((row) => row.index >= 0).map((row) => ({ ...row, y: plot.u.valToPos(row.line.chart.mean[row.index], "y") }));
  const near = rows.reduce((best, row) => (!best || Math.abs(row.y - top) < Math.abs(best.y - top) ? row : best), /** @type {any} */ (null));
  if (rows.length > 1 && near && Math.abs(near.y - top) < 24) hovered.value = near.line.id;
  else if (rows.length > 1) hovered.value = "";
  const first = rows[0];
  const at = first ? first.line.chart.x[first.index] : x;
  tip.value = {
    left: Math.min(innerWidth - 270, edge.left + left + 14), top: Math.min(innerHeight - 40 - 22 * Math.min(rows.length, MOST_ROWS), box.bottom - 10),
    title: `${plot.picture.axis} ${position(plot.picture.axis, at)}`,
    rows: rows.map(({ line, index }) => ({ line, index, key, near: near?.line.id === line.id && rows.length > 1, bad: badNear(plot, line, x) })),
  };
}

/** Values near the cursor that are not finite. @param {import("./plot.js").Plot} plot @param {Line} line @param {number} x */
function badNear(plot, line, x) {
  const reach = Math.abs(plot.u.posToVal(4, "x") - plot.u.posToVal(0, "x"));
  const found = line.chart.nonfinite.filter((point) => Math.abs(point.x - x) <= reach);
  return found.map((point) => `${{ nan: "NaN", inf: "Inf", "-inf": "-Inf" }[point.kind] ?? point.kind} at step ${number(point.step)}`);
}

export function hideTip() {
  tip.value = null;
  hovered.value = "";
}

export function Tip() {
  const held = tip.value;
  if (!held) return null;
  const rows = [...held.rows].sort((a, b) => b.line.chart.mean[b.index] - a.line.chart.mean[a.index]);
  return (
    <div class="tip" style={{ left: `${held.left}px`, top: `${held.top}px` }} aria-hidden="true">
      <div class="tip-head">{held.title}</div>
      <table>
        <tbody>
          {rows.slice(0, MOST_ROWS).map(({ line, index, key, near, bad }) => <Row key={line.id} {...{ line, index, name: key, near, bad, alone: rows.length === 1 }} />)}
        </tbody>
      </table>
      {rows.length > MOST_ROWS && <div class="dim">and {rows.length - MOST_ROWS} more</div>}
    </div>
  );
}

/** @param {{line: Line, index: number, name: string, near: boolean, bad: string[], alone: boolean}} props */
function Row({ line, index, name, near, bad, alone }) {
  const { chart } = line;
  const many = chart.n[index] > 1;
  return (
    <tr class={near ? "near" : ""}>
      {!alone && <td><i class="dot" style={{ background: line.color }} /> <Text>{line.name}</Text></td>}
      <td class="num"><b>{metric(name, chart.mean[index])}</b></td>
      <td class="dim">{many ? `min ${metric(name, chart.min[index])} · max ${metric(name, chart.max[index])} · n ${number(chart.n[index])}` : ""}</td>
      {bad.length > 0 && <td class="bad">{bad.slice(0, 2).join(", ")}</td>}
    </tr>
  );
}
