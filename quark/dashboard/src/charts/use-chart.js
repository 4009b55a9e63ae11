// A chart while it is on the page: loads what is in view, draws it, and answers to mouse and keys.
import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { metric, position } from "../lib/format.js";
import { paced } from "../lib/paced.js";
import { announcement, hovered, isDark, show, view } from "../lib/state.js";
import { Plot } from "./plot.js";
import { spanOf } from "./shape.js";
import { hideTip, readout, showTip } from "./tip.jsx";

const MARGIN = 0.1;
const SETTLE_MS = 25;

/** @typedef {{id: string, name: string, color: string, dash: number[], grouped?: boolean, load?: (key: string, range: import("../lib/source.js").Range) => Promise<Chart>}} Drawn
 * @typedef {{name: string, runs: Drawn[], source: import("../lib/source.js").ChartSource,
 *   generation: import("@preact/signals").Signal<number>, whole?: import("@preact/signals").Signal<[number, number] | null>,
 *   marks?: {x: number, severity: string}[], windows?: [number, number][], threshold?: number | null, height?: number,
 *   zoom?: [number, number] | null, sync?: string, eager?: boolean}} PanelProps
 * The state of a chart, and what its elements need. @param {PanelProps} props */
export function useChart(props) {
  const { name, height = 160 } = props;
  const host = useRef(/** @type {HTMLDivElement | null} */ (null));
  const figure = useRef(/** @type {HTMLElement | null} */ (null));
  const value = useRef(/** @type {HTMLSpanElement | null} */ (null));
  const plot = useRef(/** @type {Plot | null} */ (null));
  const inside = useRef(false);
  const visible = useSignal(false);
  const lines = useSignal(/** @type {Line[] | null} */ (null));
  const failure = useSignal("");
  const own = useSignal(/** @type {[number, number] | null} */ (null));
  const wide = useSignal(false);
  const table = useSignal(false);
  const pixels = useSignal(0);
  const latest = useRef(0);
  const given = useSignal(props);
  given.value = props;
  const zoom = useComputed(() => own.value ?? (given.value.zoom === undefined ? view.value.z : given.value.zoom));
  const shownAxis = useComputed(() => view.value.x);
  const pinned = useComputed(() => view.value.p.includes(name));

  useEffect(() => {
    const element = /** @type {HTMLElement} */ (figure.current);
    const seen = new IntersectionObserver(([entry]) => (visible.value = entry.isIntersecting), { rootMargin: "160px" });
    const sized = new ResizeObserver(() => {
      const width = host.current?.clientWidth ?? 0;
      if (width) pixels.value = width;
    });
    seen.observe(element);
    sized.observe(element);
    return () => {
      seen.disconnect();
      sized.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, []);

  useSignalEffect(() => {
    const { runs, source, generation } = given.value;
    generation.value;
    if (!visible.value || !pixels.value) return;
    const z = zoom.value;
    const buckets = Math.min(2000, Math.max(100, Math.ceil(pixels.value / 90) * 50));
    const range = around(z, buckets, shownAxis.value);
    const turn = ++latest.current;
    const load = () => {
      if (turn !== latest.current) return;
      Promise.all(runs.map((run) => (run.load ? run.load(name, range) : source.get(run.id, name, range)))).then(
        (charts) => {
          if (turn !== latest.current) return;
          failure.value = "";
          lines.value = charts.map((chart, i) => ({ ...runs[i], chart })).filter(({ chart }) => chart.x.length || chart.nonfinite.length);
        },
        (error) => turn === latest.current && (failure.value = error.message),
      );
    };
    if (lines.peek()) setTimeout(load, SETTLE_MS); // a range that is being dragged asks when it rests
    else load();
  });

  useSignalEffect(() => {
    isDark.value;
    const { y: log, o: fit, s: smoothing } = view.value;
    const { runs, marks = [], windows = [], threshold = null, whole } = given.value;
    const drawn = lines.value;
    if (!visible.value || !drawn?.length || !host.current || !pixels.value) {
      plot.current?.destroy();
      plot.current = null;
      return;
    }
    const colored = drawn.map((line) => ({ ...line, ...pick(runs.find((run) => run.id === line.id)) }));
    const held = spanOf(colored.map((line) => line.chart)) ?? [0, 1];
    const all = whole?.value;
    const span = zoom.value ?? (all && shownAxis.value === "step" ? [Math.min(all[0], held[0]), Math.max(all[1], held[1])] : held);
    const onStep = shownAxis.value === "step";
    const picture = {
      lines: colored, span: /** @type {[number, number]} */ (span), axis: shownAxis.value, log, fit, smoothing,
      marks: onStep ? marks : [], windows: onStep ? windows : [], threshold, focus: hovered.value, show: (v) => metric(name, v),
    };
    const tall = wide.value ? Math.round(innerHeight * 0.5) : height;
    if (plot.current) {
      plot.current.set(picture);
      plot.current.resize(pixels.peek(), tall);
      caption();
      return;
    }
    return paced(() => {
      if (plot.current || !host.current) return;
      plot.current = new Plot(host.current, { height, sync: props.sync ?? "all", onZoom, onCursor }, picture);
      plot.current.resize(pixels.peek(), tall);
      caption();
    });
  });

  function onZoom(span, alone) {
    if (alone) own.value = span;
    else if (span === null && own.peek()) own.value = null;
    else if (given.peek().zoom === undefined) show({ z: span });
    else own.value = span;
  }

  /** The value at the cursor, or the last one, in the title. @param {number | null} [x] */
  function caption(x = plot.current?.cursor() ?? null) {
    const held = plot.current;
    if (!held || !value.current) return;
    const rows = held.at(x ?? held.picture.span[1]);
    value.current.textContent = rows.length === 1 ? readout(name, rows[0]) : "";
  }

  function onCursor(x) {
    const held = plot.current;
    caption(x);
    if (!held || !inside.current) return;
    if (x === null) hideTip();
    else showTip(held, name, x);
  }

  function onKey(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const onPlot = event.target === host.current;
    if (event.target.closest(".menu, .data input")) return;
    if (by && plot.current && onPlot) {
      event.preventDefault();
      const x = plot.current.move(event.shiftKey ? by * 10 : by);
      if (x !== null) announcement.value = `${name}, ${shownAxis.peek()} ${position(shownAxis.peek(), x)}: ` +
        plot.current.at(x).map((row) => `${rowsName(row)}${readout(name, row)}`).join(", ");
    } else if (event.key === "t") table.value = !table.value;
    else if (event.key === "Enter" && onPlot) wide.value = !wide.value;
    else if (event.key === ".") pin();
    else if (event.key === "Escape" && (wide.value || table.value)) wide.value = table.value = false;
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
  const rowsName = (row) => ((plot.current?.picture.lines.length ?? 0) > 1 ? `${row.line.name} ` : "");
  const pin = () => show({ p: pinned.peek() ? view.peek().p.filter((key) => key !== name) : [...view.peek().p, name] });
  const onEnter = () => (inside.current = true);
  const onLeave = () => {
    inside.current = false;
    hideTip();
  };
  return { host, figure, value, lines, failure, own, wide, table, pinned, pin, onKey, onEnter, onLeave };
}

/** What to ask for: a little more than is shown, so that lines go on to the edges. @param {[number, number] | null} z
 * @param {number} buckets @param {string} axis */
function around(z, buckets, axis) {
  const margin = z ? (z[1] - z[0]) * MARGIN : 0;
  return { buckets: z ? Math.ceil(buckets * (1 + 2 * MARGIN)) : buckets, axis, min: z ? z[0] - margin : null, max: z ? z[1] + margin : null };
}

/** @param {Drawn | undefined} run */
const pick = (run) => (run ? { name: run.name, color: run.color, dash: run.dash } : {});
