// The page of a project: its runs as a table, and beside it the charts of those that are chosen.
import { useSignalEffect } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { ChartGrid } from "../charts/grid.jsx";
import { lineStyle } from "../lib/colors.js";
import { crumb, openKeys } from "../lib/crumb.js";
import { runName } from "../lib/format.js";
import { show, view } from "../lib/state.js";
import { Message } from "../parts/message.jsx";
import { ProjectModel } from "./model.js";
import { Parallel } from "./parallel.jsx";
import { Scatter } from "./scatter.jsx";
import { RunTable } from "./table.jsx";
import { QueryBar } from "./query-bar.jsx";

const TYPING_MS = 250;
const SIDES = [["charts", "Charts"], ["scatter", "Scatter"], ["parallel", "Parallel"], ["table", "Table only"]];

/** @param {{project: string}} props */
export function ProjectPage({ project }) {
  const model = useMemo(() => new ProjectModel(project), [project]);
  const first = useRef(true);
  useEffect(() => {
    document.title = `${project} · Quark`;
    crumb.value = project;
    return model.open();
  }, [model]);
  useSignalEffect(() => {
    const asked = [view.value.q, model.wanted.value]; // what the rows depend on
    const timer = setTimeout(() => asked && model.reload(), first.current ? 0 : TYPING_MS);
    first.current = false;
    return () => clearTimeout(timer);
  });
  useSignalEffect(() => void (openKeys.value = model.keys.value));
  useEffect(() => () => void (openKeys.value = []), []);
  if (!model.rows.value && model.failure.value) return <Message title="These runs cannot be shown" text={model.failure.value} />;
  const side = view.value.m;
  return (
    <div class={`page project side-${side}`}>
      <section aria-label="Which runs">
        <h1 class="hidden">Runs of {project}</h1>
        <QueryBar model={model} />
        <div class="tabs" role="group" aria-label="Beside the table">
          {SIDES.map(([name, title]) => <button key={name} class="tab" aria-pressed={side === name} onClick={() => show({ m: name })}>{title}</button>)}
        </div>
      </section>
      <main id="main" class="split">
        <RunTable model={model} />
        {side !== "table" && <div class="side">{side === "scatter" ? <Scatter model={model} /> : side === "parallel" ? <Parallel model={model} /> : <Charts model={model} />}</div>}
      </main>
    </div>
  );
}

/** @param {{model: ProjectModel}} props */
function Charts({ model }) {
  const keys = model.keys.value.filter((key) => !key.startsWith("system/"));
  if (view.value.g.length) {
    const source = model.groupSource.value;
    const drawn = model.groups.value.map(({ name, rows }, i) => ({ id: name, name: `${name} (n=${rows.length})`, ...lineStyle(i), grouped: true, load: (key, range) => source.get(name, key, range) }));
    return <ChartGrid compact keys={keys} runs={drawn} grouped source={source} generation={model.generation} />;
  }
  const rows = new Map((model.rows.value ?? []).map((row) => [row.id, row]));
  const drawn = model.selected.value.filter((id) => rows.has(id)).map((id) => ({ id, name: runName(/** @type {Row} */ (rows.get(id))), ...lineStyle(model.place(id)) }));
  if (!drawn.length) return <p class="note">{rows.size ? "No run is chosen: tick some in the table." : ""}</p>;
  return <ChartGrid compact keys={keys} runs={drawn} source={model.source} generation={model.generation} />;
}
