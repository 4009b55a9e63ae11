// The ranks of a run as lanes over the steps: which of them takes longest, and when.
import { useComputed, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { HeatMap } from "../charts/heatmap.jsx";
import { Panel } from "../charts/panel.jsx";
import { records } from "../lib/api.js";
import { view } from "../lib/state.js";
import { seriesOf } from "./layer-data.js";
import { drawnOf } from "./page.jsx";
import { laneHeat, slowest } from "./step-data.js";

const TIMES = { step_time_ms: "time of a step", data_time_ms: "waiting for data", compute_time_ms: "the rest" };
const MOST = 20000;
const COLUMNS = 300;

/** @param {{model: import("./model.js").RunModel}} props */
export function Ranks({ model }) {
  const held = useSignal(/** @type {any[]} */ ([]));
  const failure = useSignal("");
  const field = useSignal("step_time_ms");
  const chosen = useSignal("");
  const count = model.overview.value?.counts.telemetry ?? 0;
  useEffect(() => {
    let stale = false;
    const range = view.value.z && { step_min: Math.max(0, Math.ceil(view.value.z[0])), step_max: Math.max(0, Math.floor(view.value.z[1])) };
    records(model.id, "telemetry", { where: JSON.stringify({ boundary: "step" }), ...range }, MOST)
      .then((all) => stale || (held.value = all), (error) => stale || (failure.value = error.message));
    return () => void (stale = true);
  }, [model, count, view.value.z?.[0], view.value.z?.[1]]);
  const heat = useComputed(() => laneHeat(held.value, field.value, COLUMNS));
  if (failure.value) return <p class="note error">{failure.value}</p>;
  const lanes = heat.value;
  if (lanes.rows.length < 2) return null;
  const slow = slowest(lanes);
  return (
    <section aria-label="Ranks">
      <h2>Ranks</h2>
      <div class="bar">
        <label>Milliseconds of <select value={field.value} onChange={(event) => (field.value = event.currentTarget.value)}>{Object.entries(TIMES).map(([name, title]) => <option key={name} value={name}>{title}</option>)}</select></label>
        {slow && <span class="dim">highest: {slow.row}, {slow.times.toFixed(2)} times the middle one</span>}
        {held.value.length === MOST && <span class="dim">only the first {MOST.toLocaleString("en-US")} records; zoom in to see others</span>}
      </div>
      <HeatMap heat={lanes} log={false} noun="ranks" outlined={new Set(model.heard.value.map(({ alert }) => alert.subject).filter(Boolean))} chosen={chosen.value} choose={(row) => (chosen.value = row)} title={`${TIMES[field.value]}, ms`} />
      {lanes.rows.includes(chosen.value) && <Panel key={chosen.value + field.value} name={`${chosen.value} · ${TIMES[field.value]}, ms`} source={model.source} generation={model.generation}
        whole={model.whole} eager height={160} runs={drawnOf(model).map((run) => ({ ...run, load: () => Promise.resolve(seriesOf(lanes, chosen.value, run.id)) }))} />}
    </section>
  );
}
