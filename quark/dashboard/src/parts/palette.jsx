// The command palette: runs, metrics, alerts and actions by a few letters.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { json } from "../lib/api.js";
import { crumb, openKeys, openPlaces } from "../lib/crumb.js";
import { runName } from "../lib/format.js";
import { label } from "../lib/names.js";
import { ranked } from "../lib/rank.js";
import { go, path, show, theme, view } from "../lib/state.js";
import { copyLink } from "../charts/menu.jsx";
import { Text } from "./text.jsx";

const MOST = 30;

/** @param {{close: () => void}} props */
export function Palette({ close }) {
  const text = useSignal("");
  const at = useSignal(0);
  const runs = useSignal(/** @type {Run[]} */ ([]));
  const projects = useSignal(/** @type {string[]} */ ([]));
  const box = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => {
    box.current?.focus();
    // Both at once: what stands first, and is chosen by Enter, does not change while one of them is on its way.
    Promise.allSettled([json("/projects"), json("/runs?limit=500&select=id&select=name&select=project_name&select=status")]).then(([named, held]) => {
      if (named.status === "fulfilled") projects.value = named.value.projects.map((one) => one.name);
      if (held.status === "fulfilled") runs.value = held.value.runs;
    });
  }, []);
  const items = [
    ...actions(), ...openPlaces.value.map((place) => ({ ...place, act: () => go(place.url) })),
    ...openKeys.value.map((key) => ({ kind: "metric", title: label(key), act: () => show({ f: `^${key.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$` }) })),
    ...projects.value.map((name) => ({ kind: "project", title: name, act: () => go(`/p/${encodeURIComponent(name)}`) })),
    ...runs.value.map((run) => ({ kind: "run", title: `${runName(run)} · ${run.project_name ?? ""} · ${run.status ?? ""}`, act: () => go(`/r/${run.id}`) })),
  ];
  const found = ranked(items, text.value).slice(0, MOST);
  const pick = (item) => {
    close();
    item.act();
  };
  function onKey(event) {
    if (event.key === "ArrowDown") at.value = Math.min(found.length - 1, at.value + 1);
    else if (event.key === "ArrowUp") at.value = Math.max(0, at.value - 1);
    else if (event.key === "Enter" && found[at.value]) pick(found[at.value]);
    else return;
    event.preventDefault();
  }
  return (
    <div class="palette-body">
      <input ref={box} type="text" role="combobox" aria-expanded="true" aria-controls="palette-list" aria-activedescendant={found.length ? `palette-${at.value}` : undefined} aria-label="Search runs, metrics, actions" placeholder="Runs, metrics, alerts, actions" spellcheck={false}
        value={text.value} onInput={(event) => { text.value = event.currentTarget.value; at.value = 0; }} onKeyDown={onKey} />
      <ul id="palette-list" role="listbox" aria-label="Found">
        {found.map((item, i) => (
          <li key={`${item.kind} ${item.title} ${i}`} id={`palette-${i}`} role="option" aria-selected={i === at.value} onClick={() => pick(item)} onMouseMove={() => (at.value = i)}>
            <span class="dim">{item.kind}</span> <Text>{item.title}</Text>
          </li>
        ))}
      </ul>
      {!found.length && <p class="note">Nothing is called so.</p>}
    </div>
  );
}

function actions() {
  const onRun = path.value.startsWith("/r/") ? [{ kind: "go", title: `Project ${crumb.value}`, act: () => go(`/p/${encodeURIComponent(crumb.value)}`) }] : [];
  return [
    ...onRun,
    { kind: "action", title: "Show the whole run", act: () => show({ z: null }) },
    { kind: "action", title: view.value.y ? "Linear y" : "Logarithmic y", act: () => show({ y: !view.value.y }) },
    ...["dark", "light", "system"].map((name) => ({ kind: "action", title: `Theme: ${name}`, act: () => (theme.value = name) })),
    { kind: "action", title: "Copy link to this view", act: copyLink },
    { kind: "go", title: "All projects", act: () => go("/") },
  ];
}
