// Finds what a few letters mean. Pure functions.

/** Items whose titles hold all words, those that begin with the first one in front; in their order otherwise.
 * @template {{title: string, kind: string}} T @param {T[]} items @param {string} text @returns {T[]} */
export function ranked(items, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = items.filter((item) => words.every((word) => `${item.kind} ${item.title}`.toLowerCase().includes(word)));
  if (!words.length) return found;
  const score = (item) => (item.title.toLowerCase().startsWith(words[0]) ? 0 : 1);
  return found.map((item, i) => ({ item, i })).sort((a, b) => score(a.item) - score(b.item) || a.i - b.i).map(({ item }) => item);
}
