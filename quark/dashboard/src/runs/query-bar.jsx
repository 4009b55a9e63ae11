// The bar above the table: query, grouping, columns, compare, saved views.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { go, show, view } from "../lib/state.js";
import { MOST_GROUPED } from "./model.js";
import { headOf, metricOf } from "./table-data.js";
import { Views } from "./views.jsx";
import { Text } from "../parts/text.jsx";

/** @param {{model: import("./model.js").ProjectModel}} props */
export function QueryBar({ model }) {
  const rows = model.rows.value;
  const chosen = model.selected.value.filter((id) => id !== "-");
  return (
    <div class="bar query" role="toolbar" aria-label="Runs">
      <input class="query-box" type="search" placeholder='status:failed  lr<1e-3  tag:x  max:val/acc>0.9  "text"' aria-label="Query over runs" value={view.value.q} spellcheck={false}
        onInput={(event) => show({ q: event.currentTarget.value }, { replace: true })} />
      <Picker label="Columns" title="Columns" options={columnOptions(model)} chosen={model.columns.value} choose={(cols) => show({ cols })} name={headOf} />
      <button aria-pressed={view.value.k} disabled={metricOf(model.columns.value) === null} onClick={() => show({ k: !view.value.k })} title="The course of the first metric among the columns">Curves</button>
      <Picker label={`Group${view.value.g.length ? `: ${view.value.g.length}` : ""}`} title="Group by up to three config keys" options={model.settings.value} chosen={view.value.g} choose={(g) => show({ g: g.slice(0, 3) })} name={(key) => key} />
      <button disabled={chosen.length < 2 || chosen.length > 20} onClick={() => go(`/c?runs=${chosen.map(encodeURIComponent).join(",")}`)} title="2 to 20 runs">Compare {chosen.length}</button>
      <Views project={model.project} />
      <span class="dim" role="status">{rows ? `${rows.length.toLocaleString("en-US")}${model.more.value ? "+" : ""} ${rows.length === 1 ? "run" : "runs"}` : "Loading…"}</span>
      {view.value.g.length > 0 && (rows?.length ?? 0) > MOST_GROUPED && <span class="dim">the first {MOST_GROUPED} are grouped</span>}
      {model.failure.value && <span class="error" role="alert">{model.failure.value}</span>}
    </div>
  );
}

/** @param {import("./model.js").ProjectModel} model */
function columnOptions(model) {
  const reduced = model.keys.value.filter((key) => !key.startsWith("system/")).flatMap((key) => ["last", "min", "max"].map((how) => `${how}:${key}`));
  return ["started_at", "took", ...model.settings.value.map((key) => `config.${key}`), ...reduced];
}

/** A button that opens a list of choices, with a search over them.
 * @param {{label: string, title: string, options: string[], chosen: string[], choose: (chosen: string[]) => void, name: (option: string) => string}} props */
function Picker({ label, title, options, chosen, choose, name }) {
  const open = useSignal(false);
  const text = useSignal("");
  const root = useRef(/** @type {HTMLSpanElement | null} */ (null));
  useEffect(() => {
    const close = (event) => !root.current?.contains(event.target) && (open.value = false);
    addEventListener("pointerdown", close);
    return () => removeEventListener("pointerdown", close);
  }, []);
  const found = options.filter((option) => name(option).toLowerCase().includes(text.value.toLowerCase()));
  const list = [...chosen.filter((option) => found.includes(option)), ...found.filter((option) => !chosen.includes(option))];
  return (
    <span class="picker" ref={root} onKeyDown={(event) => event.key === "Escape" && (open.value = false)}>
      <button aria-expanded={open.value} aria-haspopup="dialog" title={title} onClick={() => (open.value = !open.value)}>{label} ▾</button>
      {open.value && (
        <div class="menu" role="dialog" aria-label={title}>
          <input type="search" placeholder="Search" aria-label={`Search ${title.toLowerCase()}`} value={text.value} onInput={(event) => (text.value = event.currentTarget.value)} />
          <ul>
            {list.slice(0, 200).map((option) => (
              <li key={option}><label><input type="checkbox" checked={chosen.includes(option)} onChange={() => choose(chosen.includes(option) ? chosen.filter((one) => one !== option) : [...chosen, option])} /> <Text>{name(option)}</Text></label></li>
            ))}
          </ul>
          {!list.length && <p class="note">Nothing is called so.</p>}
        </div>
      )}
    </span>
  );
}
