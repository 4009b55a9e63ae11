// Which layers or parameters an alert is about, and the statistic that shows it. Pure functions.
import { STATISTICS } from "../charts/heat.js";

const MOST = 4;
const OF_COLLAPSE = [[/dead/, "dead"], [/saturated/, "saturated"]];

/** @typedef {{name: string, stat: string, statistic: typeof STATISTICS[keyof typeof STATISTICS]}} Subject
 * @param {Alert} alert @returns {Subject[]} */
export function layersOf(alert) {
  const held = new Map();
  for (const { kind, source, summary } of alert.evidence) {
    if (kind !== "parameter" && kind !== "layer_summary") continue;
    const stat = kind === "parameter" ? ofParameter(alert) : ofLayer(alert, summary);
    if (!held.has(source)) held.set(source, { name: source, stat, statistic: STATISTICS[stat] });
  }
  return [...held.values()].slice(0, MOST);
}

/** @param {Alert} alert */
function ofParameter({ rule_id, title }) {
  if (rule_id === "stagnant_layers") return "update_ratio";
  return rule_id === "nonfinite_values" && /weight .* is not finite/.test(title) ? "weight_norm" : "gradient_norm";
}

/** @param {Alert} alert @param {string} summary */
function ofLayer({ rule_id }, summary) {
  if (rule_id !== "activation_collapse" && rule_id !== "nonfinite_values") return "activation_gradient";
  return OF_COLLAPSE.find(([pattern]) => /** @type {RegExp} */ (pattern).test(summary))?.[1] ?? "activation_std";
}
