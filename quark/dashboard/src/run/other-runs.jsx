// Where else in the project a rule has raised an alert, when somebody asks.
import { useSignal } from "@preact/signals";
import { alertsOf, json, RUN_HEAD } from "../lib/api.js";
import { position, runName } from "../lib/format.js";
import { encodeView, START } from "../lib/view-code.js";
import { Text } from "../parts/text.jsx";
import { AlertList } from "../runs/alert-list.js";
import { Severity } from "./alerts.jsx";

const MOST_RUNS = 50;
const MOST_ALERTS = 200;

/** @param {{run: Run, rule: string}} props */
export function OtherRuns({ run, rule }) {
  const held = useSignal(/** @type {{listed: import("../runs/alert-list.js").Listed[], of: number} | null} */ (null));
  const failure = useSignal("");
  const busy = useSignal(false);
  const project = encodeURIComponent(run.project_name);
  async function look() {
    busy.value = true;
    try {
      const { runs } = await json(`/runs?project=${project}&limit=${MOST_RUNS}&${RUN_HEAD}`);
      const others = runs.filter(({ id }) => id !== run.id);
      held.value = { listed: await new AlertList(alertsOf).newest(others, MOST_ALERTS, (_, alert) => alert.rule_id !== rule), of: others.length };
      failure.value = "";
    } catch (error) {
      failure.value = error.message;
    }
    busy.value = false;
  }
  if (failure.value) return <p class="note error">{failure.value}</p>;
  if (!held.value) return <p><button disabled={busy.value} onClick={look}>Look for this alert in other runs</button></p>;
  const { listed, of } = held.value;
  const ids = [...new Set(listed.map((one) => one.run.id))];
  return (
    <section aria-label="The same alert in other runs">
      <h3>The same alert in other runs</h3>
      <p class="dim">{ids.length} of the {of} latest other runs of the project have alerts of <code>{rule}</code>.{" "}
        {ids.length > 0 && <a href={`/p/${project}${encodeView({ ...START, q: `id:${ids.map((id) => `"${id}"`).join(",")}` })}`}>Show these runs</a>}</p>
      <ul class="alert-lines">
        {listed.map(({ run: { id, name }, alert, n }) => (
          <li key={`${id} ${n}`} class="alert-line">
            <Severity severity={alert.severity} />
            <a href={`/r/${id}/alerts/${n}`}><Text>{runName({ id, name })}</Text>: <Text>{alert.title}</Text></a>
            <span class="dim num">{alert.step_start !== null && `step ${position("step", alert.step_start)}`}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
