// The view as the fragment of an address, and back. Pure functions.

/** @type {View} */
export const START = {
  f: "", x: "step", z: null, p: [], s: 0, y: false, o: false, n: 0,
  q: "", cols: [], sort: "-started_at", sel: [], g: [], m: "charts", k: false, stat: "gradient_norm", l: "", c: "",
};
const VERSION = 1;
const PREFIX = "#v=";

/** The fragment of a view; empty for the view that a page begins with. @param {View} view */
export function encodeView(view) {
  const changed = Object.entries(view).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(START[key]));
  if (!changed.length) return "";
  const bytes = new TextEncoder().encode(JSON.stringify({ v: VERSION, ...Object.fromEntries(changed) }));
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return PREFIX + btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** The view of a fragment. What it does not hold, or holds in a wrong type, is as at the start. @param {string} hash */
export function decodeView(hash) {
  const view = { ...START };
  if (!hash.startsWith(PREFIX)) return view;
  let held;
  try {
    const text = atob(hash.slice(PREFIX.length).replaceAll("-", "+").replaceAll("_", "/"));
    held = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(text, (c) => c.charCodeAt(0))));
  } catch {
    return view;
  }
  if (held === null || typeof held !== "object" || held.v !== VERSION) return view;
  for (const key of Object.keys(START)) if (fits(key, held[key])) view[key] = held[key];
  return view;
}

/** @param {string} key @param {unknown} value */
function fits(key, value) {
  if (value === undefined) return false;
  if (key === "z") return value === null || (Array.isArray(value) && value.length === 2 && value.every(Number.isFinite));
  if (Array.isArray(START[key])) return Array.isArray(value) && value.every((one) => typeof one === "string");
  return typeof value === typeof START[key];
}
