// The buttons of a chart: pin, enlarge, table, copies.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { csvOf } from "../lib/csv.js";
import { announcement, view } from "../lib/state.js";

/** @param {{name: string, pinned: boolean, pin: () => void, wide: import("@preact/signals").Signal<boolean>,
 *   table: import("@preact/signals").Signal<boolean>, lines: Line[], host: {current: HTMLElement | null}}} props */
export function ChartMenu({ name, pinned, pin, wide, table, lines, host }) {
  const open = useSignal(false);
  const root = useRef(/** @type {HTMLSpanElement | null} */ (null));
  useEffect(() => {
    const close = (event) => !root.current?.contains(event.target) && (open.value = false);
    addEventListener("pointerdown", close);
    return () => removeEventListener("pointerdown", close);
  }, []);
  const file = name.replace(/[^\w.-]+/g, "_").slice(0, 80);
  const act = (action) => () => {
    open.value = false;
    action();
  };
  return (
    <span class="tools" ref={root} onKeyDown={(event) => event.key === "Escape" && (open.value = false)}>
      <button class="icon" aria-pressed={pinned} aria-label={`Pin ${name}`} title="Pin to the top (.)" onClick={pin}>{pinned ? "★" : "☆"}</button>
      <button class="icon" aria-pressed={wide.value} aria-label={`Enlarge ${name}`} title="Enlarge (Enter)" onClick={() => (wide.value = !wide.value)}>⤢</button>
      <button class="icon" aria-expanded={open.value} aria-haspopup="menu" aria-label={`More for ${name}`} onClick={() => (open.value = !open.value)}>⋯</button>
      {open.value && (
        <div class="menu" role="menu">
          <button role="menuitem" onClick={act(() => (table.value = !table.value))}>Data as a table <kbd>t</kbd></button>
          <button role="menuitem" onClick={act(() => save(`${file}.csv`, new Blob([csvOf(view.peek().x, lines)], { type: "text/csv" })))}>Save as CSV</button>
          <button role="menuitem" onClick={act(() => save(`${file}.json`, new Blob([JSON.stringify(lines.map(jsonOf))], { type: "application/json" })))}>Save as JSON</button>
          <button role="menuitem" onClick={act(() => picture(host.current, `${file}.png`))}>Save as PNG</button>
          <button role="menuitem" onClick={act(copyLink)}>Copy link to this view</button>
        </div>
      )}
    </span>
  );
}

/** @param {Line} line */
function jsonOf({ name, chart }) {
  const columns = Object.fromEntries(["x", "mean", "min", "max", "n"].map((column) => [column, Array.from(chart[column])]));
  return { run: chart.run, name, key: chart.key, axis: chart.axis, nonfinite: chart.nonfinite, ...columns };
}

/** @param {string} name @param {Blob} blob */
function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** @param {HTMLElement | null} host @param {string} name */
function picture(host, name) {
  const drawn = host?.querySelector("canvas");
  if (!drawn) return;
  const copy = document.createElement("canvas");
  copy.width = drawn.width;
  copy.height = drawn.height;
  const ctx = /** @type {CanvasRenderingContext2D} */ (copy.getContext("2d"));
  ctx.fillStyle = getComputedStyle(document.body).backgroundColor;
  ctx.fillRect(0, 0, copy.width, copy.height);
  ctx.drawImage(drawn, 0, 0);
  copy.toBlob((blob) => blob && save(name, blob));
}

export async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    announcement.value = "Link copied.";
  } catch {
    announcement.value = "The browser allows no copying here; the address bar has the link.";
  }
}
