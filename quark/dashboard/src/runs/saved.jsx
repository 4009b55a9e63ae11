// A saved view by its name: leads to the project, as the view shows it.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { json } from "../lib/api.js";
import { search, show, START, turnTo } from "../lib/state.js";
import { Message } from "../parts/message.jsx";

/** @param {{name: string}} props */
export function SavedView({ name }) {
  const failure = useSignal("");
  const project = new URLSearchParams(search.value).get("project") ?? "";
  useEffect(() => {
    json(`/views/${encodeURIComponent(name)}?project=${encodeURIComponent(project)}`).then(({ content }) => {
      turnTo(`/p/${encodeURIComponent(project)}`);
      show({ ...START, ...content }, { replace: true });
    }, (error) => (failure.value = error.message));
  }, [name, project]);
  return failure.value ? <Message title="This view cannot be shown" text={failure.value}><p><a href="/">All projects</a></p></Message> : <p class="note loading" role="status">Loading…</p>;
}
