// The head of a run: what it is, how it does, and the button that stops it.
import { useSignal } from "@preact/signals";
import { ago, number, runName, took } from "../lib/format.js";
import { Text } from "../parts/text.jsx";

/** @param {{model: import("./model.js").RunModel}} props */
export function Head({ model }) {
  const run = /** @type {Run} */ (model.run.value);
  const steps = Object.values(model.overview.value?.latest ?? {}).reduce((most, [step]) => Math.max(most, step ?? -1), -1);
  return (
    <div class="head">
      <div class="head-line">
        <Status status={run.status} />
        <h1><Text>{runName(run)}</Text></h1>
        {run.name && <code class="dim">{run.id.slice(0, 13)}</code>}
        {run.tags.slice(0, 6).map((tag) => <span class="tag" key={tag}><Text>{tag}</Text></span>)}
        <span class="dim facts">
          {steps >= 0 && <>step {number(steps)} · </>}{took(run)} · <time dateTime={run.started_at} title={run.started_at}>started {ago(run.started_at)}</time>
          {run.resume_count > 0 && <> · resumed {run.resume_count} ×</>}
        </span>
        <span class="space" />
        <HealthChips scores={model.health.value} />
        {run.status === "running" && <Stop model={model} />}
      </div>
      <Verdict model={model} />
      {model.failure.value && <p class="banner" role="status">{model.failure.value} Trying again.</p>}
    </div>
  );
}

/** @param {{status: string}} props */
export function Status({ status }) {
  return <span class={`status ${status}`}><i aria-hidden="true" />{status}</span>;
}

/** @param {{model: import("./model.js").RunModel}} props */
function Verdict({ model }) {
  const held = model.verdict.value;
  if (!held) return null;
  const rest = model.distinct.value.length;
  return (
    <p class={`verdict ${held.level}`} aria-label="Verdict">
      <b><Text>{held.what}</Text></b> <Text>{held.why}</Text> <span class="next"><Text>{held.next}</Text></span>
      {held.n !== null && <a href={`/r/${model.id}/alerts/${held.n}`}>evidence</a>}
      {rest > 1 && <a href={`/r/${model.id}/alerts`}>all {rest} alerts</a>}
    </p>
  );
}

/** @param {{scores: Health[]}} props */
function HealthChips({ scores }) {
  if (!scores.length) return null;
  return (
    <ul class="chips" aria-label="Health">
      {[...scores].sort((a, b) => Number(b.score_key === "overall") - Number(a.score_key === "overall")).map((score) => <li key={score.score_key} class={`chip ${score.status}`} title={`${score.score_key}: ${score.status}`}>{score.score_key} <b>{Math.round(score.score)}</b></li>)}
    </ul>
  );
}

/** @param {{model: import("./model.js").RunModel}} props */
function Stop({ model }) {
  const asked = useSignal(false);
  const failure = useSignal("");
  if (model.control.value?.stop_requested_at) return <span class="dim" role="status">stop requested, ends after its current step</span>;
  const stop = () => model.stop().catch((error) => (failure.value = error.message));
  if (failure.value) return <span class="error" role="alert">{failure.value}</span>;
  if (!asked.value) return <button class="danger" onClick={() => (asked.value = true)}>Stop</button>;
  return (
    <span class="ask" role="group" aria-label="Stop this run?">
      <button class="danger solid" onClick={stop}>Stop the run</button>
      <button onClick={() => (asked.value = false)}>Cancel</button>
    </span>
  );
}
