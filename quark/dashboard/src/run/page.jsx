// The page of one run.
import { useEffect, useMemo } from "preact/hooks";
import { lineStyle } from "../lib/colors.js";
import { runName } from "../lib/format.js";
import { crumb, openKeys, openPlaces } from "../lib/crumb.js";
import { show } from "../lib/state.js";
import { ChartGrid, Namespaces } from "../charts/grid.jsx";
import { Message } from "../parts/message.jsx";
import { AlertPage } from "./alert.jsx";
import { Alerts } from "./alerts.jsx";
import { Artifacts } from "./artifacts.jsx";
import { Config } from "./config.jsx";
import { Head } from "./head.jsx";
import { Layers } from "./layers.jsx";
import { Logs } from "./logs.jsx";
import { RunModel } from "./model.js";
import { Strip } from "./strip.jsx";
import { System } from "./system.jsx";

const TABS = [["", "Charts"], ["layers", "Layers"], ["alerts", "Alerts"], ["system", "System"], ["logs", "Logs"], ["artifacts", "Artifacts"], ["config", "Config"]];

/** @param {{id: string, tab: string, rest: string}} props */
export function RunPage({ id, tab, rest }) {
  const model = useMemo(() => new RunModel(id), [id]);
  useEffect(() => model.open(), [model]);
  const run = model.run.value;
  useEffect(() => {
    if (!run) return;
    document.title = `${runName(run)} · Quark`;
    crumb.value = run.project_name;
    openKeys.value = model.keys.value;
    openPlaces.value = [
      ...TABS.map(([name, title]) => ({ kind: "tab", title, url: `/r/${id}${name && `/${name}`}` })),
      ...model.distinct.value.map(({ alert, n }) => ({ kind: "alert", title: alert.title, url: `/r/${id}/alerts/${n}` })),
    ];
  }, [run, model.overview.value, model.alerts.value]);
  useEffect(() => () => {
    openKeys.value = [];
    openPlaces.value = [];
  }, []);
  useEffect(() => jumpByKeys(model), [model]);
  if (!run) return model.failure.value ? <Message title="This run cannot be shown" text={model.failure.value} /> : <p class="note loading" role="status">Loading…</p>;
  return (
    <div class="page run">
      <section class="sticky" aria-label="Run">
        <Head model={model} />
        <Strip model={model} />
        <nav class="tabs" aria-label="Parts of the run">
          {TABS.map(([name, title]) => (
            <a key={name} href={`/r/${id}${name && `/${name}`}${location.hash}`} aria-current={name === tab ? "page" : undefined}>
              {title}{name === "alerts" && model.heard.value.length > 0 && <span class="count">{model.heard.value.length}</span>}
            </a>
          ))}
        </nav>
      </section>
      <main id="main">{tabBody(model, tab, rest)}</main>
    </div>
  );
}

/** @param {RunModel} model @param {string} tab @param {string} rest */
function tabBody(model, tab, rest) {
  if (tab === "layers") return <Layers model={model} />;
  if (tab === "alerts") return rest ? <AlertPage model={model} n={Number(rest)} /> : <Alerts model={model} />;
  if (tab === "system") return <System model={model} />;
  if (tab === "logs") return <Logs model={model} />;
  if (tab === "artifacts") return <Artifacts model={model} />;
  if (tab === "config") return <Config model={model} />;
  return <Charts model={model} />;
}

/** @param {{model: RunModel}} props */
function Charts({ model }) {
  const keys = model.keys.value.filter((key) => !key.startsWith("system/"));
  const drawn = drawnOf(model);
  return (
    <div class="with-rail">
      <Namespaces keys={keys} />
      <ChartGrid keys={keys} runs={drawn} source={model.source} generation={model.generation} whole={model.whole} marks={model.marks.value} />
    </div>
  );
}

/** @param {RunModel} model @returns {import("../charts/panel.jsx").Drawn[]} */
export function drawnOf(model) {
  const run = /** @type {Run} */ (model.run.value);
  return [{ id: run.id, name: runName(run), ...lineStyle(0) }];
}

/** ``n`` and ``p`` jump to the alerts. @param {RunModel} model */
function jumpByKeys(model) {
  let at = -1;
  const onKey = (event) => {
    if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { n: 1, p: -1 }[event.key];
    const marks = model.marks.peek();
    const whole = model.whole.peek();
    if (!by || !marks.length || !whole) return;
    at = (at + by + marks.length) % marks.length;
    const half = (whole[1] - whole[0]) / 20;
    show({ z: [Math.max(whole[0], marks[at].x - half), Math.min(whole[1], marks[at].x + half)] });
  };
  addEventListener("keydown", onKey);
  return () => removeEventListener("keydown", onKey);
}
