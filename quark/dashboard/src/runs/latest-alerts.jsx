// The last alerts of all projects, each with a link to its evidence.
import { ago, runName } from "../lib/format.js";
import { Text } from "../parts/text.jsx";
import { Severity } from "../run/alerts.jsx";

/** @param {{alerts: import("./alert-list.js").Listed[], runs: number}} props */
export function LatestAlerts({ alerts, runs }) {
  return (
    <section>
      <h2>Latest alerts</h2>
      <ul class="alert-lines">
        {alerts.map(({ run, alert, n }) => (
          <li key={`${run.id} ${n}`} class="alert-line">
            <Severity severity={alert.severity} />
            <a href={`/r/${run.id}/alerts/${n}`}><Text>{alert.title}</Text></a>
            <span class="dim"><Text>{run.project_name}</Text> · <Text>{runName(run)}</Text></span>
            <span class="dim num">{ago(alert.timestamp)}</span>
          </li>
        ))}
      </ul>
      <p class="dim">Of the {runs} runs that changed last.</p>
    </section>
  );
}
