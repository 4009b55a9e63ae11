// What the bar at the top and the palette know of the page that is open.
import { signal } from "@preact/signals";

/** The project of the run that is open. */
export const crumb = signal("");
/** The metrics of the page that is open. @type {import("@preact/signals").Signal<string[]>} */
export const openKeys = signal([]);
/** The layers and alerts of the run that is open, as places to go to.
 * @type {import("@preact/signals").Signal<{title: string, kind: string, url: string}[]>} */
export const openPlaces = signal([]);
