// A report: the page in one file, with what it would ask the service for beside it.
import { chartOfJson } from "./columns.js";
import { lowerBound } from "./search.js";

/** What a report holds in ``<script type="application/json" id="quark-report">``:
 * ``path``: the page to show, such as ``/r/ID`` or ``/c?runs=A,B``;
 * ``answers``: by path of the API without its query, such as ``/runs/ID/overview`` or ``/runs/ID/records/alert``, the JSON answer;
 * ``charts``: the charts of whole runs by step, as the route of charts answers them.
 * @typedef {{path: string, answers: Record<string, any>, charts: any[]}} Report
 * @type {Report | null} */
export const report = read();

function read() {
  const text = globalThis.document?.getElementById("quark-report")?.textContent;
  return text ? JSON.parse(text) : null;
}

/** The answer to a request, as the service would give it. @param {Report} held @param {string} path @param {any} body */
export function answerOf(held, path, body) {
  const route = path.split("?")[0];
  if (route === "/charts") {
    const kept = new Map(held.charts.map((chart) => [`${chart.run}\n${chart.key}`, chart]));
    const none = (/** @type {string} */ run, /** @type {string} */ key) => chartOfJson({ run, key });
    return body.runs.flatMap((/** @type {string} */ run) => body.keys.map((/** @type {string} */ key) => {
      const chart = kept.get(`${run}\n${key}`);
      return chart && (body.axis === "step" || chart.axis === body.axis) ? cut(chartOfJson(chart), body.min, body.max) : none(run, key);
    }));
  }
  if (route in held.answers) return filtered(held.answers[route], new URLSearchParams(path.split("?")[1] ?? ""));
  if (/\/records\/\w+$/.test(route)) return { records: [], next: null };
  return null;
}

/** Records as ``where``, ``sort`` and ``limit`` ask for them. @param {any} answer @param {URLSearchParams} query */
function filtered(answer, query) {
  if (!answer.records) return answer;
  const where = Object.entries(JSON.parse(query.get("where") ?? "{}"));
  const sort = query.get("sort") ?? "arrival";
  const field = { arrival: "time_ns" }[sort.replace("-", "")] ?? sort.replace("-", "");
  const found = answer.records.filter((/** @type {any} */ record) => where.every(([name, value]) => record[name] === value));
  found.sort((/** @type {any} */ a, /** @type {any} */ b) => (a[field] < b[field] ? -1 : a[field] > b[field] ? 1 : 0));
  if (sort.startsWith("-")) found.reverse();
  return { records: found.slice(0, Number(query.get("limit") ?? found.length)), next: null };
}

/** The part of a chart between two x. @param {Chart} chart @param {number | null} min @param {number | null} max @returns {Chart} */
export function cut(chart, min, max) {
  if (min === null && max === null) return chart;
  const [from, to] = [min === null ? 0 : Math.max(0, lowerBound(chart.x, min) - 1), max === null ? chart.x.length : lowerBound(chart.x, max) + 1];
  const columns = ["x", "mean", "min", "max", "n"].map((name) => [name, chart[name].subarray(from, to)]);
  return { ...chart, ...Object.fromEntries(columns), nonfinite: chart.nonfinite.filter(({ x }) => (min === null || x >= min) && (max === null || x <= max)) };
}
