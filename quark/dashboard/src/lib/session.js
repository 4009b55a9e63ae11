// Signing in: by the one-time token that `quark ui` puts into the fragment, or with a key of the service.
import { request, signedOut } from "./api.js";
import { report } from "./report.js";
import { view } from "./state.js";
import { decodeView } from "./view-code.js";

const TOKEN = "#token=";

/** Exchange the token of the address for a cookie, and take it out of the address and the history. */
export async function exchangeToken() {
  if (report || !location.hash.startsWith(TOKEN)) return;
  const token = decodeURIComponent(location.hash.slice(TOKEN.length));
  history.replaceState(null, "", location.pathname + location.search);
  view.value = decodeView("");
  // A token that was used already is no fault where the browser holds its cookie: what the page asks for next decides.
  await request("/session", { method: "POST", body: { token } }).then(() => (signedOut.value = false), () => (signedOut.value = false));
}

/** @param {string} key */
export async function signIn(key) {
  await request("/session", { method: "POST", body: { key } });
  signedOut.value = false;
}
