// Events as the lines of a log. Pure functions.
import { plain } from "./format.js";

/** @typedef {{id: string, timestamp: string, step: number | null, severity: string, kind: string, text: string}} LogLine
 * @param {LogEvent} event @returns {LogLine[]} */
export function linesOf(event) {
  const { id, timestamp, step, severity, event_type: type, payload } = event;
  const said = payload?.message ?? (type === "run_analyzed" ? payload?.verdict?.text : undefined);
  const message = typeof said === "string" ? said : null;
  const kind = type === "log_line" ? payload.stream ?? "output" : type === "user_log" ? "log" : type;
  if (type === "log_line" && message !== null) {
    return message.split("\n").map((text, i) => ({ id: `${id}.${i}`, timestamp, step, severity, kind, text }));
  }
  const text = message ?? Object.entries(payload ?? {}).map(([key, value]) => `${key}=${plain(value)}`).join("  ");
  return [{ id, timestamp, step, severity, kind, text: text.replaceAll("\n", " ⏎ ") }];
}

/** The notes of a run: those since the last one that took the place of all before it. @param {LogEvent[]} events the oldest first */
export function notesOf(events) {
  const from = events.findLastIndex(({ payload }) => payload?.replaces === true);
  return events.slice(Math.max(0, from)).map(({ payload }) => String(payload?.text ?? "")).filter(Boolean).join("\n\n");
}
