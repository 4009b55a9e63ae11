// The bar at the top: where one is, the palette, the theme.
import { report } from "../lib/report.js";
import { overlay, path, search, theme } from "../lib/state.js";
import { crumb } from "../lib/crumb.js";
import { Text } from "./text.jsx";

const THEMES = { system: "dark", dark: "light", light: "system" };
const ICONS = { system: "◐", dark: "●", light: "○" };

export function TopBar() {
  const [kind, first = ""] = path.value.split("/").slice(1);
  search.value;
  const project = kind === "p" ? decodeURIComponent(first) : kind === "r" ? crumb.value : "";
  return (
    <header class="top">
      <a class="brand" href="/"><Mark /> Quark</a>
      <nav class="crumbs" aria-label="Breadcrumb">
        {project && <><span aria-hidden="true">/</span>{report ? <Text>{project}</Text> : <a href={`/p/${encodeURIComponent(project)}`}><Text>{project}</Text></a>}</>}
        {kind === "c" && <><span aria-hidden="true">/</span><span>Compare</span></>}
      </nav>
      <span class="space" />
      {report ? <span class="dim">Report</span> : null}
      <button class="search" hidden={Boolean(report)} onClick={() => (overlay.value = "palette")}>Search <kbd>Ctrl K</kbd></button>
      <button class="icon" aria-label={`Theme: ${theme.value}`} title={`Theme: ${theme.value}`} onClick={() => (theme.value = THEMES[theme.value] ?? "system")}>{ICONS[theme.value] ?? "◐"}</button>
      <button class="icon" aria-label="Help" title="Help (?)" onClick={() => (overlay.value = "help")}>?</button>
    </header>
  );
}

function Mark() {
  return (
    <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <circle cx="8" cy="8" r="6.5" fill="none" stroke="currentColor" stroke-width="1.6" />
      <path d="M3.5 10.5 6.5 6l2.5 3 4-5" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" />
    </svg>
  );
}
