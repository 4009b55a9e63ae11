// A line chart: axes, cursor and selection of uPlot; bands, lines and marks of our own.
import uPlot from "uplot";
import { css } from "../lib/colors.js";
import { tickAt } from "../lib/format.js";
import { nearest } from "../lib/search.js";
import { drawBand, drawDots, drawLine, drawMarks, drawNonfinite, scaleOf } from "./draw.js";
import { endings, extent, smoothed, stretches } from "./shape.js";

/** @typedef {{lines: Line[], span: [number, number], axis: string, log: boolean, fit: boolean, smoothing: number,
 *   marks: {x: number, severity: string}[], windows: [number, number][], threshold: number | null, focus: string,
 *   show: (value: number) => string}} Picture */

export class Plot {
  /** @param {HTMLElement} host @param {{height: number, sync: string, onZoom: (span: [number, number] | null, own: boolean) => void,
   *   onCursor: (x: number | null) => void}} options @param {Picture} picture */
  constructor(host, options, picture) {
    this.host = host;
    this.options = options;
    this.picture = picture;
    this.y = /** @type {[number, number]} */ ([0, 1]);
    this.prepare();
    this.u = new uPlot(this.settings(), [[0, 1], [null, null]], host);
    this.rescale();
  }

  prepare() {
    const { lines, span, log, fit, smoothing } = this.picture;
    this.parts = lines.map((line) => ({
      line, starts: stretches(line.chart.x, line.chart.width, line.chart.axis), smooth: smoothing ? smoothed(line.chart, smoothing) : null,
    }));
    this.y = extent(lines.map((line) => line.chart), span, log, fit);
  }

  /** @returns {uPlot.Options} */
  settings() {
    const { log, axis, show } = this.picture;
    const font = "11px system-ui, sans-serif";
    const look = { stroke: css("--dim"), font, grid: { stroke: css("--grid"), width: 1 }, ticks: { show: false } };
    return {
      width: this.host.clientWidth, height: this.options.height, legend: { show: false }, padding: [6, 14, 0, 0],
      cursor: {
        y: false, points: { show: false }, drag: { x: true, y: false, setScale: false },
        sync: { key: this.options.sync, scales: ["x", null] },
        bind: { dblclick: () => () => (this.options.onZoom(null, false), null) },
      },
      scales: { x: { time: false, auto: false }, y: { auto: false, distr: log ? 3 : 1 } },
      axes: [
        { ...look, size: 22, gap: 4, space: 64, values: (_, at, __, ___, apart) => at.map((x) => tickAt(axis, x, apart)), incrs: increments(axis) },
        { ...look, size: (_, values) => 14 + Math.max(12, ...(values ?? []).map((text) => text.length * 6)), gap: 4, space: 28, values: (_, at) => at.map((y) => (y === null ? "" : show(y))) },
      ],
      series: [{}, { paths: () => null, points: { show: false } }],
      hooks: {
        draw: [() => this.draw()],
        setSelect: [(u) => this.select(u)],
        setCursor: [() => this.options.onCursor(this.cursor())],
      },
    };
  }

  /** Where the cursor is; null if it is elsewhere. @returns {number | null} */
  cursor() {
    const { left } = this.u?.cursor ?? {};
    return left !== undefined && left >= 0 ? this.u.posToVal(left, "x") : null;
  }

  /** @param {uPlot} u */
  select(u) {
    if (u.select.width < 4) return;
    const [from, to] = [u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")];
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.options.onZoom([from, to], Boolean(u.cursor.event?.shiftKey));
  }

  rescale() {
    const [min, max] = this.picture.span;
    this.u.batch(() => {
      this.u.setScale("x", { min, max: max > min ? max : min + 1 });
      this.u.setScale("y", { min: this.y[0], max: this.y[1] });
    });
  }

  /** @param {Picture} picture */
  set(picture) {
    const before = this.picture;
    this.picture = picture;
    this.prepare();
    if (before.log !== picture.log || before.axis !== picture.axis) {
      this.u.destroy();
      this.u = new uPlot(this.settings(), [[0, 1], [null, null]], this.host);
    }
    this.rescale();
    this.u.redraw(false, true);
  }

  /** @param {number} width @param {number} [height] */
  resize(width, height = this.options.height) {
    if (width !== this.u.width || height !== this.u.height) this.u.setSize({ width, height });
  }

  destroy() {
    this.u.destroy();
  }

  /** The bucket of each line at a position. @param {number} x */
  at(x) {
    return this.picture.lines.map((line) => ({ line, index: nearest(line.chart.x, x) }));
  }

  /** Move the cursor by so many buckets of the first line. @param {number} by @returns {number | null} its position */
  move(by) {
    const line = this.picture.lines.find((one) => one.chart.x.length);
    if (!line) return null;
    const [from, to] = this.picture.span;
    const held = this.cursor();
    let index = held === null ? nearest(line.chart.x, by > 0 ? from : to) : nearest(line.chart.x, held) + by;
    index = Math.min(line.chart.x.length - 1, Math.max(0, index));
    const x = Math.min(to, Math.max(from, line.chart.x[index]));
    /** @type {any} */ (this.u).setCursor({ left: this.u.valToPos(x, "x"), top: 10 }, true, true); // fires, and moves the linked ones
    return x;
  }

  draw() {
    const { ctx, bbox } = this.u;
    const { span, log, marks, windows, threshold, focus } = this.picture;
    const ratio = devicePixelRatio || 1;
    const sx = scaleOf(span[0], span[1] > span[0] ? span[1] : span[0] + 1, bbox.left, bbox.left + bbox.width);
    const sy = scaleOf(this.y[0], this.y[1], bbox.top + bbox.height, bbox.top, log);
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.lineJoin = "round";
    ctx.fillStyle = css("--window");
    for (const [from, to] of windows) {
      const left = sx.a * from + sx.b;
      ctx.fillRect(left - ratio, bbox.top, Math.max(2 * ratio, sx.a * to + sx.b - left + 2 * ratio), bbox.height);
    }
    ctx.lineWidth = ratio;
    if (this.picture.lines.length === 1) {
      ctx.strokeStyle = css("--dim");
      ctx.setLineDash([2 * ratio, 3 * ratio]);
      drawMarks(ctx, this.picture.lines[0].chart.restarts, sx, bbox);
      ctx.setLineDash([]);
    }
    for (const { x, severity } of marks) {
      ctx.strokeStyle = css(`--${severity}`);
      ctx.globalAlpha = 0.55;
      drawMarks(ctx, [x], sx, bbox);
    }
    for (const { line, starts, smooth } of this.parts ?? []) {
      const faded = focus && focus !== line.id ? 0.15 : 1;
      ctx.fillStyle = ctx.strokeStyle = line.color;
      ctx.globalAlpha = 0.3 * faded;
      ctx.lineWidth = ratio;
      drawBand(ctx, line.chart, starts, sx, sy, 2 * ratio);
      ctx.globalAlpha = (smooth ? 0.3 : 1) * faded;
      ctx.lineWidth = (smooth ? 1 : 1.5) * ratio;
      ctx.setLineDash(line.dash.map((part) => part * ratio));
      drawLine(ctx, line.chart.x, line.chart.mean, starts, sx, sy, 1.5 * ratio);
      if (smooth) {
        ctx.globalAlpha = faded;
        ctx.lineWidth = 2 * ratio;
        drawLine(ctx, line.chart.x, smooth, starts, sx, sy, 1.5 * ratio);
      }
      ctx.setLineDash([]);
      ctx.globalAlpha = faded;
      ctx.lineWidth = 1.5 * ratio;
      ctx.fillStyle = ctx.strokeStyle = this.picture.lines.length > 1 ? line.color : css("--error");
      if (line.grouped) drawDots(ctx, line.chart, endings(line.chart.n), sx, sy, 3.5 * ratio);
      drawNonfinite(ctx, line.chart.nonfinite, sx, bbox, 4 * ratio);
    }
    if (threshold !== null) {
      ctx.strokeStyle = css("--warning");
      ctx.setLineDash([4 * ratio, 4 * ratio]);
      ctx.beginPath();
      const y = log ? sy.a * Math.log10(threshold) + sy.b : sy.a * threshold + sy.b;
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
    }
    ctx.restore();
  }
}

const TIMES = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

/** How far apart marks of an axis may be. @param {string} axis @returns {number[] | undefined} */
function increments(axis) {
  if (axis === "wall" || axis === "relative") return [...TIMES, ...[2, 5, 10, 20, 50, 100].map((days) => days * 86400)];
  if (axis !== "step" && axis !== "epoch") return undefined;
  return [1, 2, 5].flatMap((digit) => [...Array(13).keys()].map((power) => digit * 10 ** power)).sort((a, b) => a - b);
}
