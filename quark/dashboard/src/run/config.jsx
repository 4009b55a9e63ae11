// Configuration, environment and ancestry of a run.
import { flatten, plain } from "../lib/format.js";
import { Notes } from "./notes.jsx";
import { Clipped } from "../parts/clipped.jsx";

/** @param {{model: import("./model.js").RunModel}} props */
export function Config({ model }) {
  const run = /** @type {Run} */ (model.run.value);
  const { packages, ...environment } = /** @type {any} */ (run.environment);
  const facts = { id: run.id, project: run.project_name, status: run.status, reason: run.reason, started: run.started_at, ended: run.ended_at, parent: run.parent_run_id, commit: run.git_commit };
  return (
    <div class="tables">
      <Notes model={model} />
      <Facts title="Configuration" held={run.config} empty="The run has no configuration." />
      <Facts title="Run" held={facts} />
      <Facts title="Environment" held={environment} />
      {packages && <Facts title="Packages" held={packages} />}
    </div>
  );
}

/** @param {{title: string, held: unknown, empty?: string}} props */
function Facts({ title, held, empty = "Nothing was recorded." }) {
  const rows = flatten(held).filter(([path]) => path);
  return (
    <section>
      <h2>{title}</h2>
      {rows.length ? (
        <table class="facts">
          <tbody>{rows.map(([path, value]) => <tr key={path}><th scope="row"><Clipped>{path}</Clipped></th><td><Clipped>{plain(value)}</Clipped></td></tr>)}</tbody>
        </table>
      ) : <p class="note">{empty}</p>}
    </section>
  );
}
