// Rows of the run table: order, groups, names of columns. Pure functions.
import { label } from "../lib/names.js";
import { number, plain } from "../lib/format.js";

/** The query of a project's table. @param {string} project @param {string} query */
export function queryOf(project, query) {
  return `project:"${project.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}" ${query}`.trim();
}

/** What a row has in a column. @param {Row} row @param {string} column @returns {unknown} */
export function cell(row, column) {
  if (column === "name") return row.name ?? row.id;
  if (column === "started_at") return row.created_at;
  if (column === "took") return row.ended_at ? (Date.parse(row.ended_at) - Date.parse(row.created_at)) / 1000 : null;
  if (column in row.columns) return row.columns[column];
  return /** @type {any} */ (row)[column] ?? null;
}

/** Rows in the order of a column, with - before it descending; rows without a value come last. @param {Row[]} rows @param {string} sort */
export function sorted(rows, sort) {
  const column = sort.replace(/^-/, "");
  const sign = sort.startsWith("-") ? -1 : 1;
  const keyed = rows.map((row, i) => ({ row, i, value: cell(row, column) }));
  const numeric = keyed.every(({ value }) => value === null || value === undefined || typeof value === "number");
  keyed.sort((a, b) => {
    const [left, right] = [a.value ?? null, b.value ?? null];
    if (left === null || right === null) return left === right ? a.i - b.i : left === null ? 1 : -1;
    if (numeric) return sign * (Number(left) - Number(right)) || a.i - b.i;
    const [first, second] = [String(left), String(right)];
    return sign * (first < second ? -1 : first > second ? 1 : 0) || a.i - b.i;
  });
  return keyed.map(({ row }) => row);
}

/** Rows by their values of config keys, in the order in which the groups appear.
 * @param {Row[]} rows @param {string[]} keys dotted paths of the configuration @returns {{name: string, rows: Row[]}[]} */
export function groupRows(rows, keys) {
  const held = new Map();
  for (const row of rows) {
    const name = keys.map((key) => `${key}=${plain(row.columns[`config.${key}`])}`).join(", ");
    if (!held.has(name)) held.set(name, { name, rows: [] });
    held.get(name).rows.push(row);
  }
  return [...held.values()];
}

/** The mean of a column over rows that have a number there. @param {Row[]} rows @param {string} column */
export function meanOf(rows, column) {
  const values = rows.map((row) => cell(row, column)).filter((value) => typeof value === "number" && Number.isFinite(value)).map(Number);
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
}

/** A column's head. @param {string} column */
export function headOf(column) {
  if (column.startsWith("config.")) return column.slice("config.".length);
  const [reduction, ...rest] = column.split(":");
  return rest.length ? `${label(rest.join(":"))} (${reduction})` : column.replace("_at", "");
}

/** The metric of the first column that has one; null if none has. @param {string[]} columns */
export function metricOf(columns) {
  return columns.map((column) => /^(?:last|min|max|best):(.+)$/s.exec(column)?.[1]).find((key) => key !== undefined) ?? null;
}

/** A cell as text. @param {unknown} value */
export function shown(value) {
  return typeof value === "number" ? number(value) : plain(value);
}

/** The columns that a project's table begins with: what differs between its runs, and the losses and scores of its metrics.
 * @param {Record<string, unknown>[]} configs flat ones @param {string[]} keys of metrics */
export function firstColumns(configs, keys) {
  const values = new Map();
  for (const config of configs) for (const [path, value] of Object.entries(config)) values.set(path, (values.get(path) ?? new Set()).add(JSON.stringify(value)));
  const varied = [...values].filter(([, held]) => held.size > 1).map(([path]) => `config.${path}`).slice(0, 3);
  const wanted = [/^(val|valid|validation|eval)[/_].*loss/, /^(val|valid|validation|eval)[/_].*acc/, /^(train[/_])?loss/];
  const metrics = wanted.map((pattern) => keys.find((key) => pattern.test(key))).filter(Boolean).slice(0, 3);
  return [...varied, ...metrics.map((key) => `${/acc/.test(String(key)) ? "max" : "min"}:${key}`)];
}
