// The artifacts of a run, by kind; text and JSON are shown, everything can be downloaded.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ofRun, records, request } from "../lib/api.js";
import { bytes } from "../lib/format.js";
import { imageType } from "../lib/media.js";
import { Text } from "../parts/text.jsx";

const MOST_SHOWN = 2_000_000;

/** @param {{model: import("./model.js").RunModel}} props */
export function Artifacts({ model }) {
  const held = useSignal(/** @type {any[] | null} */ (null));
  const failure = useSignal("");
  const open = useSignal("");
  useEffect(() => {
    records(model.id, "artifact", {}, 5000).then((all) => (held.value = all), (error) => (failure.value = error.message));
  }, [model, model.overview.value?.counts.artifact]);
  if (failure.value) return <p class="note error">{failure.value}</p>;
  if (!held.value) return <p class="note">Loading…</p>;
  if (!held.value.length) return <p class="note">No artifact was stored.</p>;
  const kinds = [...grouped(held.value)];
  return (
    <div class="tables">
      {kinds.map(([kind, list]) => (
        <section key={kind}>
          <h2><Text>{kind}</Text> <span class="count">{list.length}</span></h2>
          <table class="plain">
            <thead><tr><th scope="col">name</th><th scope="col" class="num">step</th><th scope="col" class="num">size</th><th scope="col">format</th><th scope="col"><span class="hidden">actions</span></th></tr></thead>
            <tbody>
              {list.map((one) => (
                <tr key={one.id}>
                  <td><Text>{one.artifact_key}</Text></td><td class="num">{one.step ?? (one.epoch === null ? "–" : `epoch ${one.epoch}`)}</td><td class="num">{bytes(one.size_bytes)}</td><td>{one.payload_format}</td>
                  <td class="num">
                    {one.size_bytes > 0 && <button aria-expanded={open.value === one.id} onClick={() => (open.value = open.value === one.id ? "" : one.id)}>Show</button>}{" "}
                    <a href={`/api/v1${payload(model.id, one.id)}`} download={one.artifact_name}>Download</a>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
          {list.filter((one) => one.id === open.value).map((one) => <Payload key={one.id} run={model.id} artifact={one} />)}
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
function Payload({ run, artifact }) {
  const shown = useSignal(/** @type {{text?: string, image?: string, bars?: number[]}} */ ({ text: "Loading…" }));
  useEffect(() => {
    let image = "";
    const load = async () => {
      const held = await (await request(payload(run, artifact.id))).arrayBuffer();
      const type = imageType(new Uint8Array(held));
      if (type) shown.value = { image: (image = URL.createObjectURL(new Blob([held], { type }))) };
      else if (artifact.payload_format === "bytes") shown.value = { text: "These are neither text nor an image; download them." };
      else shown.value = read(new TextDecoder().decode(held), artifact.payload_format);
    };
    if (artifact.size_bytes > MOST_SHOWN) shown.value = { text: `${bytes(artifact.size_bytes)} are too much to show here; download it.` };
    else load().catch((error) => (shown.value = { text: error.message }));
    return () => URL.revokeObjectURL(image);
  }, [artifact.id]);
  const { text, image, bars } = shown.value;
  if (image) return <img class="preview" src={image} alt={artifact.artifact_key} />;
  return (
    <>
      {bars && <Bars counts={bars} />}
      <pre class="text" tabIndex={0}><Text>{text ?? ""}</Text></pre>
    </>
  );
}

/** @param {string} text @param {string} format */
function read(text, format) {
  if (format !== "json") return { text };
  try {
    const held = JSON.parse(text);
    const bars = Array.isArray(held.counts) && held.counts.every(Number.isFinite) ? held.counts : undefined;
    return { text: bars ? text : JSON.stringify(held, null, 1), bars };
  } catch {
    return { text };
  }
}

/** @param {{counts: number[]}} props */
function Bars({ counts }) {
  const most = Math.max(1, ...counts);
  return (
    <svg class="bars" viewBox={`0 0 ${counts.length} 40`} preserveAspectRatio="none" role="img" aria-label={`Histogram of ${counts.length} bins, the fullest holds ${most}`}>
      {counts.map((count, i) => <rect key={i} x={i + 0.05} width={0.9} y={40 - (40 * count) / most} height={(40 * count) / most} />)}
    </svg>
  );
}
