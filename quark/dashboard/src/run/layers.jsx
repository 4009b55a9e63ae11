// Layers by steps as a heat map of one statistic; a click leads to the series of a layer below.
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { heatOf, STATISTICS } from "../charts/heat.js";
import { HeatMap } from "../charts/heatmap.jsx";
import { Panel } from "../charts/panel.jsx";
import { loadLayers, seriesOf } from "./layer-data.js";
import { drawnOf } from "./page.jsx";
import { show, view } from "../lib/state.js";

const RELOAD_MS = 15000; // all records of a run that goes on are read again so often at most

/** @param {{model: import("./model.js").RunModel}} props */
export function Layers({ model }) {
  const held = useSignal(/** @type {{records: any[], every: number} | null} */ (null));
  const failure = useSignal("");
  const log = useSignal(true);
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
  const chosen = heat.value?.rows.includes(view.value.l) ? view.value.l : "";
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
        : <HeatMap heat={heat.value} log={log.value && mayLog} outlined={outlined} chosen={chosen} choose={(row) => show({ l: row })} title={STATISTICS[stat.value].title} />}
      {chosen && heat.value && <Panel key={chosen + stat.value} name={`${chosen} · ${STATISTICS[stat.value].title}`} source={model.source} generation={model.generation}
        whole={model.whole} eager height={180} marks={model.marks.value} runs={drawnOf(model).map((run) => ({ ...run, load: () => Promise.resolve(seriesOf(heat.value, chosen, run.id)) }))} />}
    </div>
  );
}
