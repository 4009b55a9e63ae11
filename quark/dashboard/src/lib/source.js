// Charts by run and key: what many panels ask for in one moment travels in one request, and is kept.
import { charts } from "./api.js";

const MOST_PAIRS = 128;
const MOST_KEPT = 600;

/** @typedef {{buckets: number, axis: string, min: number | null, max: number | null}} Range */

export class ChartSource {
  constructor(fetchCharts = charts, mostPairs = MOST_PAIRS) {
    this.fetch = fetchCharts;
    this.mostPairs = mostPairs;
    /** @type {Map<string, Promise<Chart>>} */
    this.kept = new Map();
    /** @type {Map<string, {range: Range, wanted: Map<string, {run: string, key: string, resolve: Function, reject: Function}>}>} */
    this.queue = new Map();
    this.generation = 0;
  }

  /** Forget what was fetched: the runs have gone on. */
  refresh() {
    this.generation += 1;
    this.kept.clear();
  }

  /** @param {string} run @param {string} key @param {Range} range @returns {Promise<Chart>} */
  get(run, key, range) {
    const group = JSON.stringify([range.buckets, range.axis, range.min, range.max]);
    const name = `${run}\n${key}\n${group}`;
    const held = this.kept.get(name);
    if (held) return held;
    const promise = new Promise((resolve, reject) => {
      if (!this.queue.size) setTimeout(() => this.flush(), 0);
      if (!this.queue.has(group)) this.queue.set(group, { range, wanted: new Map() });
      this.queue.get(group)?.wanted.set(`${run}\n${key}`, { run, key, resolve, reject });
    });
    this.kept.set(name, promise);
    promise.catch(() => this.kept.delete(name));
    if (this.kept.size > MOST_KEPT) this.kept.delete(this.kept.keys().next().value ?? "");
    return promise;
  }

  flush() {
    const groups = [...this.queue.values()];
    this.queue.clear();
    for (const { range, wanted } of groups) {
      for (const [runs, pairs] of byRuns([...wanted.values()])) {
        const size = Math.max(1, Math.floor(this.mostPairs / runs.length));
        const keys = [...new Set(pairs.map((pair) => pair.key))];
        for (let at = 0; at < keys.length; at += size) this.send(range, runs, keys.slice(at, at + size), pairs);
      }
    }
  }

  /** @param {Range} range @param {string[]} runs @param {string[]} keys @param {{run: string, key: string, resolve: Function, reject: Function}[]} pairs */
  async send(range, runs, keys, pairs) {
    const mine = pairs.filter((pair) => keys.includes(pair.key));
    try {
      const held = new Map((await this.fetch({ runs, keys, ...range })).map((chart) => [`${chart.run}\n${chart.key}`, chart]));
      for (const { run, key, resolve, reject } of mine) {
        const chart = held.get(`${run}\n${key}`);
        if (chart) resolve(chart);
        else reject(new Error(`the server sent no chart of ${key}`));
      }
    } catch (error) {
      for (const { reject } of mine) reject(error);
    }
  }
}

/** Pairs in groups whose keys are wanted of the same runs. @template {{run: string, key: string}} P
 * @param {P[]} pairs @returns {[string[], P[]][]} */
export function byRuns(pairs) {
  const runsOf = new Map();
  for (const { run, key } of pairs) runsOf.set(key, [...(runsOf.get(key) ?? []), run]);
  const groups = new Map();
  for (const pair of pairs) {
    const runs = runsOf.get(pair.key);
    const name = runs.join("\n");
    if (!groups.has(name)) groups.set(name, [runs, []]);
    groups.get(name)[1].push(pair);
  }
  return [...groups.values()];
}
