// Views that were saved in a project under a name.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { json } from "../lib/api.js";
import { START, show, view } from "../lib/state.js";
import { Text } from "../parts/text.jsx";

/** @param {{project: string}} props */
export function Views({ project }) {
  const open = useSignal(false);
  const held = useSignal(/** @type {{name: string, content: any}[]} */ ([]));
  const name = useSignal("");
  const failure = useSignal("");
  const root = useRef(/** @type {HTMLSpanElement | null} */ (null));
  const where = (/** @type {string} */ one) => `/views/${encodeURIComponent(one)}?project=${encodeURIComponent(project)}`;
  useEffect(() => {
    const close = (event) => !root.current?.contains(event.target) && (open.value = false);
    addEventListener("pointerdown", close);
    return () => removeEventListener("pointerdown", close);
  }, []);
  const load = () => json(`/views?project=${encodeURIComponent(project)}`).then((got) => (held.value = got.views), (error) => (failure.value = error.message));
  const act = (/** @type {Promise<any>} */ done) => done.then(() => ((failure.value = ""), load()), (error) => (failure.value = error.message));
  function save(event) {
    event.preventDefault();
    act(json(where(name.value), { method: "PUT", body: { content: view.peek() } })).then(() => (name.value = ""));
  }
  return (
    <span class="picker" ref={root} onKeyDown={(event) => event.key === "Escape" && (open.value = false)}>
      <button aria-expanded={open.value} aria-haspopup="dialog" onClick={() => { open.value = !open.value; if (open.value) load(); }}>Views ▾</button>
      {open.value && (
        <div class="menu" role="dialog" aria-label="Saved views">
          <ul>
            {held.value.map((one) => (
              <li key={one.name} class="view-line">
                <button class="link" onClick={() => { open.value = false; show({ ...START, ...one.content }); }}><Text>{one.name}</Text></button>
                <a href={`/v/${encodeURIComponent(one.name)}?project=${encodeURIComponent(project)}`} title="The address of this view">link</a>
                <button class="icon" aria-label={`Remove the view ${one.name}`} onClick={() => act(json(where(one.name), { method: "DELETE" }))}>×</button>
              </li>
            ))}
            {!held.value.length && <li class="dim">No view was saved here.</li>}
          </ul>
          <form onSubmit={save}><input required maxLength={200} placeholder="Name of this view" aria-label="Name of this view" value={name.value} onInput={(event) => (name.value = event.currentTarget.value)} /><button>Save</button></form>
          {failure.value && <p class="error" role="alert">{failure.value}</p>}
        </div>
      )}
    </span>
  );
}
