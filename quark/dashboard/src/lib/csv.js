// Charts as CSV (RFC 4180). Pure functions.

/** A field, quoted where it must be; one that a spreadsheet would take for a formula is text. @param {unknown} value */
export function field(value) {
  let text = String(value);
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param {string} axis @param {Line[]} lines */
export function csvOf(axis, lines) {
  const rows = [["run", "name", "key", axis, "mean", "min", "max", "n"]];
  for (const { name, chart } of lines) {
    for (let i = 0; i < chart.x.length; i++) {
      rows.push([chart.run, name, chart.key, chart.x[i], chart.mean[i], chart.min[i], chart.max[i], chart.n[i]].map(field));
    }
  }
  return rows.map((row) => row.join(",")).join("\r\n") + "\r\n";
}
