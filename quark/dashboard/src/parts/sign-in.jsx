// Asks for a key when the service has refused this browser.
import { useSignal } from "@preact/signals";
import { signIn } from "../lib/session.js";

export function SignIn() {
  const key = useSignal("");
  const failure = useSignal("");
  const busy = useSignal(false);
  async function submit(event) {
    event.preventDefault();
    busy.value = true;
    failure.value = "";
    try {
      await signIn(key.value.trim());
    } catch (error) {
      failure.value = error.status === 401 ? "This key is not valid: it may have been revoked." : error.message;
    }
    busy.value = false;
  }
  return (
    <main id="main" class="message sign-in">
      <h1>Sign in</h1>
      <form onSubmit={submit}>
        <label>Key of the service <input type="password" autoComplete="current-password" required value={key.value} onInput={(event) => (key.value = event.currentTarget.value)} placeholder="qk_…" /></label>
        <button class="primary" disabled={busy.value}>Sign in</button>
      </form>
      {failure.value && <p class="error" role="alert">{failure.value}</p>}
      <p class="dim">Opened by <code>quark ui</code>? Its link works once: copy a new one from the terminal, or start it again. In a team, <code>quark keys create --scope read</code> on the server makes a key.</p>
    </main>
  );
}
