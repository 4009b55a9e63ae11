// Colours of runs and of severities, from the style sheet.
import { isDark } from "./state.js";

const PALETTE = 8;
const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3]];

/** Properties by theme: to ask the browser makes it lay out the page. @type {Map<string, string>} */
const known = new Map();

/** A custom property of the style sheet in the theme that is on; what draws with it follows the theme. @param {string} name */
export function css(name) {
  const key = `${isDark.value} ${name}`;
  let value = known.get(key);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    if (value) known.set(key, value);
  }
  return value;
}

/** Colour and dash of the run in a place: eight colours, then the same ones dashed. @param {number} index */
export function lineStyle(index) {
  return { color: css(`--c${index % PALETTE}`), dash: DASHES[Math.floor(index / PALETTE) % DASHES.length] };
}
