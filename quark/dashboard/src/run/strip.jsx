// The strip: the whole run in miniature, with its phases and alerts; dragging on it sets the range of all charts.
import { useSignal, useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import { spanOf } from "../charts/shape.js";
import { position } from "../lib/format.js";
import { stepRange } from "../lib/range.js";
import { isDark, show, view } from "../lib/state.js";
import { HEIGHT, PHASE_COLORS, paint } from "./strip-paint.js";
import { useSize } from "../lib/use-size.js";


/** @param {{model: import("./model.js").RunModel}} props */
export function Strip({ model }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const width = useSize(canvas, "clientWidth", 0);
  const chart = useSignal(/** @type {Chart | null} */ (null));
  const drag = useRef(/** @type {null | {from: number, shift: [number, number] | null}} */ (null));
  const key = model.main.value;

  useSignalEffect(() => {
    model.generation.value;
    const wanted = model.main.value;
    if (!wanted) return;
    model.source.get(model.id, wanted, { buckets: 600, axis: "step", min: null, max: null }).then((held) => {
      chart.value = held;
      const steps = Object.values(model.overview.peek()?.latest ?? {}).map(([step]) => step ?? 0);
      const span = spanOf([held]) ?? [0, 1];
      const last = Math.max(span[1], ...steps);
      if (JSON.stringify(model.whole.peek()) !== JSON.stringify([span[0], last])) model.whole.value = [span[0], last];
    }, () => {}); // the charts below say why
  });
  useSignalEffect(() => {
    isDark.value;
    if (canvas.current && width.value) paint(canvas.current, width.value, chart.value, model);
  });

  const xOf = (event) => {
    const box = /** @type {HTMLElement} */ (canvas.current).getBoundingClientRect();
    const [from, to] = model.whole.peek() ?? [0, 1];
    return from + (Math.min(1, Math.max(0, (event.clientX - box.left) / box.width))) * (to - from);
  };
  function down(event) {
    event.currentTarget.setPointerCapture(event.pointerId);
    const x = xOf(event);
    const z = view.peek().z;
    drag.current = { from: x, shift: z && x > z[0] && x < z[1] ? z : null };
  }
  function move(event) {
    const held = drag.current;
    const whole = model.whole.peek();
    if (!held || !whole) return;
    const x = xOf(event);
    if (held.shift) {
      const by = Math.min(whole[1] - held.shift[1], Math.max(whole[0] - held.shift[0], x - held.from));
      show({ z: [held.shift[0] + by, held.shift[1] + by] }, { replace: true });
    } else if (Math.abs(x - held.from) > (whole[1] - whole[0]) / 200) {
      show({ z: [Math.min(held.from, x), Math.max(held.from, x)] }, { replace: true });
    }
  }
  function onKey(event) {
    const whole = model.whole.peek();
    if (!whole) return;
    const moved = stepRange(event.key, event.shiftKey, view.peek().z ?? whole, whole);
    if (moved === undefined) return;
    event.preventDefault();
    show({ z: moved });
  }
  const z = view.value.z;
  const label = `The whole run${key ? `, ${key}` : ""}. ${z ? `Shown: ${position("step", z[0])} to ${position("step", z[1])}` : "All of it is shown"}. Arrow keys move the range, + and - zoom, Escape shows all.`;
  return (
    <div class="strip">
      <canvas ref={canvas} height={HEIGHT} tabIndex={0} role="img" aria-label={label} onPointerDown={down} onPointerMove={move}
        onPointerUp={() => (drag.current = null)} onDblClick={() => show({ z: null })} onKeyDown={onKey} />
      <Phases model={model} />
    </div>
  );
}

/** @param {{model: import("./model.js").RunModel}} props */
function Phases({ model }) {
  const names = [...new Map(model.phases.value.map((phase) => [phase.phase_name, phase.display_name]))];
  if (!names.length) return null;
  return <p class="phases">{names.map(([name, title]) => <span key={name}><i style={{ background: `var(${PHASE_COLORS[name] ?? "--phase-start"})` }} />{title}</span>)}</p>;
}
