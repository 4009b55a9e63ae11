// The uncommitted changes of runs, as `git diff` gives them. Pure functions.

/** @typedef {{text: string, kind: "file" | "place" | "added" | "removed" | "note" | "same"}} PatchLine */

/** The lines of a patch with what each is. A line of content may look like a header: what it is follows from its place.
 * @param {string} patch @returns {PatchLine[]} */
export function patchLines(patch) {
  let [before, after] = [0, 0]; // lines that the part still has of the file before and after
  return patch.replace(/\n$/, "").split("\n").map((text) => {
    const part = /^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@/.exec(text);
    if (before <= 0 && after <= 0) {
      if (part) [before, after] = [Number(part[1] ?? 1), Number(part[2] ?? 1)];
      return { text, kind: part ? "place" : text.startsWith("diff --git ") ? "file" : "note" };
    }
    if (text.startsWith("+")) return after--, { text, kind: "added" };
    if (text.startsWith("-")) return before--, { text, kind: "removed" };
    if (text.startsWith("\\")) return { text, kind: "note" };
    before--;
    after--;
    return { text, kind: "same" };
  });
}

/** Runs by the state of their code: commit and changes. ``null`` as changes: none were recorded.
 * @template T @param {{run: T, commit: string | null, patch: string | null}[]} held
 * @returns {{runs: T[], commit: string | null, patch: string | null}[]} in the order in which the states appear */
export function byCode(held) {
  const groups = new Map();
  for (const { run, commit, patch } of held) {
    const key = JSON.stringify([commit, patch]);
    if (!groups.has(key)) groups.set(key, { runs: [], commit, patch });
    groups.get(key).runs.push(run);
  }
  return [...groups.values()];
}
