// Notes and tags of a run, which can be changed here.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { json, ofRun, records } from "../lib/api.js";
import { notesOf } from "../lib/log-lines.js";
import { report } from "../lib/report.js";
import { Text } from "../parts/text.jsx";

/** @param {{model: import("./model.js").RunModel}} props */
export function Notes({ model }) {
  const notes = useSignal("");
  const draft = useSignal(/** @type {string | null} */ (null));
  const tag = useSignal("");
  const failure = useSignal("");
  const run = /** @type {Run} */ (model.run.value);
  const load = () => records(model.id, "event", { where: JSON.stringify({ event_type: "note" }) }, 1000).then((events) => (notes.value = notesOf(events)));
  useEffect(() => {
    load().catch((error) => (failure.value = error.message));
  }, [model, model.generation.value]);
  const edit = async (/** @type {object} */ change) => {
    try {
      model.run.value = await json(ofRun(model.id), { method: "PATCH", body: change });
      failure.value = "";
      await load();
      return true;
    } catch (error) {
      failure.value = error.message;
      return false;
    }
  };
  const save = async () => (await edit({ notes: draft.value })) && (draft.value = null);
  const add = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (await edit({ tags: { add: [tag.value] } })) tag.value = "";
  };
  return (
    <section>
      <h2>Notes and tags</h2>
      {draft.value === null ? (
        <>
          {notes.value ? <pre class="text" tabIndex={0}><Text>{notes.value}</Text></pre> : <p class="note">No notes.</p>}
          {!report && <button onClick={() => (draft.value = notes.value)}>Edit notes</button>}
        </>
      ) : (
        <div class="edit">
          <textarea aria-label="Notes" rows={6} value={draft.value} onInput={(event) => (draft.value = event.currentTarget.value)} />
          <span class="ask"><button class="primary" disabled={!draft.value} onClick={save}>Save</button><button onClick={() => (draft.value = null)}>Cancel</button></span>
        </div>
      )}
      <p class="edit-tags">
        {run.tags.map((one) => <span class="tag" key={one}><Text>{one}</Text>{!report && <button class="icon" aria-label={`Remove the tag ${one}`} onClick={() => edit({ tags: { remove: [one] } })}>×</button>}</span>)}
      </p>
      {!report && <form class="ask" onSubmit={add}><input required maxLength={200} aria-label="New tag" placeholder="New tag" value={tag.value} onInput={(event) => (tag.value = event.currentTarget.value)} /><button>Add</button></form>}
      {failure.value && <p class="error" role="alert">{failure.value}</p>}
    </section>
  );
}
