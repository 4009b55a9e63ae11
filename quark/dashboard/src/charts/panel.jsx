// One chart: title with the value under the cursor, buttons, plot, and its data as a table.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { metric } from "../lib/format.js";
import { label } from "../lib/names.js";
import { show, view } from "../lib/state.js";
import { ChartMenu } from "./menu.jsx";
import { spoken } from "./shape.js";
import { DataTable } from "./table.jsx";
import { useChart } from "./use-chart.js";

/** @typedef {import("./use-chart.js").Drawn} Drawn
 * @typedef {import("./use-chart.js").PanelProps} PanelProps
 * A chart that is in the document as its name until it comes near the view. @param {PanelProps} props */
export function Panel(props) {
  const seen = useSignal(Boolean(props.eager));
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    if (seen.peek() || !place.current) return;
    const near = new IntersectionObserver(([entry]) => entry.isIntersecting && (seen.value = true), { rootMargin: "400px" });
    near.observe(place.current);
    return () => near.disconnect();
  }, []);
  if (seen.value) return <Chart {...props} />;
  return <figure ref={place} class="panel" data-key={props.name}><figcaption><span class="key">{label(props.name).replace(/^system\//, "")}</span></figcaption><div class="plot" /></figure>;
}

/** @param {PanelProps} props */
function Chart(props) {
  const { name } = props;
  const { host, figure, value, lines, failure, own, wide, table, pinned, pin, onKey, onEnter, onLeave } = useChart(props);
  const other = lines.value?.find(({ chart }) => view.value.x === "step" && chart.axis !== "step")?.chart.axis;
  const empty = lines.value && !lines.value.length;
  const spokenLabel = lines.value ? spoken(label(name), lines.value, (v) => metric(name, v)) + (props.marks?.length ? `. ${props.marks.length} alerts` : "") : label(name);
  return (
    <figure ref={figure} onKeyDown={onKey} class={`panel${wide.value ? " wide" : ""}`} data-key={name}>
      <figcaption>
        <span class="key" title={label(name)}>{label(name).replace(/^system\//, "")}</span>
        {view.value.o && <button class="state" onClick={() => show({ o: false })} title="Show all values">without outliers</button>}
        {own.value && <button class="state" onClick={() => (own.value = null)}>own zoom</button>}
        {other && <span class="state" title="The metric has no steps">by {other}</span>}
        <span class="value" ref={value} />
        <ChartMenu name={label(name)} pinned={pinned.value} pin={pin} wide={wide} table={table} lines={lines.value ?? []} host={host} />
      </figcaption>
      <div class="plot" role="img" tabIndex={0} aria-label={spokenLabel} ref={host}
        onMouseEnter={onEnter} onMouseLeave={onLeave} />
      {failure.value ? <p class="note error">{failure.value}</p> : empty ? <p class="note">No values in this range.</p> : null}
      {table.value && <DataTable name={name} lines={lines.value ?? []} close={() => (table.value = false)} />}
    </figure>
  );
}
