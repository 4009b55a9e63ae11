// Home: projects, the last alerts, what runs now, and the latest runs.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { alertsOf, json, RUN_HEAD } from "../lib/api.js";
import { ago, runName, took } from "../lib/format.js";
import { follow } from "../lib/live.js";
import { isMuted } from "../lib/muted.js";
import { Message } from "../parts/message.jsx";
import { Status } from "../run/head.jsx";
import { Text } from "../parts/text.jsx";
import { AlertList } from "./alert-list.js";
import { LatestAlerts } from "./latest-alerts.jsx";

const SHOWN = 12;
const MOST_ALERTS = 10;
const MOST_READ = 20; // runs whose alerts are looked at, beside those that run now

export function Home() {
  const held = useSignal(/** @type {{projects: any[], running: Run[], latest: Run[]} | null} */ (null));
  const alerts = useSignal(/** @type {{listed: import("./alert-list.js").Listed[], runs: number} | null} */ (null));
  const failure = useSignal("");
  useEffect(() => {
    document.title = "Quark";
    const list = new AlertList(alertsOf);
    const load = async () => {
      try {
        const [{ projects }, { runs: running }, { runs: latest }] = await Promise.all([json("/projects"), json("/runs?status=running&limit=50"), json(`/runs?limit=${SHOWN}`)]);
        held.value = { projects, running, latest };
        failure.value = "";
        const { runs: changed } = await json(`/runs?sort=-updated_at&limit=${MOST_READ}&${RUN_HEAD}`);
        const runs = [...new Map([...running.slice(0, MOST_READ), ...changed].map((run) => [run.id, run])).values()];
        alerts.value = { listed: await list.newest(runs, MOST_ALERTS, (run, alert) => isMuted(run.project_name, alert.rule_id)), runs: runs.length };
      } catch (error) {
        failure.value = error.message;
        throw error;
      }
    };
    load().catch(() => {});
    return follow(load, () => true);
  }, []);
  if (!held.value) return failure.value ? <Message title="The runs cannot be shown" text={failure.value} /> : <p class="note loading" role="status">Loading…</p>;
  const { projects, running, latest } = held.value;
  if (!projects.length) return <Empty />;
  return (
    <main id="main" class="home">
      <h1 class="hidden">Projects and runs</h1>
      {failure.value && <p class="banner" role="status">{failure.value} Trying again.</p>}
      <div class="home-top">
      <section>
        <h2>Projects <span class="count">{projects.length}</span></h2>
        <ul class="cards">
          {projects.map((project) => (
            <li key={project.id} class="card"><a class="cover" href={`/p/${encodeURIComponent(project.name)}`}><b><Text>{project.name}</Text></b><span class="dim">last changed {ago(project.updated_at)}</span></a></li>
          ))}
        </ul>
      </section>
      {alerts.value && alerts.value.listed.length > 0 && <LatestAlerts alerts={alerts.value.listed} runs={alerts.value.runs} />}
      </div>
      {running.length > 0 && <section><h2>Running now <span class="count">{running.length}</span></h2><RunList runs={running} /></section>}
      <section><h2>Latest runs</h2><RunList runs={latest} /></section>
    </main>
  );
}

/** @param {{runs: Run[]}} props */
function RunList({ runs }) {
  return (
    <div class="scroll">
      <table class="plain">
        <thead><tr><th scope="col">run</th><th scope="col">status</th><th scope="col">project</th><th scope="col">tags</th><th scope="col" class="num">started</th><th scope="col" class="num">took</th></tr></thead>
        <tbody>
          {runs.map((run) => (
            <tr key={run.id}>
              <td><a href={`/r/${run.id}`}><Text>{runName(run)}</Text></a></td><td><Status status={run.status} /></td>
              <td><a href={`/p/${encodeURIComponent(run.project_name)}`}><Text>{run.project_name}</Text></a></td>
              <td>{run.tags.slice(0, 4).map((tag) => <span class="tag" key={tag}><Text>{tag}</Text></span>)}</td>
              <td class="num dim">{ago(run.started_at)}</td><td class="num dim">{took(run)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Empty() {
  return (
    <main id="main" class="message">
      <h1>No run yet</h1>
      <p>Record one, and it appears here by itself:</p>
      <pre class="text" tabIndex={0}>{'import quark\n\nwith quark.start_run(project="digits", config={"lr": 0.1}) as run:\n    for step in run.steps(range(100)):\n        run.log({"train/loss": 1 / (1 + step)})'}</pre>
      <p class="dim">Or type <code>quark demo</code>, which trains a small network on handwritten digits.</p>
    </main>
  );
}
