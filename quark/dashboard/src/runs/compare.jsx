// Runs side by side: what differs first, then metrics with their difference to the first run, phases and alerts, and charts.
import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { ChartGrid } from "../charts/grid.jsx";
import { json } from "../lib/api.js";
import { lineStyle } from "../lib/colors.js";
import { metric, plain, runName } from "../lib/format.js";
import { label } from "../lib/names.js";
import { Message } from "../parts/message.jsx";
import { RunModel } from "../run/model.js";
import { PHASE_COLORS } from "../run/strip-paint.js";
import { difference, noiseBand, seedGroups, settingsTable } from "./compare-data.js";
import { Clipped } from "../parts/clipped.jsx";
import { Text } from "../parts/text.jsx";
import { Code } from "./code.jsx";

const MOST_RUNS = 20;
const MOST_KEYS = 33;

/** @param {{ids: string[]}} props */
export function ComparePage({ ids }) {
  const models = useMemo(() => ids.slice(0, MOST_RUNS).map((id) => new RunModel(id)), [ids.join()]);
  useEffect(() => {
    document.title = "Compare · Quark";
    const ends = models.map((model) => model.open());
    return () => ends.forEach((end) => end());
  }, [models]);
  if (ids.length < 2) return <Message title="Nothing to compare" text="Choose two runs or more in the table of a project, then Compare." />;
  const failed = models.find((model) => !model.run.value && model.failure.value);
  if (failed) return <Message title="These runs cannot be compared" text={`${failed.id}: ${failed.failure.value}`} />;
  if (models.some((model) => !model.overview.value)) return <p class="note loading" role="status">Loading…</p>;
  const runs = models.map((model) => /** @type {Run} */ (model.run.value));
  const drawn = models.map((model, i) => ({ id: model.id, name: runName(runs[i]), ...lineStyle(i), load: (key, range) => model.source.get(model.id, key, range) }));
  const keys = [...new Set(models.flatMap((model) => model.keys.value))];
  return (
    <main id="main" class="compare">
      <h1 class="hidden">Comparison of {runs.length} runs</h1>
      <Settings runs={runs} drawn={drawn} />
      <Metrics drawn={drawn} groups={seedGroups(runs.map((run) => run.config))} keys={keys.filter((key) => !key.startsWith("system/")).slice(0, MOST_KEYS)} generation={models.reduce((sum, model) => sum + model.generation.value, 0)} />
      <Code runs={runs} drawn={drawn} />
      <Lanes models={models} drawn={drawn} />
      <section><h2>Charts</h2><ChartGrid keys={keys} runs={drawn} source={models[0].source} generation={models[0].generation} /></section>
    </main>
  );
}

/** @param {{drawn: {id: string, name: string, color: string}[], num?: boolean}} props */
function Names({ drawn, num = false }) {
  return drawn.map((run) => <th scope="col" key={run.id} class={num ? "num" : ""}><i class="dot" style={{ background: run.color }} /> <a href={`/r/${run.id}`}><Text>{run.name}</Text></a></th>);
}

/** @param {{runs: Run[], drawn: any[]}} props */
function Settings({ runs, drawn }) {
  const all = useSignal(false);
  const table = settingsTable(runs.map((run) => ({ ...prefixed("config", run.config), status: run.status, reason: run.reason, commit: run.git_commit, tags: run.tags.join(", "), ...prefixed("environment", leftOut(run.environment)) })));
  const rows = table.filter((row) => all.value || row.differs);
  return (
    <section>
      <h2>{all.value ? "All settings" : "What differs"} <button aria-pressed={!all.value} onClick={() => (all.value = !all.value)}>only what differs</button></h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="Settings">
        <table>
          <thead><tr><th scope="col">setting</th><Names drawn={drawn} /></tr></thead>
          <tbody>{rows.map(({ path, values }) => <tr key={path}><th scope="row"><Clipped>{path.replace(/^config\./, "")}</Clipped></th>{values.map((value, i) => <td key={i}><Clipped>{plain(value)}</Clipped></td>)}</tr>)}</tbody>
        </table>
        {!rows.length && <p class="note">Their settings are the same.</p>}
      </div>
    </section>
  );
}

/** @param {string} name @param {unknown} held */
const prefixed = (name, held) => ({ [name]: held });

/** Without what differs between any two processes and says nothing, and the commit, which the run has. @param {Record<string, any>} environment */
function leftOut({ pid, started_at, git, ...rest }) {
  const { commit, ...state } = git ?? {};
  return { ...rest, git: state };
}

/** @param {{drawn: any[], groups: number[][], keys: string[], generation: number}} props */
function Metrics({ drawn, groups, keys, generation }) {
  const held = useSignal(/** @type {Record<string, any>[] | null} */ (null));
  const how = useSignal("last");
  const failure = useSignal("");
  useEffect(() => {
    const columns = keys.flatMap((key) => ["last", "min", "max"].map((one) => `${one}:${key}`));
    const rows = drawn.map((run) => json("/runs/query", { method: "POST", body: { query: `id:"${run.id}"`, columns, limit: 5 } }).then((got) => got.runs.find((row) => row.id === run.id)?.columns ?? {}));
    Promise.all(rows).then((got) => (held.value = got), (error) => (failure.value = error.message));
  }, [drawn.map((run) => run.id).join(), keys.join(), generation]);
  if (failure.value) return <p class="note error">{failure.value}</p>;
  return (
    <section>
      <h2>Metrics <select aria-label="Which value" value={how.value} onChange={(event) => (how.value = event.currentTarget.value)}>{["last", "min", "max"].map((name) => <option key={name}>{name}</option>)}</select></h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="Values of metrics">
        <table>
          <thead><tr><th scope="col">metric</th><Names drawn={drawn} num /></tr></thead>
          <tbody>
            {held.value && keys.map((key) => {
              const values = held.value?.map((columns) => columns[`${how.value}:${key}`]) ?? [];
              const band = noiseBand(values, groups);
              return <tr key={key}><th scope="row">{label(key)}</th>{values.map((value, i) => <td class="num" key={i}>{metric(key, value)}{i > 0 && <Delta name={key} first={values[0]} value={value} band={band} />}</td>)}</tr>;
            })}
          </tbody>
        </table>
      </div>
      <p class="dim">
        Differences are to the first run; green is better where the name of the metric says which way is.
        {groups.length > 0 && " Grey ones are within the noise: twice the deviation between runs that differ in their seeds only."}
      </p>
    </section>
  );
}

/** @param {{name: string, first: unknown, value: unknown, band: number | null}} props */
function Delta({ name, first, value, band }) {
  const held = difference(name, first, value);
  if (!held || held.size === 0) return null;
  const part = held.part === null ? metric(name, held.size) : `${(100 * held.part).toFixed(Math.abs(held.part) < 0.1 ? 1 : 0)} %`;
  const noise = band !== null && Math.abs(held.size) <= band;
  return <span title={band === null ? undefined : `${noise ? "within" : "beyond"} the noise of ±${metric(name, band)}`} class={noise ? "dim" : held.way > 0 ? "better" : held.way < 0 ? "worse" : "dim"}> {held.size > 0 ? "+" : ""}{part}</span>;
}

/** @param {{models: RunModel[], drawn: any[]}} props */
function Lanes({ models, drawn }) {
  const last = Math.max(1, ...models.flatMap((model) => Object.values(model.overview.value?.latest ?? {}).map(([step]) => step ?? 0)));
  if (!models.some((model) => model.phases.value.length || model.alerts.value.length)) return null;
  const part = (/** @type {number} */ step) => `${(100 * step) / last}%`;
  return (
    <section>
      <h2>Phases and alerts</h2>
      <div class="lanes">
        {models.map((model, i) => [
          <span key="name"><i class="dot" style={{ background: drawn[i].color }} /> <Text>{drawn[i].name}</Text></span>,
          <div class="lane" key="lane">
            {model.phases.value.map((phase, at) => <i key={at} title={`${phase.display_name}, step ${phase.step_start} to ${phase.step_end}`} style={{ left: part(phase.step_start), width: part(phase.step_end - phase.step_start), background: `var(${PHASE_COLORS[phase.phase_name] ?? "--phase-start"})` }} />)}
            {model.marks.value.map((mark) => <a key={mark.n} href={`/r/${model.id}/alerts/${mark.n}`} aria-label={`${drawn[i].name}: ${mark.title}, step ${mark.x}`} title={mark.title} style={{ left: part(mark.x), background: `var(--${mark.severity})` }} />)}
          </div>,
        ])}
      </div>
    </section>
  );
}
