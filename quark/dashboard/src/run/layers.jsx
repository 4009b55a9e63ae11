// Layers by steps as a heat map of one statistic; a click leads to the series of a layer below.
import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { heatOf, STATISTICS } from "../charts/heat.js";
import { HeatMap } from "../charts/heatmap.jsx";
import { Panel } from "../charts/panel.jsx";
import { loadLayers } from "./layer-data.js";
import { drawnOf } from "./page.jsx";
import { show, view } from "../lib/state.js";

const RELOAD_MS = 15000; // all records of a run that goes on are read again so often at most

/** @param {{model: import("./model.js").RunModel}} props */
export function Layers({ model }) {
  const held = useSignal(/** @type {{records: any[], every: number} | null} */ (null));
  const failure = useSignal("");
  const log = useSignal(true);
  const chosen = useSignal("");
  const stat = useComputed(() => (STATISTICS[view.value.stat] ? view.value.stat : "gradient_norm"));
  const loaded = useRef({ what: "", at: 0 });
  useEffect(() => {
    let stale = false;
    const what = JSON.stringify([stat.value, view.value.z]);
    if (what === loaded.current.what && Date.now() - loaded.current.at < RELOAD_MS) return;
    loaded.current = { what, at: Date.now() };
    loadLayers(model.id, STATISTICS[stat.value], view.value.z, model.overview.peek()?.counts ?? {})
      .then((got) => stale || (held.value = got), (error) => stale || (failure.value = error.message));
    return () => void (stale = true);
  }, [model, model.generation.value, stat.value, view.value.z?.[0], view.value.z?.[1]]);
  const heat = useComputed(() => held.value && heatOf(held.value.records, STATISTICS[stat.value]));
  useSignalEffect(() => {
    if (heat.value && !heat.value.rows.includes(chosen.peek())) chosen.value = "";
  });
  const outlined = new Set(model.distinct.value.map(({ alert }) => alert.subject).filter(Boolean));
  const { log: mayLog } = STATISTICS[stat.value];
  return (
    <div class="layers">
      <div class="bar" role="toolbar" aria-label="Heat map">
        <label>Statistic <select value={stat.value} onChange={(event) => show({ stat: event.currentTarget.value })}>{Object.entries(STATISTICS).map(([name, { title }]) => <option key={name} value={name}>{title}</option>)}</select></label>
        {mayLog && <button aria-pressed={log.value} onClick={() => (log.value = !log.value)}>log colour</button>}
        {view.value.z && <button class="primary" onClick={() => show({ z: null })}>Reset zoom</button>}
        {held.value && held.value.every > 1 && <span class="dim">every {held.value.every}th recorded step; zoom in to see all</span>}
      </div>
      {failure.value ? <p class="note error">{failure.value}</p>
        : !heat.value ? <p class="note">Loading…</p>
        : !heat.value.rows.length ? <p class="note">No layer was recorded here. <code>run.watch(model, optimizer)</code> records layers and parameters.</p>
        : <HeatMap heat={heat.value} log={log.value && mayLog} outlined={outlined} chosen={chosen} title={STATISTICS[stat.value].title} />}
      {chosen.value && heat.value && <Panel key={chosen.value + stat.value} name={`${chosen.value} · ${STATISTICS[stat.value].title}`} source={model.source} generation={model.generation}
        whole={model.whole} eager height={180} marks={model.marks.value} runs={drawnOf(model).map((run) => ({ ...run, load: () => Promise.resolve(seriesOf(heat.value, chosen.value, run.id)) }))} />}
    </div>
  );
}

/** A row of the heat map as a chart. @param {any} heat @param {string} row @param {string} run @returns {Chart} */
function seriesOf(heat, row, run) {
  const { steps, rows, values } = heat;
  const start = rows.indexOf(row) * steps.length;
  const at = [...steps.keys()].filter((i) => Number.isFinite(values[start + i]));
  const y = Float32Array.from(at, (i) => values[start + i]);
  const bad = [...steps.keys()].filter((i) => heat.bad[start + i]).map((i) => ({ x: steps[i], step: steps[i], kind: "nan" }));
  return { run, key: row, axis: "step", count: at.length, width: 0, x: Float64Array.from(at, (i) => steps[i]), mean: y, min: y, max: y, n: new Float64Array(at.length).fill(1), nonfinite: bad, nonfinite_count: bad.length, restarts: [] };
}
