// What the whole page shares: the address, the view in its fragment, the theme, the cursor's announcement.
import { computed, effect, signal } from "@preact/signals";
import { report } from "./report.js";
import { START, decodeView, encodeView } from "./view-code.js";

const start = new URL(report ? `http://report${report.path}` : location.href);
export const path = signal(start.pathname);
export const search = signal(start.search);
/** @type {import("@preact/signals").Signal<View>} */
export const view = signal(decodeView(location.hash));

/** Change the view; the address follows. Text that is being typed replaces the entry of the history.
 * @param {Partial<View>} change @param {{replace?: boolean}} [options] */
export function show(change, { replace = false } = {}) {
  const next = { ...view.peek(), ...change };
  const hash = encodeView(next);
  if (hash !== location.hash) {
    const url = location.pathname + location.search + hash;
    history[replace ? "replaceState" : "pushState"](null, "", report ? hash || "#" : url);
  }
  view.value = next;
}

/** @param {string} url */
export function go(url) {
  if (report) {
    const next = new URL(url, "http://report");
    [path.value, search.value] = [next.pathname, next.search]; // a file has one address: its pages have none of their own
  } else {
    history.pushState(null, "", url);
    follow();
  }
  scrollTo(0, 0);
}

/** Go on at another address in the place of this one. @param {string} url */
export function turnTo(url) {
  history.replaceState(null, "", url);
  follow();
}

function follow() {
  if (!report) [path.value, search.value] = [location.pathname, location.search];
  view.value = decodeView(location.hash);
}

addEventListener("popstate", follow);
addEventListener("hashchange", follow);
addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (report && link && !link.hasAttribute("download") && !link.target) {
    event.preventDefault();
    const href = link.getAttribute("href") ?? "";
    if (/^\/[rc]\b/.test(href)) go(href);
    return;
  }
  if (!link || link.origin !== location.origin || link.target || link.hasAttribute("download")) return;
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.pathname.startsWith("/api/") || link.pathname.startsWith("/schema")) return;
  event.preventDefault();
  go(link.pathname + link.search + link.hash);
});

const THEME = "quark.theme";

/** @param {string} name @param {string} fallback */
function stored(name, fallback) {
  try {
    return localStorage.getItem(name) ?? fallback;
  } catch {
    return fallback; // storage is turned off
  }
}

const systemDark = matchMedia("(prefers-color-scheme: dark)");
export const theme = signal(stored(THEME, "system"));
const systemIsDark = signal(systemDark.matches);
systemDark.addEventListener("change", () => (systemIsDark.value = systemDark.matches));
export const isDark = computed(() => (theme.value === "system" ? systemIsDark.value : theme.value === "dark"));

effect(() => {
  document.documentElement.dataset.theme = isDark.value ? "dark" : "light";
  try {
    localStorage.setItem(THEME, theme.value);
  } catch {
    // storage is turned off; the theme lasts as long as the page
  }
});

/** What a screen reader says next. */
export const announcement = signal("");
/** The run or group under the pointer; the others fade. */
export const hovered = signal("");
/** What lies over the page: "", "palette", "help". */
export const overlay = signal("");

export { START };
