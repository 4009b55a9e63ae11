// What lies over the page: the command palette and the help; and the keys that work everywhere.
import { useEffect, useRef } from "preact/hooks";
import { report } from "../lib/report.js";
import { overlay, show, view } from "../lib/state.js";
import { Palette } from "./palette.jsx";

const KEYS = [
  ["Ctrl K", "Search runs, metrics, alerts, actions"], ["/", "Filter the charts"], ["drag", "Zoom all charts; with Shift only this one"],
  ["double click", "Show the whole run again"], ["← →", "Move the cursor of a chart; with Shift ten times as far"], ["t", "Data of a chart as a table"],
  ["Enter", "Enlarge a chart"], [".", "Pin a chart"], ["x", "Next x axis"], ["y", "Logarithmic y"], ["n p", "Next and previous alert"], ["z", "Show the whole run"], ["?", "This help"],
];
const AXES = ["step", "epoch", "relative", "wall"];

export function useShortcuts() {
  useEffect(() => {
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (event.key.toLowerCase() === "k" && !report && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    overlay.value = overlay.value === "palette" ? "" : "palette";
    return;
  }
  if (event.key === "Escape" && overlay.value) {
    event.preventDefault(); // the dialog would close itself as well
    overlay.value = "";
    return;
  }
  const target = event.target instanceof Element ? event.target : document.body;
  if (event.ctrlKey || event.metaKey || event.altKey || overlay.value || target.closest("input, textarea, select")) return;
  const actions = {
    "/": () => dispatchEvent(new Event("quark:filter")),
    "?": () => (overlay.value = "help"),
    x: () => show({ x: AXES[(AXES.indexOf(view.peek().x) + 1) % AXES.length], z: null }),
    y: () => show({ y: !view.peek().y }),
    z: () => show({ z: null }),
  };
  if (!actions[event.key]) return;
  event.preventDefault();
  actions[event.key]();
}

export function Overlay() {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const ours = useRef(false);
  const kind = overlay.value;
  useEffect(() => {
    if (kind && !dialog.current?.open) dialog.current?.showModal();
    if (!kind && dialog.current?.open) {
      ours.current = true;
      dialog.current.close();
    }
  }, [kind]);
  function onClose() {
    if (!ours.current) overlay.value = ""; // the browser closed it, such as by a phone's back gesture
    ours.current = false; // what we closed may be open again when the event of it comes
  }
  return (
    <dialog ref={dialog} class={kind} aria-label={kind === "help" ? "Help" : "Search"} onClose={onClose}
      onClick={(event) => event.target === event.currentTarget && (overlay.value = "")}>
      {kind === "palette" ? <Palette close={() => (overlay.value = "")} /> : kind === "help" ? <Help /> : null}
    </dialog>
  );
}

function Help() {
  return (
    <div class="help">
      <h2>Keys and mouse</h2>
      <table><tbody>{KEYS.map(([key, text]) => <tr key={key}><th scope="row"><kbd>{key}</kbd></th><td>{text}</td></tr>)}</tbody></table>
      <h2>What a chart shows</h2>
      <p>The line is the mean of each bucket of steps, the band reaches from its minimum to its maximum: no spike is lost at any zoom. A line is interrupted where points are more than four times as far apart as usual. Triangles at the edge are values that are not finite: hollow NaN, filled Inf.</p>
      <p>The address holds the view: copy it to share what you see.</p>
      <p><button onClick={() => (overlay.value = "")}>Close</button></p>
    </div>
  );
}
