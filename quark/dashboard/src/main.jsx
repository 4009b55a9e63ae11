// The page: which view an address names, and what all views share.
import { render } from "preact";
import { useEffect } from "preact/hooks";
import "uplot/dist/uPlot.min.css";
import "./style/base.css";
import "./style/charts.css";
import "./style/runs.css";
import { Tip } from "./charts/tip.jsx";
import { exchangeToken } from "./lib/session.js";
import { signedOut } from "./lib/api.js";
import { announcement, path, search } from "./lib/state.js";
import { Message } from "./parts/message.jsx";
import { Overlay, useShortcuts } from "./parts/overlay.jsx";
import { SignIn } from "./parts/sign-in.jsx";
import { TopBar } from "./parts/top-bar.jsx";
import { RunPage } from "./run/page.jsx";
import { ComparePage } from "./runs/compare.jsx";
import { Home } from "./runs/home.jsx";
import { ProjectPage } from "./runs/project.jsx";
import { SavedView } from "./runs/saved.jsx";

function App() {
  useShortcuts();
  useEffect(() => {
    document.documentElement.dataset.ready = "";
  }, []);
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); event.stopPropagation(); document.getElementById("main")?.focus(); }}>Skip to the content</a>
      <TopBar />
      {signedOut.value ? <SignIn /> : page(path.value)}
      <Tip />
      <Overlay />
      <div class="hidden" role="status" aria-live="polite">{announcement.value}</div>
    </>
  );
}

/** @param {string} address */
function page(address) {
  const [kind, first = "", ...rest] = address.split("/").slice(1).map(decode);
  if (!kind) return <Home />;
  if (kind === "r" && first) return <RunPage key={first} id={first} tab={rest[0] ?? ""} rest={rest[1] ?? ""} />;
  if (kind === "p" && first) return <ProjectPage key={first} project={first} />;
  if (kind === "v" && first) return <SavedView name={first} />;
  if (kind === "c") return <ComparePage key={search.value} ids={(new URLSearchParams(search.value).get("runs") ?? "").split(",").filter(Boolean)} />;
  return <Message title="There is no such page" text={`Nothing is at ${address}.`}><p><a href="/">All projects</a></p></Message>;
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

exchangeToken().then(() => render(<App />, /** @type {HTMLElement} */ (document.getElementById("app"))));
