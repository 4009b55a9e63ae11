// One alert: what was seen, why it matters, the evidence as charts, and what to do.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Panel } from "../charts/panel.jsx";
import { number, position } from "../lib/format.js";
import { isMuted, mute } from "../lib/muted.js";
import { report } from "../lib/report.js";
import { encodeView } from "../lib/view-code.js";
import { show, view } from "../lib/state.js";
import { Severity } from "./alerts.jsx";
import { layersOf } from "./layer-alert.js";
import { loadLayer } from "./layer-data.js";
import { OtherRuns } from "./other-runs.jsx";
import { drawnOf } from "./page.jsx";
import { Text } from "../parts/text.jsx";

/** @param {{model: import("./model.js").RunModel, n: number}} props */
export function AlertPage({ model, n }) {
  const alert = model.alerts.value[n - 1];
  if (!alert) return <p class="note">{model.overview.value?.counts.alert ? `This run has no alert ${n}.` : "Loading…"} <a href={`/r/${model.id}/alerts`}>All alerts</a></p>;
  const [from, to] = [alert.step_start, alert.step_end ?? alert.step_start];
  return (
    <article class="alert-page">
      <p><a href={`/r/${model.id}/alerts`}>← All alerts</a></p>
      <h2><Severity severity={alert.severity} /> <Text>{alert.title}</Text></h2>
      <p class="dim">
        {alert.category} · rule <code>{alert.rule_id}</code>{!report && <Mute project={/** @type {Run} */ (model.run.value).project_name} rule={alert.rule_id} />}
        {from !== null && <> · step {position("step", from)}{to !== from && to !== null && ` to ${position("step", to)}`}</>}
        {alert.subject && <> · <code><Text>{alert.subject}</Text></code></>}
      </p>
      <div class="alert-body">
        <dl>
          <Part title="Seen" text={alert.fact || alert.summary} />
          <Part title="Suggests" text={alert.inference} />
          <Part title="If nothing is done" text={alert.consequence} />
          <Part title="Over when" text={alert.clears} />
        </dl>
        {alert.actions.length > 0 && (
          <section aria-label="What to do">
            <h3>What to do</h3>
            <ol>{alert.actions.map((action) => <li key={action}><Text>{action}</Text></li>)}</ol>
          </section>
        )}
      </div>
      <Charts model={model} alert={alert} from={from} to={to} />
      <LayerCharts model={model} alert={alert} from={from} to={to} />
      <EvidenceTable alert={alert} />
      {!report && <OtherRuns key={alert.rule_id} run={/** @type {Run} */ (model.run.value)} rule={alert.rule_id} />}
    </article>
  );
}

/** @param {{project: string, rule: string}} props */
function Mute({ project, rule }) {
  const on = isMuted(project, rule);
  return <> <button aria-pressed={on} onClick={() => mute(project, rule, !on)} title="For this project, in this browser; the run is not changed">{on ? "Muted" : "Mute this rule"}</button></>;
}

/** @param {{title: string, text: string}} props */
function Part({ title, text }) {
  return text ? <><dt>{title}</dt><dd><Text>{text}</Text></dd></> : null;
}

/** @param {{model: import("./model.js").RunModel, alert: Alert, from: number | null, to: number | null}} props */
function Charts({ model, alert, from, to }) {
  const keys = model.keys.value;
  const sources = [...new Set([...alert.evidence.map((one) => one.source), alert.subject ?? ""])].filter((key) => keys.includes(key));
  if (!sources.length || from === null || to === null) return null;
  const limits = new Map(alert.evidence.filter((one) => one.threshold_value !== null && one.observed_value !== null && /value|level|absolute/.test(one.summary)).map((one) => [one.source, one.threshold_value]));
  const reach = Math.max(50, (to - from) * 2);
  return (
    <section aria-label="Evidence">
      <h3>Evidence <button onClick={() => show({ z: [Math.max(0, from - reach), to + reach] })}>Zoom to it</button></h3>
      <div class="grid evidence">
        {sources.map((key) => <Panel key={key} name={key} runs={drawnOf(model)} source={model.source} generation={model.generation} whole={model.whole}
          marks={[{ x: from, severity: alert.severity }]} windows={[[from, to]]} eager threshold={limits.get(key) ?? null} height={220} />)}
      </div>
    </section>
  );
}

/** The series of the layers that the alert is about, each with a link to it among the other layers.
 * @param {{model: import("./model.js").RunModel, alert: Alert, from: number | null, to: number | null}} props */
function LayerCharts({ model, alert, from, to }) {
  const held = useSignal(/** @type {{subject: import("./layer-alert.js").Subject, chart: Chart, cut: boolean}[]} */ ([]));
  const failure = useSignal("");
  useEffect(() => {
    let stale = false;
    const load = async (subject) => {
      const series = await loadLayer(model.id, subject);
      return series ? [{ subject, ...series }] : [];
    };
    Promise.all(layersOf(alert).map(load)).then((all) => stale || (held.value = all.flat()), (error) => stale || (failure.value = error.message));
    return () => void (stale = true);
  }, [model, alert.id]);
  if (failure.value) return <p class="note error">{failure.value}</p>;
  if (!held.value.length) return null;
  return (
    <section aria-label="Layers">
      <h3>Layers</h3>
      <div class="grid evidence">
        {held.value.map(({ subject: { name, stat, statistic }, chart, cut }) => (
          <div key={name}>
            <Panel name={`${name} · ${statistic.title}`} runs={drawnOf(model).map((run) => ({ ...run, load: () => Promise.resolve(chart) }))} source={model.source}
              generation={model.generation} whole={model.whole} marks={from === null ? [] : [{ x: from, severity: alert.severity }]} windows={from === null || to === null ? [] : [[from, to]]} eager height={220} />
            <p class="dim"><a href={`/r/${model.id}/layers${encodeView({ ...view.value, stat, l: name })}`}>Compare with the other layers</a>{cut && " · only its first records are drawn"}</p>
          </div>
        ))}
      </div>
    </section>
  );
}

/** @param {{alert: Alert}} props */
function EvidenceTable({ alert }) {
  return (
    <table class="plain">
      <caption>What it rests on</caption>
      <thead><tr><th scope="col">source</th><th scope="col">observation</th><th scope="col" class="num">value</th><th scope="col" class="num">limit</th><th scope="col" class="num">steps</th></tr></thead>
      <tbody>
        {alert.evidence.map((one, index) => (
          <tr key={index}>
            <td><code><Text>{one.source}</Text></code></td><td><Text>{one.summary}</Text></td>
            <td class="num">{number(one.observed_value)}</td><td class="num">{number(one.threshold_value)}</td>
            <td class="num">{one.step_start === null ? "–" : one.step_start === one.step_end ? one.step_start : `${one.step_start} to ${one.step_end}`}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
