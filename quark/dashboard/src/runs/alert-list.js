// The newest alerts over many runs. Pure, but for what reads the alerts of a run.
import { distinct } from "../lib/verdict.js";

/** @typedef {{id: string, name: string | null, project_name: string, status: string, updated_at: string}} RunHead
 * @typedef {{run: RunHead, alert: Alert, n: number}} Listed an alert, and its number in its run */

/** Reads the alerts of runs. Those of a run that has ended are read again only when the run has changed. */
export class AlertList {
  /** @param {(id: string) => Promise<Alert[]>} read the alerts of a run, in the order of their recording */
  constructor(read) {
    this.read = read;
    /** @type {Map<string, {updated_at: string, alerts: {alert: Alert, n: number}[]}>} */
    this.kept = new Map();
  }

  /** The newest alerts of the runs, newest first. @param {RunHead[]} runs @param {number} most
   * @param {(run: RunHead, alert: Alert) => boolean} [hidden] @returns {Promise<Listed[]>} */
  async newest(runs, most, hidden = () => false) {
    const lists = await Promise.all(runs.map((run) => this.ofRun(run)));
    const ids = new Set(runs.map(({ id }) => id));
    for (const id of this.kept.keys()) if (!ids.has(id)) this.kept.delete(id);
    const all = runs.flatMap((run, i) => lists[i].filter(({ alert }) => !hidden(run, alert)).map((one) => ({ run, ...one })));
    const time = ({ alert }) => Date.parse(alert.timestamp);
    return all.sort((a, b) => time(b) - time(a) || b.n - a.n).slice(0, most);
  }

  /** @param {RunHead} run */
  async ofRun({ id, status, updated_at }) {
    const held = this.kept.get(id);
    if (held && status !== "running" && held.updated_at === updated_at) return held.alerts;
    const alerts = distinct(await this.read(id));
    this.kept.set(id, { updated_at, alerts });
    return alerts;
  }
}
