// The machine while the run went on, and the processes that recorded it.
import { ChartGrid } from "../charts/grid.jsx";
import { number } from "../lib/format.js";
import { drawnOf } from "./page.jsx";
import { Ranks } from "./ranks.jsx";
import { DATA, REST, StepTime } from "./step-time.jsx";

/** @param {{model: import("./model.js").RunModel}} props */
export function System({ model }) {
  const keys = model.keys.value.filter((key) => key.startsWith("system/"));
  const charts = keys.length
    ? <ChartGrid keys={keys} runs={drawnOf(model)} source={model.source} generation={model.generation} whole={model.whole} marks={model.marks.value} />
    : <p class="note">Nothing of the machine was recorded. <code>run.steps</code> and <code>SystemTelemetry</code> record it.</p>;
  return <>{keys.includes(DATA) && keys.includes(REST) && <StepTime model={model} />}{hasRanks(model) && <Ranks model={model} />}{charts}<Processes writers={model.overview.value?.writers ?? []} /></>;
}

/** @param {import("./model.js").RunModel} model */
function hasRanks(model) {
  return new Set((model.overview.value?.writers ?? []).map(({ rank }) => rank)).size > 1;
}

/** @param {{writers: NonNullable<Overview["writers"]>}} props */
function Processes({ writers }) {
  if (writers.length < 2) return null;
  const ordered = [...writers].sort((a, b) => a.rank - b.rank || a.attempt - b.attempt);
  return (
    <table class="plain processes">
      <caption>Processes</caption>
      <thead><tr><th scope="col" class="num">rank</th><th scope="col" class="num">attempt</th><th scope="col" class="num">records</th><th scope="col">writer</th></tr></thead>
      <tbody>{ordered.map((one) => <tr key={one.writer_id}><td class="num">{one.rank}</td><td class="num">{one.attempt}</td><td class="num">{number(one.next)}</td><td><code>{one.writer_id}</code></td></tr>)}</tbody>
    </table>
  );
}
