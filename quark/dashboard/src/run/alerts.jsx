// The alerts of a run, as a list.
import { position } from "../lib/format.js";
import { Text } from "../parts/text.jsx";

/** @param {{model: import("./model.js").RunModel}} props */
export function Alerts({ model }) {
  const alerts = model.distinct.value;
  if (!alerts.length) return <NoAlerts model={model} />;
  const heard = model.heard.value;
  const rest = alerts.filter((one) => !heard.includes(one));
  return (
    <>
      <AlertCards model={model} alerts={heard} />
      {rest.length > 0 && <details class="muted"><summary>{rest.length} {rest.length === 1 ? "alert" : "alerts"} of muted rules</summary><AlertCards model={model} alerts={rest} /></details>}
    </>
  );
}

/** @param {{model: import("./model.js").RunModel, alerts: {alert: Alert, n: number}[]}} props */
function AlertCards({ model, alerts }) {
  return (
    <ul class="alerts">
      {[...alerts].reverse().map(({ alert, n }) => (
        <li key={n} class={`card ${alert.severity}`}>
          <a class="cover" href={`/r/${model.id}/alerts/${n}`}>
            <Severity severity={alert.severity} /> <b><Text>{alert.title}</Text></b>
            {alert.step_start !== null && <span class="dim"> step {position("step", alert.step_start)}{alert.step_end !== null && alert.step_end !== alert.step_start && ` to ${position("step", alert.step_end)}`}</span>}
            {alert.subject && <code class="dim"><Text>{alert.subject}</Text></code>}
          </a>
          <p><Text>{alert.fact || alert.summary}</Text></p>
          {alert.actions.length > 0 && <p class="dim">Try: <Text>{alert.actions[0]}</Text></p>}
        </li>
      ))}
    </ul>
  );
}

/** @param {{model: import("./model.js").RunModel}} props */
function NoAlerts({ model }) {
  const analysed = model.phases.value.length + model.health.value.length > 0;
  return (
    <div class="note">
      <p>{analysed ? "No alert was raised." : "No analysis was recorded with this run, so nothing is known of its alerts."}</p>
      {!analysed && <p>To analyse it now: <code>quark analyze {model.id.slice(0, 13)}</code></p>}
    </div>
  );
}

/** @param {{severity: string}} props */
export function Severity({ severity }) {
  return <span class={`severity ${severity}`}>{severity}</span>;
}
