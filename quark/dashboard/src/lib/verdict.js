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

// Rules that see what comes of something which another rule may name.
const EFFECTS = new Set(["loss_spike", "no_learning", "plateau", "train_eval_mismatch"]);

/** The alert that matters most: what harms the result before what costs time, the most severe, causes before effects; of
 * those the first. Null if none is at least a warning. @param {{alert: Alert, n: number}[]} alerts */
export function leading(alerts) {
  const rank = ({ alert }) => [Number(alert.category === "runtime"), -severity(alert.severity), Number(EFFECTS.has(alert.rule_id))];
  let found = null;
  for (const one of alerts) {
    if (one.alert.severity === "info") continue;
    const [mine, held] = [rank(one), found && rank(found)];
    const at = held ? mine.findIndex((value, i) => value !== held[i]) : 0;
    if (!held || (at >= 0 && mine[at] < held[at])) found = one;
  }
  return found;
}

/** @param {string} text */
function sentence(text) {
  const trimmed = text.trim();
  return /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}

const LITTLE_WORDS = ["a", "at", "is", "it", "seen", "since", "step", "the", "was", "were"];

/** A text, empty where all of its words were said already. @param {string} text @param {string} said */
function added(text, said) {
  const words = (/** @type {string} */ of) => of.toLowerCase().replace(/(?<=\d),(?=\d{3})/g, "").match(/[\p{L}\p{N}_](?:[\p{L}\p{N}_./%-]*[\p{L}\p{N}_])?/gu) ?? [];
  const known = new Set([...words(said), ...LITTLE_WORDS]);
  return words(text).every((word) => known.has(word)) ? "" : text;
}

/** @typedef {{level: string, what: string, why: string, next: string, n: number | null}} Said
 * What to say of a run at its head: what the last analysis said, else what its alerts say, else how it ended.
 * @param {Run} run @param {{alert: Alert, n: number}[]} alerts @param {Phase[]} phases @param {number} analysed
 * @param {any} [recorded] the verdict that an analysis left @returns {Said} */
export function verdict(run, alerts, phases, analysed, recorded = null) {
  const top = leading(alerts);
  if (recorded && typeof recorded.text === "string") return ofRecord(run, recorded, alerts);
  if (top) {
    const { alert, n } = top;
    const since = alert.step_start === null ? "" : `, ${alert.step_start === alert.step_end ? "at" : "since"} step ${alert.step_start.toLocaleString("en-US")}`;
    const next = alert.actions.length ? `Try: ${sentence(alert.actions[0])}` : "";
    const what = `${alert.title}${since}.`;
    return { level: alert.severity, what, why: alert.fact && added(sentence(alert.fact), what), next, n };
  }
  if (run.status === "failed" || run.status === "interrupted") {
    const reason = run.reason && run.reason !== "error" ? ` (${run.reason.replaceAll("_", " ")})` : "";
    const failed = run.status === "failed";
    return { level: failed ? "error" : "warning", what: `The run ${failed ? "failed" : "was interrupted"}${reason}.`, why: "", next: "See Logs.", n: null };
  }
  if (!analysed) {
    return { level: "none", what: "Not diagnosed:", why: "no analysis was recorded with this run.", next: `quark analyze ${run.id.slice(0, 13)}`, n: null };
  }
  const phase = phases.at(-1);
  const now = phase ? `${phase.display_name} since step ${phase.step_start.toLocaleString("en-US")}.` : "";
  return { level: "healthy", what: run.status === "running" ? "No fault found so far." : "No fault was found.", why: now, next: "", n: null };
}

/** The verdict of an analysis in its parts. @param {Run} run @param {any} recorded @param {{alert: Alert, n: number}[]} alerts @returns {Said} */
function ofRecord(run, { text, severity: level, status, rule, step }, alerts) {
  if (status === "not analyzed") return { level: "none", what: sentence(text), why: "", next: `quark analyze ${run.id.slice(0, 13)}`, n: null };
  const [said, action] = text.split(/[.!?]? Try: /);
  const colon = action === undefined ? -1 : said.indexOf(": ");
  const [what, why] = colon < 0 ? [said, ""] : [said.slice(0, colon), said.slice(colon + 2)];
  const about = alerts.findLast(({ alert }) => alert.rule_id === rule && (step === undefined || step === null || alert.step_start === step));
  return {
    level: level ?? (status === "healthy" ? "healthy" : status === "unknown" ? "none" : "warning"),
    what: sentence(what), why: why && added(sentence(why[0].toUpperCase() + why.slice(1)), what), next: action === undefined ? "" : `Try: ${action}`, n: about?.n ?? null,
  };
}
