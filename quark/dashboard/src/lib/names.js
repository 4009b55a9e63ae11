// The names that metrics were given, where their keys are other ones.
import { signal } from "@preact/signals";
import { visible } from "./format.js";

/** Given names by key. @type {import("@preact/signals").Signal<Record<string, string>>} */
export const given = signal({});

/** @param {Record<string, string> | undefined} names */
export function learn(names) {
  if (names && Object.entries(names).some(([key, name]) => given.peek()[key] !== name)) given.value = { ...given.peek(), ...names };
}

/** What to call a metric. @param {string} key */
export function label(key) {
  return visible(given.value[key] ?? key);
}
