// Numbers, times and names as people read them. Pure functions.

/** A number in about four significant digits. @param {number | null | undefined} value */
export function number(value) {
  if (value === null || value === undefined) return "–";
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "Inf" : "-Inf";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e7) return value.toLocaleString("en-US");
  if (size >= 1e6 || size < 1e-3) return value.toExponential(2).replace("e+", "e").replace(/\.?0+e/, "e");
  if (size >= 1000) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(4)));
}

const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** Bytes with a unit. @param {number} value */
export function bytes(value) {
  const power = value < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log(value) / Math.log(1000)));
  return `${number(Number((value / 1000 ** power).toPrecision(3)))} ${UNITS[power]}`;
}

/** A value of a metric, with the unit that its name tells. @param {string} key @param {number | null | undefined} value */
export function metric(key, value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return number(value);
  if (/bytes$/.test(key)) return bytes(value);
  return number(value);
}

/** A duration in the two largest units. @param {number} seconds */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return `${minutes} min ${whole % 60} s`;
}

/** How long ago. @param {string} when RFC 3339 @param {number} [now] milliseconds */
export function ago(when, now = Date.now()) {
  const seconds = (now - Date.parse(when)) / 1000;
  if (seconds < 5) return "just now";
  return `${duration(seconds).split(" ").slice(0, 2).join(" ")} ago`;
}

/** How long a run has gone on. @param {{started_at: string, ended_at: string | null}} run @param {number} [now] */
export function took(run, now = Date.now()) {
  return duration(((run.ended_at ? Date.parse(run.ended_at) : now) - Date.parse(run.started_at)) / 1000);
}

/** A position on the x axis, in full. @param {string} axis @param {number} value */
export function position(axis, value) {
  if (axis === "wall") {
    const date = new Date(value * 1000);
    return `${date.toLocaleDateString("sv")} ${date.toLocaleTimeString("sv")}`;
  }
  if (axis === "relative") return value < 60 ? `${number(value)} s` : duration(value);
  if (axis !== "step" && axis !== "epoch") return number(value);
  return Number.isInteger(value) ? value.toLocaleString("en-US") : number(value);
}

/** A mark of the x axis, as short as the distance between marks allows. @param {string} axis @param {number} value @param {number} apart */
export function tickAt(axis, value, apart) {
  if (axis === "wall") {
    const date = new Date(value * 1000);
    if (apart >= 86400) return date.toLocaleDateString("sv").slice(5);
    return date.toLocaleTimeString("sv", apart >= 60 ? { hour: "2-digit", minute: "2-digit" } : {});
  }
  if (axis === "relative") {
    if (apart < 60) return `${number(value)} s`;
    const [hours, minutes] = [Math.floor(value / 3600), Math.round((value % 3600) / 60)];
    return hours ? `${hours}:${String(minutes).padStart(2, "0")} h` : `${minutes} min`;
  }
  if ((axis === "step" || axis === "epoch") && Math.abs(value) >= 10000) return compact(value);
  return position(axis, value);
}

/** @param {number} value */
function compact(value) {
  const [divisor, unit] = Math.abs(value) >= 1e9 ? [1e9, "G"] : Math.abs(value) >= 1e6 ? [1e6, "M"] : [1e3, "k"];
  return `${Number((value / divisor).toPrecision(4))}${unit}`;
}

// Controls, and marks of direction: the latter would show text in another order than it has.
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** Text with everything that one could not see. Tabs and ends of lines stay. @param {string} text */
export function visible(text) {
  return text.replace(HIDDEN, (mark) => (mark === "\t" || mark === "\n" ? mark : `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`));
}

/** What to call a run. @param {{id: string, name?: string | null}} run */
export function runName(run) {
  return run.name ? visible(run.name) : run.id.slice(0, 13);
}

/** A JSON value in one line. @param {unknown} value */
export function plain(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") return visible(value);
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : number(value);
  return visible(JSON.stringify(value));
}

const CLIP = 300;

/** The first part of a long text; all of it where that is little longer. @param {string} text */
export function clipped(text) {
  if (text.length <= 1.5 * CLIP) return text;
  return text.slice(0, /[\ud800-\udbff]/.test(text[CLIP - 1]) ? CLIP - 1 : CLIP);
}

/** A nested object as dotted paths. @param {unknown} value @param {string} [path] @returns {[string, unknown][]} */
export function flatten(value, path = "") {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return [[path, value]];
  return Object.entries(value).flatMap(([key, inner]) => flatten(inner, path ? `${path}.${key}` : key));
}
