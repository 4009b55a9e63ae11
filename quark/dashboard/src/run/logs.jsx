// What the program printed and the events of the run, in one list on one axis of time; a line leads to its step in the charts.
import { useComputed, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { records } from "../lib/api.js";
import { matcher } from "../lib/keys.js";
import { linesOf } from "../lib/log-lines.js";
import { go, show } from "../lib/state.js";
import { Windowed } from "../parts/windowed.jsx";
import { Text } from "../parts/text.jsx";

const ROW = 20;
const MOST = 50000;
const LEVELS = ["debug", "info", "warning", "error", "critical"];

/** @param {{model: import("./model.js").RunModel}} props */
export function Logs({ model }) {
  const events = useSignal(/** @type {LogEvent[] | null} */ (null));
  const failure = useSignal("");
  const search = useSignal("");
  const level = useSignal("debug");
  useEffect(() => {
    let stale = false;
    const held = events.peek() ?? [];
    const last = held.at(-1)?.timestamp;
    records(model.id, "event", { sort: "timestamp", ...(last ? { created_after: last } : {}) }, MOST - held.length).then((more) => {
      const known = new Set(held.filter((event) => event.timestamp === last).map((event) => event.id));
      if (!stale) events.value = [...held, ...more.filter((event) => !known.has(event.id))];
    }, (error) => (failure.value = error.message));
    return () => void (stale = true);
  }, [model, model.overview.value?.counts.event]);
  const all = useComputed(() => (events.value ?? []).flatMap(linesOf));
  const shown = useComputed(() => {
    const passes = matcher(search.value);
    const least = LEVELS.indexOf(level.value);
    return all.value.filter((line) => LEVELS.indexOf(line.severity) >= least && (passes(line.text) || passes(line.kind)));
  });
  if (failure.value) return <p class="note error">{failure.value}</p>;
  if (!events.value) return <p class="note">Loading…</p>;
  const jump = (step) => {
    const whole = model.whole.peek();
    const half = whole ? Math.max(5, (whole[1] - whole[0]) / 20) : 50;
    go(`/r/${model.id}`);
    show({ z: [Math.max(0, step - half), step + half] });
  };
  return (
    <div class="logs">
      <div class="bar" role="toolbar" aria-label="Log">
        <input class="filter" type="search" placeholder="Search the log (regex)" aria-label="Search the log" value={search.value} onInput={(event) => (search.value = event.currentTarget.value)} />
        <label>From <select value={level.value} onChange={(event) => (level.value = event.currentTarget.value)}>{LEVELS.map((name) => <option key={name} value={name}>{name}</option>)}</select></label>
        <span class="dim" role="status">{shown.value.length.toLocaleString("en-US")} of {all.value.length.toLocaleString("en-US")} lines{events.value.length >= MOST && `, those of the first ${MOST.toLocaleString("en-US")} events`}</span>
      </div>
      <Windowed rows={shown.value} height={ROW} label="Log" follow={model.run.value?.status === "running"} row={(line) => (
        <div class={`log-line ${line.severity}`}>
          <time class="dim" dateTime={line.timestamp}>{line.timestamp.slice(11, 19)}</time>
          {line.step === null ? <span class="step" /> : <button class="link step" title="Show this step in the charts" onClick={() => jump(line.step)}>{line.step}</button>}
          <span class="kind dim">{line.kind}</span>
          <span class="text" title={line.text}><Text>{line.text}</Text></span>
        </div>
      )} />
    </div>
  );
}
