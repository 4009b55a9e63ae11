// A long list of which only the rows in view are in the document.
import { useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { useSize } from "../lib/use-size.js";

const MORE = 12;

/** @param {{rows: any[], height: number, label: string, row: (one: any, index: number) => any, follow?: boolean}} props */
export function Windowed({ rows, height, label, row, follow = false }) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const top = useSignal(0);
  const size = useSize(box, "clientHeight", 600);
  const atEnd = useRef(true);
  useLayoutEffect(() => {
    if (follow && atEnd.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [rows.length]);
  const onScroll = () => {
    const element = /** @type {HTMLDivElement} */ (box.current);
    top.value = element.scrollTop;
    atEnd.current = element.scrollTop + element.clientHeight >= element.scrollHeight - height;
  };
  const first = Math.max(0, Math.floor(top.value / height) - MORE);
  const last = Math.min(rows.length, Math.ceil((top.value + size.value) / height) + MORE);
  return (
    <div class="windowed" ref={box} onScroll={onScroll} tabIndex={0} role="region" aria-label={label}>
      <div style={{ height: `${rows.length * height}px`, position: "relative" }}>
        <div style={{ transform: `translateY(${first * height}px)` }}>
          {rows.slice(first, last).map((one, i) => <div key={one.id ?? first + i} style={{ height: `${height}px` }}>{row(one, first + i)}</div>)}
        </div>
      </div>
      {!rows.length && <p class="note">Nothing.</p>}
    </div>
  );
}
