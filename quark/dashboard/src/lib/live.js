// Follows runs while they go on: hints of the server, else a question every five seconds; nothing while the page is hidden.

import { report } from "./report.js";

const POLL_MS = 5000;
const QUIET_MS = 2000;

/** Call ``refresh`` when there may be something new. @param {() => Promise<unknown>} refresh @param {(hint: any) => boolean} concerns
 * @returns {() => void} ends it */
export function follow(refresh, concerns) {
  if (report) return () => {};
  let stopped = false;
  let due = false;
  let busy = false;
  let hints = false;
  let last = Date.now();

  async function run() {
    if (busy || stopped) return;
    busy = true;
    due = false;
    last = Date.now();
    await refresh().catch(() => {}); // the next round tries again, and the page says what failed
    busy = false;
  }
  const timer = setInterval(() => {
    if (document.hidden) return;
    const since = Date.now() - last;
    if ((due && since >= QUIET_MS) || (!hints && since >= POLL_MS)) run();
  }, 500);
  const onShow = () => !document.hidden && ((due = true), (last = 0));
  document.addEventListener("visibilitychange", onShow);
  const end = listen((hint) => {
    if (concerns(hint)) due = true;
  }, (connected) => (hints = connected));
  return () => {
    stopped = true;
    clearInterval(timer);
    document.removeEventListener("visibilitychange", onShow);
    end();
  };
}

/** Hints of the server. One tab of the browser holds the stream and passes them on to the others: a browser has six
 * connections to a host. @param {(hint: any) => void} hear @param {(connected: boolean) => void} connect */
function listen(hear, connect) {
  const channel = new BroadcastChannel("quark.hints");
  channel.onmessage = ({ data }) => {
    connect(true);
    hear(data);
  };
  /** @type {EventSource | null} */
  let source = null;
  let release = () => {};
  let ended = false;
  const hold = () => new Promise((resolve) => {
    release = () => resolve(null);
    if (ended) return release();
    source = new EventSource("/api/v1/events/stream");
    source.onopen = () => connect(true);
    source.onerror = () => {
      connect(false);
      if (source?.readyState === EventSource.CLOSED) release(); // no such route, or signed out: asking has to do
    };
    const pass = (/** @type {MessageEvent} */ event) => {
      try {
        const hint = JSON.parse(event.data);
        hear(hint);
        channel.postMessage(hint);
      } catch {
        // not a hint
      }
    };
    source.onmessage = pass;
    source.addEventListener("hint", pass);
  });
  if (navigator.locks) {
    const abort = new AbortController();
    navigator.locks.request("quark.hints", { signal: abort.signal }, hold).catch(() => {}); // left before its turn
    return () => {
      ended = true;
      abort.abort();
      source?.close();
      release();
      channel.close();
    };
  }
  hold();
  return () => {
    ended = true;
    source?.close();
    channel.close();
  };
}
