// Drawing on a canvas: lines, bands and marks over typed arrays. Pure functions of their arguments; no DOM.

/** How a value becomes a pixel: a * value + b, of the logarithm where ``log``.
 * @typedef {{a: number, b: number, log: boolean}} Scale
 * @param {number} min @param {number} max @param {number} from pixel of min @param {number} to pixel of max
 * @param {boolean} [log] @returns {Scale} */
export function scaleOf(min, max, from, to, log = false) {
  const [low, high] = log ? [Math.log10(min), Math.log10(max)] : [min, max];
  const a = high === low ? 0 : (to - from) / (high - low);
  return { a, b: from - a * low, log };
}

/** @param {Scale} scale @param {number} value */
export function pixel(scale, value) {
  if (!scale.log) return scale.a * value + scale.b;
  return value > 0 ? scale.a * Math.log10(value) + scale.b : scale.a * -300 + scale.b;
}

/** The band from minimum to maximum of each bucket, with an outline: a spike of one step is thinner than a pixel.
 * A bucket of its own, with nothing to connect to, is a bar.
 * @param {any} ctx @param {Chart} chart @param {number[]} starts @param {Scale} sx @param {Scale} sy @param {number} wide */
export function drawBand(ctx, chart, starts, sx, sy, wide) {
  const { x, min, max } = chart;
  ctx.beginPath();
  starts.forEach((start, part) => {
    const end = part + 1 < starts.length ? starts[part + 1] : x.length;
    if (end - start === 1) {
      const [top, bottom] = [pixel(sy, max[start]), pixel(sy, min[start])];
      ctx.rect(pixel(sx, x[start]) - wide / 2, top, wide, Math.max(0, bottom - top));
      return;
    }
    ctx.moveTo(pixel(sx, x[start]), pixel(sy, max[start]));
    for (let i = start + 1; i < end; i++) ctx.lineTo(pixel(sx, x[i]), pixel(sy, max[i]));
    for (let i = end - 1; i >= start; i--) ctx.lineTo(pixel(sx, x[i]), pixel(sy, min[i]));
    ctx.closePath();
  });
  ctx.fill();
  ctx.stroke();
}

/** A line through values, interrupted at gaps; a point of its own is a dot.
 * @param {any} ctx @param {Float64Array} x @param {Column} y @param {number[]} starts @param {Scale} sx @param {Scale} sy
 * @param {number} dot radius */
export function drawLine(ctx, x, y, starts, sx, sy, dot) {
  ctx.beginPath();
  starts.forEach((start, part) => {
    const end = part + 1 < starts.length ? starts[part + 1] : x.length;
    let down = false;
    for (let i = start; i < end; i++) {
      if (!(y[i] === y[i]) || (sy.log && !(y[i] > 0))) {
        down = false;
        continue;
      }
      const [px, py] = [pixel(sx, x[i]), pixel(sy, y[i])];
      if (end - start === 1) {
        ctx.moveTo(px + dot, py);
        ctx.arc(px, py, dot, 0, 2 * Math.PI);
      } else if (down) ctx.lineTo(px, py);
      else ctx.moveTo(px, py);
      down = true;
    }
  });
  ctx.stroke();
}

/** Marks of values that are not finite, at the edge of the chart: Inf at the top, -Inf at the bottom, NaN at the bottom, hollow.
 * @param {any} ctx @param {Chart["nonfinite"]} points @param {Scale} sx
 * @param {{left: number, top: number, width: number, height: number}} box @param {number} size */
export function drawNonfinite(ctx, points, sx, box, size) {
  for (const point of points) {
    const px = pixel(sx, point.x);
    if (px < box.left - size || px > box.left + box.width + size) continue;
    const isUp = point.kind === "inf" || point.kind === "+inf";
    const base = isUp ? box.top + size * 1.5 : box.top + box.height - size * 1.5;
    const tip = isUp ? box.top + 1 : box.top + box.height - 1;
    ctx.beginPath();
    ctx.moveTo(px - size, base);
    ctx.lineTo(px + size, base);
    ctx.lineTo(px, tip);
    ctx.closePath();
    if (point.kind === "nan") ctx.stroke();
    else ctx.fill();
  }
}

/** Vertical lines. @param {any} ctx @param {number[]} at @param {Scale} sx @param {{top: number, height: number}} box */
export function drawMarks(ctx, at, sx, box) {
  ctx.beginPath();
  for (const x of at) {
    const px = Math.round(pixel(sx, x)) + 0.5;
    ctx.moveTo(px, box.top);
    ctx.lineTo(px, box.top + box.height);
  }
  ctx.stroke();
}

/** Hollow dots on the line at some buckets. @param {any} ctx @param {Chart} chart @param {number[]} at @param {Scale} sx @param {Scale} sy
 * @param {number} radius */
export function drawDots(ctx, chart, at, sx, sy, radius) {
  for (const i of at) {
    ctx.beginPath();
    ctx.arc(pixel(sx, chart.x[i]), pixel(sy, chart.mean[i]), radius, 0, 2 * Math.PI);
    ctx.stroke();
  }
}
