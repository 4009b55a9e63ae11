// The range of x that is shown. Pure functions.

/** The range after a key; undefined if the key does nothing. @param {string} key @param {boolean} far
 * @param {[number, number]} z @param {[number, number]} whole @returns {[number, number] | null | undefined} */
export function stepRange(key, far, z, whole) {
  const size = z[1] - z[0];
  if (key === "Escape") return null;
  if (key === "ArrowLeft" || key === "ArrowRight") {
    const wanted = (key === "ArrowLeft" ? -1 : 1) * size * (far ? 1 : 0.1);
    const by = Math.min(whole[1] - z[1], Math.max(whole[0] - z[0], wanted));
    return [z[0] + by, z[1] + by];
  }
  if (key !== "+" && key !== "=" && key !== "-") return undefined;
  const half = (size * (key === "-" ? 2 : 0.5)) / 2;
  const middle = (z[0] + z[1]) / 2;
  const next = [Math.max(whole[0], middle - half), Math.min(whole[1], middle + half)];
  return next[0] <= whole[0] && next[1] >= whole[1] ? null : [next[0], next[1]];
}
