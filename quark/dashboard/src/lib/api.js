// Requests to the service that serves this page.
import { signal } from "@preact/signals";
import { COLUMNS, chartOfJson, chartsOfColumns } from "./columns.js";
import { answerOf, report } from "./report.js";

const MOST_A_PAGE = 1000;

/** Whether the service has refused this browser: the page asks for a key. */
export const signedOut = signal(false);

export class ApiError extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** @param {string} path below /api/v1 @param {{method?: string, body?: unknown, accept?: string, signal?: AbortSignal}} [options] */
export async function request(path, { method = "GET", body, accept = "application/json", signal: abort } = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: accept };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const init = { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal: abort };
  let answer;
  try {
    answer = await fetch(`/api/v1${path}`, init);
  } catch (error) {
    if (abort?.aborted) throw error;
    throw new ApiError(0, "The server does not answer. Is it still running?");
  }
  if (answer.status === 401) signedOut.value = true;
  if (!answer.ok) throw new ApiError(answer.status, await reason(answer));
  return answer;
}

/** @param {Response} answer */
async function reason(answer) {
  try {
    return (await answer.json()).error.message;
  } catch {
    return `The server answered ${answer.status}.`;
  }
}

/** @param {string} path @param {Parameters<typeof request>[1]} [options] @returns {Promise<any>} */
export async function json(path, options) {
  if (report) return answerOf(report, path, options?.body) ?? Promise.reject(new ApiError(404, "The report does not hold this."));
  const answer = await request(path, options);
  return answer.status === 204 ? null : answer.json();
}

/** The path of a run's route. @param {string} id @param {string} [rest] */
export function ofRun(id, rest = "") {
  return `/runs/${encodeURIComponent(id)}${rest}`;
}

/** All records of a kind, or the first so many.
 * @param {string} id @param {string} kind @param {Record<string, string | number | (string | number)[]>} [fields] @param {number} [most]
 * @returns {Promise<any[]>} */
export async function records(id, kind, fields = {}, most = 20000) {
  const held = [];
  let after = null;
  do {
    const query = new URLSearchParams({ limit: String(Math.min(MOST_A_PAGE, most - held.length)) });
    for (const [name, value] of Object.entries(fields)) for (const one of [value].flat()) query.append(name, String(one));
    if (after) query.set("after", after);
    const page = await json(ofRun(id, `/records/${kind}?${query}`));
    held.push(...page.records);
    after = page.next;
  } while (after && held.length < most);
  return held;
}

/** What a list of runs and their alerts needs of each run. */
export const RUN_HEAD = ["id", "name", "project_name", "status", "updated_at"].map((field) => `select=${field}`).join("&");
const MOST_ALERTS = 2000;

/** The alerts of a run in the order of their recording; none of one that was deleted since it was listed. @param {string} id */
export async function alertsOf(id) {
  try {
    return await records(id, "alert", {}, MOST_ALERTS);
  } catch (error) {
    if (error.status === 404) return [];
    throw error;
  }
}

/** @typedef {{runs: string[], keys: string[], buckets: number, axis: string, min: number | null, max: number | null}} ChartsBody
 * @param {ChartsBody} body @returns {Promise<Chart[]>} */
export async function charts(body) {
  return drawn("/charts", body);
}

/** Charts of groups of runs; ``runs`` are the names of groups. @param {Map<string, string[]>} groups */
export function groupCharts(groups) {
  return (/** @type {ChartsBody} */ { runs, ...rest }) => drawn("/charts/groups", { groups: runs.map((name) => ({ name, runs: groups.get(name) })), ...rest });
}

/** @param {string} path @param {unknown} body */
async function drawn(path, body) {
  if (report) return answerOf(report, path, body) ?? [];
  const answer = await request(path, { method: "POST", body, accept: `${COLUMNS}, application/json;q=0.5` });
  if (answer.headers.get("content-type")?.startsWith(COLUMNS)) return chartsOfColumns(await answer.arrayBuffer());
  return (await answer.json()).charts.map(chartOfJson);
}
