// Colours of runs and of severities, from the style sheet.
import { isDark } from "./state.js";

const PALETTE = 8;
const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3]];

/** A custom property of the style sheet in the theme that is on. @param {string} name */
export function css(name) {
  isDark.value; // read, so that what draws with it follows the theme
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Colour and dash of the run in a place: eight colours, then the same ones dashed. @param {number} index */
export function lineStyle(index) {
  return { color: css(`--c${index % PALETTE}`), dash: DASHES[Math.floor(index / PALETTE) % DASHES.length] };
}
