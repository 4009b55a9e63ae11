// Which charts a page shows, in which order, in which sections. Pure functions.

/** A filter as a test: a regular expression without regard to case, or plain text while it is not a valid one.
 * @param {string} text @returns {(key: string) => boolean} */
export function matcher(text) {
  if (!text) return () => true;
  try {
    const pattern = new RegExp(text, "i");
    return (key) => pattern.test(key);
  } catch {
    const lower = text.toLowerCase();
    return (key) => key.toLowerCase().includes(lower);
  }
}

const ORDER = ["train", "val", "validation", "eval", "test"];
const LAST = ["system"];
const OTHER = "metrics";

/** The first part of a key: the section that it is shown in. @param {string} key */
function sectionOf(key) {
  const slash = key.indexOf("/");
  return slash > 0 ? key.slice(0, slash) : OTHER;
}

/** @param {string} name */
function rank(name) {
  if (name === OTHER) return ORDER.length;
  const first = ORDER.indexOf(name);
  if (first >= 0) return first;
  return LAST.includes(name) ? 1000 + LAST.indexOf(name) : 100;
}

/** Sections of charts: training first, the system last; charts that are alone in their namespace share one. @param {string[]} keys @returns {[string, string[]][]} */
export function sections(keys) {
  const held = new Map();
  for (const key of keys) {
    const name = sectionOf(key);
    if (!held.has(name)) held.set(name, []);
    held.get(name).push(key);
  }
  const alone = [...held].filter(([name, list]) => list.length === 1 && !ORDER.includes(name) && !LAST.includes(name));
  if (alone.length > 1) {
    for (const [name] of alone) held.delete(name);
    held.set(OTHER, [...(held.get(OTHER) ?? []), ...alone.flatMap(([, list]) => list)]);
  }
  const names = [...held.keys()].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  return names.map((name) => [name, held.get(name).sort((a, b) => weight(a) - weight(b) || (a < b ? -1 : 1))]);
}

/** Losses come before everything else of their section. @param {string} key */
function weight(key) {
  return /(^|[/_])loss$/.test(key) ? 0 : /loss/.test(key) ? 1 : 2;
}

/** The metric that stands for the whole run. @param {string[]} keys */
export function mainKey(keys) {
  const wanted = ["train/loss", "loss", "train_loss", "training/loss", "train/loss_step"];
  return wanted.find((key) => keys.includes(key)) ?? keys.find((key) => /loss/i.test(key)) ?? keys[0] ?? null;
}
