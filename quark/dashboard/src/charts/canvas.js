// The size of a canvas in pixels of the screen.

/** The context of a canvas that is as sharp as the screen: places are pixels of the page. What it held is gone.
 * @param {HTMLCanvasElement} canvas @param {number} width @param {number} height */
export function sized(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  ctx.scale(ratio, ratio);
  return ctx;
}
