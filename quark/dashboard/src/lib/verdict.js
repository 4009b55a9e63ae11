// How a run does, in one sentence. Pure functions.

const SEVERITIES = ["info", "warning", "error", "critical"];

/** @param {string} severity */
export function severity(severity) {
  return SEVERITIES.indexOf(severity);
}

/** The latest of alerts that say the same: one that grew worse was recorded again. The numbers are those of the whole list.
 * @param {Alert[]} alerts @returns {{alert: Alert, n: number}[]} */
export function distinct(alerts) {
  const held = new Map();
  alerts.forEach((alert, index) => {
    const key = JSON.stringify([alert.rule_id, alert.subject, alert.step_start]);
    const before = held.get(key);
    if (!before || severity(alert.severity) >= severity(before.alert.severity)) held.set(key, { alert, n: index + 1 });
  });
  return [...held.values()].sort((a, b) => a.n - b.n);
}

/** The alert that matters most: the most severe one, of those the latest. @param {{alert: Alert, n: number}[]} alerts */
export function worst(alerts) {
  let found = null;
  for (const one of alerts) {
    if (!found || severity(one.alert.severity) >= severity(found.alert.severity)) found = one;
  }
  return found;
}

/** @param {string} text */
function sentence(text) {
  const trimmed = text.trim();
  return /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}

/** What to say of a run at its head: how it stands, why, and what to do.
 * @param {Run} run @param {{alert: Alert, n: number}[]} alerts @param {Phase[]} phases @param {number} analysed
 * @returns {{level: string, what: string, why: string, next: string, n: number | null}} */
export function verdict(run, alerts, phases, analysed) {
  const top = worst(alerts.filter((one) => one.alert.severity !== "info"));
  if (top) {
    const { alert, n } = top;
    const since = alert.step_start === null ? "" : ` since step ${alert.step_start.toLocaleString("en-US")}`;
    const next = alert.actions.length ? `Try: ${sentence(alert.actions[0])}` : "";
    return { level: alert.severity, what: `${alert.title}${since}.`, why: alert.fact ? sentence(alert.fact) : "", next, n };
  }
  if (run.status === "failed" || run.status === "interrupted") {
    const reason = run.reason && run.reason !== "error" ? ` (${run.reason.replaceAll("_", " ")})` : "";
    return { level: run.status === "failed" ? "error" : "warning", what: `The run ${run.status === "failed" ? "failed" : "was interrupted"}${reason}.`, why: "", next: "See Logs.", n: null };
  }
  if (!analysed) {
    return { level: "none", what: "Not diagnosed:", why: "no analysis was recorded with this run.", next: `quark analyze ${run.id.slice(0, 13)}`, n: null };
  }
  const phase = phases.at(-1);
  const now = phase ? ` ${phase.display_name} since step ${phase.step_start.toLocaleString("en-US")}.` : "";
  return { level: "healthy", what: "No alert stands.", why: now.trim(), next: "", n: null };
}
