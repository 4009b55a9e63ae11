// The machine while the run went on.
import { ChartGrid } from "../charts/grid.jsx";
import { drawnOf } from "./page.jsx";

/** @param {{model: import("./model.js").RunModel}} props */
export function System({ model }) {
  const keys = model.keys.value.filter((key) => key.startsWith("system/"));
  if (!keys.length) return <p class="note">Nothing of the machine was recorded. <code>run.steps</code> and <code>SystemTelemetry</code> record it.</p>;
  return <ChartGrid keys={keys} runs={drawnOf(model)} source={model.source} generation={model.generation} whole={model.whole} marks={model.marks.value} />;
}
