// The run table: a real table, of which only the rows in view are in the document.
import { useComputed, useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { lineStyle } from "../lib/colors.js";
import { ago, duration, number, runName } from "../lib/format.js";
import { hovered, show, view } from "../lib/state.js";
import { Status } from "../run/head.jsx";
import { cell, headOf, meanOf, metricOf, shown } from "./table-data.js";
import { label } from "../lib/names.js";
import { Text } from "../parts/text.jsx";
import { Sparkline } from "./sparkline.jsx";
import { useSize } from "../lib/use-size.js";

const ROW = 28;
const MORE = 10;

/** @typedef {{group: {name: string, rows: Row[]}, index: number} | {row: Row}} Item
 * @param {{model: import("./model.js").ProjectModel}} props */
export function RunTable({ model }) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const top = useSignal(0);
  const size = useSize(box, "clientHeight", 800);
  const items = useComputed(() => {
    if (!view.value.g.length) return model.ordered.value.map((row) => /** @type {Item} */ ({ row }));
    return model.groups.value.flatMap((group, index) => [/** @type {Item} */ ({ group, index }), ...group.rows.map((row) => ({ row }))]);
  });
  const columns = model.columns.value;
  const all = items.value;
  const first = Math.max(0, Math.floor(top.value / ROW) - MORE);
  const last = Math.min(all.length, Math.ceil((top.value + size.value) / ROW) + MORE);
  const chosen = new Set(model.selected.value);
  const metric = view.value.k ? metricOf(columns) : null;
  const wide = columns.length + (metric === null ? 3 : 4);
  return (
    <div class="run-table" ref={box} tabIndex={0} role="region" aria-label="Runs" onScroll={() => (top.value = /** @type {HTMLDivElement} */ (box.current).scrollTop)}>
      <table aria-rowcount={all.length + 1}>
        <thead>
          <tr aria-rowindex={1}>
            <th scope="col" class="tick"><span class="hidden">shown in the charts</span></th>
            <Head column="name" title="run" />
            <Head column="status" title="status" />
            {metric !== null && <th scope="col" title={label(metric)}><Text>{label(metric)}</Text></th>}
            {columns.map((column) => <Head key={column} column={column} title={headOf(column)} num />)}
          </tr>
        </thead>
        <tbody>
          {first > 0 && <tr aria-hidden="true" style={{ height: `${first * ROW}px` }}><td colSpan={wide} /></tr>}
          {all.slice(first, last).map((item, i) => "group" in item
            ? <GroupRow key={`g ${item.group.name}`} item={item} columns={columns} metric={metric} index={first + i} />
            : <RunRow key={item.row.id} model={model} row={item.row} columns={columns} metric={metric} index={first + i} on={chosen.has(item.row.id)} />)}
          {last < all.length && <tr aria-hidden="true" style={{ height: `${(all.length - last) * ROW}px` }}><td colSpan={wide} /></tr>}
        </tbody>
      </table>
      {model.rows.value && !all.length && <p class="note">No run matches.{view.value.q && <> <button class="link" onClick={() => show({ q: "" })}>Clear the query</button></>}</p>}
    </div>
  );
}

/** @param {{column: string, title: string, num?: boolean}} props */
function Head({ column, title, num = false }) {
  const { sort } = view.value;
  const on = sort.replace(/^-/, "") === column;
  const down = on && sort.startsWith("-");
  return (
    <th scope="col" class={num ? "num" : ""} aria-sort={on ? (down ? "descending" : "ascending") : "none"}>
      <button class="link" title={title} onClick={() => show({ sort: on && !down ? `-${column}` : column })}><Text>{title}</Text>{on ? (down ? " ↓" : " ↑") : ""}</button>
    </th>
  );
}

/** @param {{model: import("./model.js").ProjectModel, row: Row, columns: string[], metric: string | null, index: number, on: boolean}} props */
function RunRow({ model, row, columns, metric, index, on }) {
  const style = on ? lineStyle(model.place(row.id)) : null;
  return (
    <tr aria-rowindex={index + 2} class={hovered.value === row.id ? "hovered" : ""} onMouseEnter={() => on && (hovered.value = row.id)} onMouseLeave={() => (hovered.value = "")}>
      <td class="tick">{!view.value.g.length && <input type="checkbox" checked={on} aria-label={`Show ${runName(row)} in the charts`} onChange={() => model.select(row.id, !on)} style={{ accentColor: style?.color ?? "" }} />}</td>
      <th scope="row"><a href={`/r/${row.id}`} title={runName(row)}><Text>{runName(row)}</Text></a></th>
      <td><Status status={row.status} /></td>
      {metric !== null && <td><Sparkline source={model.source} run={row.id} metric={metric} generation={row.status === "running" ? model.generation.value : 0} /></td>}
      {columns.map((column) => <td class="num" key={column} title={shown(cell(row, column))}>{text(row, column)}</td>)}
    </tr>
  );
}

/** @param {Row} row @param {string} column */
function text(row, column) {
  const value = cell(row, column);
  if (column.endsWith("_at") && typeof value === "string") return ago(value);
  if (column === "took") return value === null ? "running" : duration(Number(value));
  return <Text>{shown(value)}</Text>;
}

/** @param {{item: {group: {name: string, rows: Row[]}, index: number}, columns: string[], metric: string | null, index: number}} props */
function GroupRow({ item: { group, index: place }, columns, metric, index }) {
  return (
    <tr class="group" aria-rowindex={index + 2} onMouseEnter={() => (hovered.value = group.name)} onMouseLeave={() => (hovered.value = "")}>
      <td class="tick"><i class="dot" style={{ background: lineStyle(place).color }} /></td>
      <th scope="row" title={group.name}><Text>{group.name}</Text></th>
      <td class="dim">n = {group.rows.length}</td>
      {metric !== null && <td />}
      {columns.map((column) => <td class="num" key={column}>{number(meanOf(group.rows, column))}</td>)}
    </tr>
  );
}
