// The code of compared runs: their commits, and what differed from these.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ofRun, records, request } from "../lib/api.js";
import { report } from "../lib/report.js";
import { visible } from "../lib/format.js";
import { Text } from "../parts/text.jsx";
import { byCode, patchLines } from "./patch.js";

const FIRST_LINES = 200;
const MOST_LINES = 5000;

/** @typedef {{id: string, name: string, color: string}} Drawn
 * @param {{runs: Run[], drawn: Drawn[]}} props */
export function Code({ runs, drawn }) {
  const held = useSignal(/** @type {ReturnType<typeof byCode<Drawn>> | null} */ (null));
  const failure = useSignal("");
  useEffect(() => {
    if (report) return;
    let stale = false;
    const load = async (/** @type {Run} */ run, /** @type {number} */ i) => ({ run: drawn[i], commit: run.git_commit, patch: await patchOf(run.id) });
    Promise.all(runs.map(load)).then((all) => stale || (held.value = byCode(all)), (error) => stale || (failure.value = error.message));
    return () => void (stale = true);
  }, [runs.map((run) => run.id).join()]);
  if (failure.value) return <p class="note error">The code cannot be compared: {failure.value}</p>;
  if (!held.value || !held.value.some(({ commit, patch }) => commit || patch)) return null;
  return (
    <section>
      <h2>Code</h2>
      {held.value.length === 1 && <p class="dim">{held.value[0].patch || runs.every(({ environment }) => /** @type {any} */ (environment).git?.dirty === false) ? "All runs have the same code." : "All runs have the same commit; whether files had changed is not known of each."}</p>}
      {held.value.map((one) => <State key={one.runs[0].id} {...one} />)}
    </section>
  );
}

/** The changes that were recorded with a run; null if there are none. @param {string} id */
async function patchOf(id) {
  const [found] = await records(id, "artifact", { where: JSON.stringify({ artifact_key: "environment/changes" }), sort: "-arrival" }, 1);
  return found ? (await request(ofRun(id, `/artifacts/${encodeURIComponent(found.id)}/payload`))).text() : null;
}

/** @param {{runs: Drawn[], commit: string | null, patch: string | null}} props */
function State({ runs, commit, patch }) {
  const most = useSignal(FIRST_LINES);
  const lines = patch ? patchLines(patch) : [];
  const left = Math.min(lines.length, MOST_LINES) - most.value;
  const files = lines.filter(({ kind }) => kind === "file").length;
  const head = (
    <>
      {runs.map((run) => <span key={run.id}><i class="dot" style={{ background: run.color }} /> <Text>{run.name}</Text> </span>)}
      <span class="dim">{commit ? <>commit <code>{commit.slice(0, 12)}</code></> : "no commit"}, {patch ? `${files} changed file${files === 1 ? "" : "s"}` : "no changes to it recorded"}</span>
    </>
  );
  if (!patch) return <p class="code">{head}</p>;
  return (
    <details class="code">
      <summary>{head}</summary>
      <pre class="text patch" tabIndex={0} aria-label="Changes">
        {lines.slice(0, most.value).map(({ text, kind }, i) => <span key={i} class={kind}>{visible(text)}{"\n"}</span>)}
      </pre>
      {left > 0 && <button onClick={() => (most.value = MOST_LINES)}>Show {left.toLocaleString("en-US")} more lines</button>}
      {lines.length > MOST_LINES && most.value === MOST_LINES && <p class="dim">{(lines.length - MOST_LINES).toLocaleString("en-US")} more lines are in the artifact <code>environment/changes</code> of the run.</p>}
    </details>
  );
}
