// Rules whose alerts a person does not want to see, by project. They are kept in this browser; the store is not changed.
import { signal } from "@preact/signals";

const PLACE = "quark.muted";

/** The rules of a text that was kept; none where it is no such text. @param {string | null} text @returns {Record<string, string[]>} */
export function parseMuted(text) {
  try {
    const held = JSON.parse(text ?? "{}");
    const lists = Object.entries(held).filter(([, rules]) => Array.isArray(rules) && rules.every((rule) => typeof rule === "string"));
    return Object.fromEntries(lists);
  } catch {
    return {};
  }
}

function stored() {
  try {
    return localStorage.getItem(PLACE);
  } catch {
    return null; // storage is turned off
  }
}

export const muted = signal(parseMuted(stored()));

/** @param {string | undefined} project @param {string} rule */
export function isMuted(project, rule) {
  return Boolean(project !== undefined && Object.hasOwn(muted.value, project) && muted.value[project].includes(rule));
}

/** @param {string} project @param {string} rule @param {boolean} on */
export function mute(project, rule, on) {
  const others = (Object.hasOwn(muted.value, project) ? muted.value[project] : []).filter((one) => one !== rule);
  muted.value = { ...muted.value, [project]: on ? [...others, rule] : others };
  try {
    localStorage.setItem(PLACE, JSON.stringify(muted.value));
  } catch {
    // storage is turned off; it lasts as long as the page
  }
}
