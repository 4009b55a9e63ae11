// Charts in sections by namespace, pinned ones first; the tools above them; the list of namespaces beside them.
import { useEffect, useRef } from "preact/hooks";
import { matcher, sections } from "../lib/keys.js";
import { label } from "../lib/names.js";
import { show, view } from "../lib/state.js";
import { Panel } from "./panel.jsx";
import { Text } from "../parts/text.jsx";

const EAGER = 6; // charts that are drawn without waiting for whether they are in view

/** @param {{keys: string[], runs: import("./panel.jsx").Drawn[], source: any, generation: any, whole?: any, marks?: any[], windows?: any[], compact?: boolean, grouped?: boolean}} props */
export function ChartGrid({ keys, compact = false, grouped = false, ...rest }) {
  const { f, p, n } = view.value;
  const passes = matcher(f);
  const shown = keys.filter((key) => passes(key) || passes(label(key)));
  const pins = p.filter((key) => shown.includes(key));
  const groups = sections(shown.filter((key) => !pins.includes(key)));
  if (pins.length) groups.unshift(["Pinned", pins]);
  return (
    <div class={`charts columns-${n || "auto"}`}>
      <ChartTools keys={keys} />
      <Legend alerts={!compact} grouped={grouped} />
      {groups.map(([name, held], section) => (
        <section key={name} id={`section-${name}`} aria-label={name}>
          <h2><Text>{name}</Text> <span class="count">{held.length}</span></h2>
          <div class="grid">{held.map((key, i) => <Panel key={key} name={key} eager={section === 0 && i < EAGER} {...rest} />)}</div>
        </section>
      ))}
      {!shown.length && <p class="note">{keys.length ? <>No chart's name matches <code>{f}</code>. <button class="link" onClick={() => show({ f: "" })}>Clear the filter</button></> : "No metric yet."}</p>}
    </div>
  );
}

/** @param {{alerts: boolean, grouped: boolean}} props */
function Legend({ alerts, grouped }) {
  return (
    <p class="legend">
      <span><i class="swatch line" /> {grouped ? "mean of the runs" : "mean of each bucket"}</span>
      <span><i class="swatch band" /> band: min to max of {grouped ? "all runs" : "each bucket"}</span>
      <span><i class="mark">▽</i> NaN</span>
      <span><i class="mark">▲▼</i> ±Inf</span>
      {grouped && <span>○ shorter runs end here</span>}
      {alerts && <span><i class="swatch tick" /> alert</span>}
      {alerts && <span>┊ restart</span>}
    </p>
  );
}

const AXES = [["step", "Step"], ["epoch", "Epoch"], ["relative", "Relative time"], ["wall", "Wall time"]];

/** @param {{keys: string[]}} props */
function ChartTools({ keys }) {
  const { x, y, o, s, n, z } = view.value;
  return (
    <div class="bar" role="toolbar" aria-label="Charts">
      <FilterBox />
      <label>x <select value={x} onChange={(event) => show({ x: event.currentTarget.value, z: null })}>{AXES.map(([value, name]) => <option value={value} key={value}>{name}</option>)}<optgroup label="Another metric">{keys.map((key) => <option value={key} key={key}>{label(key)}</option>)}</optgroup></select></label>
      <label>Smoothing <select value={String(s)} onChange={(event) => show({ s: Number(event.currentTarget.value) })}>{[0, 5, 10, 50, 100, 500, 1000, 5000].map((value) => <option value={String(value)} key={value}>{value ? `${value} ${x === "epoch" ? "epochs" : x === "step" ? "steps" : x === "relative" || x === "wall" ? "s" : ""}` : "none"}</option>)}</select></label>
      <button aria-pressed={y} onClick={() => show({ y: !y })} title="Logarithmic y (y)">log y</button>
      <button aria-pressed={o} onClick={() => show({ o: !o })} title="y fits the middle 96 % of the means; the rest is cut off">fit without outliers</button>
      <label>Columns <select value={String(n)} onChange={(event) => show({ n: Number(event.currentTarget.value) })}>{[0, 1, 2, 3, 4, 5, 6].map((value) => <option value={String(value)} key={value}>{value || "auto"}</option>)}</select></label>
      {z && <button class="primary" onClick={() => show({ z: null })} title="Double click on a chart does the same">Reset zoom</button>}
    </div>
  );
}

function FilterBox() {
  const box = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => {
    const focus = () => box.current?.focus();
    addEventListener("quark:filter", focus);
    return () => removeEventListener("quark:filter", focus);
  }, []);
  return (
    <input ref={box} class="filter" type="search" placeholder="Filter charts (regex)   /" aria-label="Filter charts" value={view.value.f} spellcheck={false}
      onInput={(event) => show({ f: event.currentTarget.value }, { replace: true })}
      onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()} />
  );
}

/** @param {{keys: string[]}} props */
export function Namespaces({ keys }) {
  const passes = matcher(view.value.f);
  const shown = keys.filter((key) => passes(key) || passes(label(key)));
  const counts = sections(shown);
  return (
    <nav class="rail" aria-label="Sections">
      {counts.map(([name, held]) => (
        <a key={name} href={`#section-${name}`} onClick={(event) => { event.preventDefault(); event.stopPropagation(); document.getElementById(`section-${name}`)?.scrollIntoView({ block: "start" }); }}>
          <Text>{name}</Text> <span class="count">{held.length}</span>
        </a>
      ))}
      {!counts.length && <span class="dim">–</span>}
    </nav>
  );
}
