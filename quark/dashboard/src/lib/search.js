// Positions in sorted columns. Pure functions.

/** The index of the first value that is not below. @param {Float64Array} x @param {number} value */
export function lowerBound(x, value) {
  let low = 0;
  let high = x.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The index of the nearest value; -1 of none. @param {Float64Array} x @param {number} value */
export function nearest(x, value) {
  if (!x.length) return -1;
  const at = lowerBound(x, value);
  if (at === 0) return 0;
  if (at === x.length) return x.length - 1;
  return value - x[at - 1] <= x[at] - value ? at - 1 : at;
}
