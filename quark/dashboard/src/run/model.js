// A run as its page knows it, and how it stays up to date.
import { computed, signal } from "@preact/signals";
import { json, ofRun, records } from "../lib/api.js";
import { mainKey } from "../lib/keys.js";
import { isMuted } from "../lib/muted.js";
import { learn } from "../lib/names.js";
import { follow } from "../lib/live.js";
import { ChartSource } from "../lib/source.js";
import { distinct, verdict } from "../lib/verdict.js";

const ANALYZED = "run_analyzed";

export class RunModel {
  /** @param {string} id */
  constructor(id) {
    this.id = id;
    this.source = new ChartSource();
    this.generation = signal(0);
    this.run = signal(/** @type {Run | null} */ (null));
    this.overview = signal(/** @type {Overview | null} */ (null));
    this.alerts = signal(/** @type {Alert[]} */ ([]));
    this.phases = signal(/** @type {Phase[]} */ ([]));
    this.analysis = signal(/** @type {any} */ (null));
    this.health = signal(/** @type {Health[]} */ ([]));
    this.control = signal(/** @type {{stop_requested_at: string | null, stale: boolean} | null} */ (null));
    this.whole = signal(/** @type {[number, number] | null} */ (null));
    this.failure = signal("");
    this.distinct = computed(() => distinct(this.alerts.value));
    this.verdict = computed(() => this.run.value && verdict(this.run.value, this.distinct.value, this.phases.value, this.phases.value.length + this.health.value.length, this.analysis.value?.verdict));
    this.heard = computed(() => this.distinct.value.filter(({ alert }) => !isMuted(this.run.value?.project_name, alert.rule_id)));
    this.marks = computed(() => this.heard.value.filter(({ alert }) => alert.step_start !== null).map(({ alert, n }) => ({
      x: /** @type {number} */ (alert.step_start), severity: alert.severity, title: alert.title, n,
    })));
    this.keys = computed(() => this.overview.value?.keys ?? []);
    this.main = computed(() => {
      const loss = this.analysis.value?.roles?.loss;
      return this.keys.value.includes(loss) ? loss : mainKey(this.keys.value);
    });
    this.seen = "";
  }

  async load() {
    try {
      const [run, overview] = await Promise.all([json(ofRun(this.id)), json(ofRun(this.id, "/overview"))]);
      this.run.value = run;
      this.id = run.id;
      const state = JSON.stringify([overview.counts, overview.latest, run.status]);
      this.failure.value = "";
      if (state === this.seen) return;
      this.seen = state;
      learn(overview.names?.metric);
      this.overview.value = overview;
      this.source.refresh();
      this.generation.value += 1;
      await this.loadRest(overview.counts);
    } catch (error) {
      this.failure.value = error.message;
      throw error;
    }
  }

  /** @param {Record<string, number>} counts */
  async loadRest(counts) {
    const read = (kind, fields, most) => (counts[kind] ? records(this.id, kind, fields, most) : []);
    const [alerts, phases, health, analyses] = await Promise.all([
      read("alert", {}, 2000), read("phase", { sort: "step" }, 500), read("health", { sort: "-arrival" }, 50),
      read("event", { where: JSON.stringify({ event_type: ANALYZED }), sort: "-arrival" }, 1),
    ]);
    this.analysis.value = analyses[0]?.payload ?? null;
    this.alerts.value = alerts;
    this.phases.value = phases;
    const latest = new Map();
    for (const score of health) if (!latest.has(score.score_key)) latest.set(score.score_key, score);
    this.health.value = [...latest.values()];
    if (this.run.value?.status === "running") this.control.value = await json(ofRun(this.id, "/control"));
  }

  /** Load, then follow while the run goes on. @returns {() => void} */
  open() {
    let end = () => {};
    let closed = false;
    this.load().catch(() => {}).then(() => {
      if (closed) return;
      const refresh = () => (this.run.peek()?.status === "running" || this.failure.peek() ? this.load() : Promise.resolve());
      end = follow(refresh, (hint) => hint.run === this.id || hint.run === undefined);
    });
    return () => {
      closed = true;
      end();
    };
  }

  async stop() {
    this.control.value = await json(ofRun(this.id, "/stop"), { method: "POST", body: { grace_period_s: 60 } });
  }
}
