// The artifacts of a run, by kind; text and JSON are shown, everything can be downloaded.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ofRun, records, request } from "../lib/api.js";
import { bytes } from "../lib/format.js";

const MOST_SHOWN = 200_000;

/** @param {{model: import("./model.js").RunModel}} props */
export function Artifacts({ model }) {
  const held = useSignal(/** @type {any[] | null} */ (null));
  const failure = useSignal("");
  const open = useSignal("");
  useEffect(() => {
    records(model.id, "artifact", {}, 5000).then((all) => (held.value = all), (error) => (failure.value = error.message));
  }, [model, model.generation.value]);
  if (failure.value) return <p class="note error">{failure.value}</p>;
  if (!held.value) return <p class="note">Loading…</p>;
  if (!held.value.length) return <p class="note">No artifact was stored.</p>;
  const kinds = [...grouped(held.value)];
  return (
    <div class="tables">
      {kinds.map(([kind, list]) => (
        <section key={kind}>
          <h2><bdi>{kind}</bdi> <span class="count">{list.length}</span></h2>
          <table class="plain">
            <thead><tr><th scope="col">name</th><th scope="col" class="num">step</th><th scope="col" class="num">size</th><th scope="col">format</th><th scope="col"><span class="hidden">actions</span></th></tr></thead>
            <tbody>
              {list.map((one) => (
                <tr key={one.id}>
                  <td><bdi>{one.artifact_key}</bdi></td><td class="num">{one.step ?? "–"}</td><td class="num">{bytes(one.size_bytes)}</td><td>{one.payload_format}</td>
                  <td class="num">
                    {one.payload_format !== "bytes" && <button aria-expanded={open.value === one.id} onClick={() => (open.value = open.value === one.id ? "" : one.id)}>Show</button>}{" "}
                    <a href={`/api/v1${payload(model.id, one.id)}`} download={one.artifact_name}>Download</a>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
          {list.filter((one) => one.id === open.value).map((one) => <Text key={one.id} run={model.id} artifact={one} />)}
        </section>
      ))}
    </div>
  );
}

/** @param {any[]} all @returns {Map<string, any[]>} */
function grouped(all) {
  const held = new Map();
  for (const one of all) held.set(one.artifact_type, [...(held.get(one.artifact_type) ?? []), one]);
  return held;
}

const payload = (run, id) => ofRun(run, `/artifacts/${encodeURIComponent(id)}/payload`);

/** @param {{run: string, artifact: any}} props */
function Text({ run, artifact }) {
  const text = useSignal("Loading…");
  useEffect(() => {
    if (artifact.size_bytes > MOST_SHOWN) text.value = `${bytes(artifact.size_bytes)} are too much to show here; download it.`;
    else request(payload(run, artifact.id)).then((answer) => answer.text()).then((got) => (text.value = got), (error) => (text.value = error.message));
  }, [artifact.id]);
  return <pre class="text" tabIndex={0}><bdi>{text.value}</bdi></pre>;
}
