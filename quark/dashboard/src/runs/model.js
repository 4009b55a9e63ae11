// The runs of a project as its page knows them.
import { computed, signal } from "@preact/signals";
import { groupCharts, json, ofRun } from "../lib/api.js";
import { flatten } from "../lib/format.js";
import { follow } from "../lib/live.js";
import { learn } from "../lib/names.js";
import { ChartSource } from "../lib/source.js";
import { show, view } from "../lib/state.js";
import { firstColumns, groupRows, queryOf, sorted } from "./table-data.js";

const PAGE = 1000;
const QUICK_PAGE = 200;
const MOST = 20000;
const LOOKED_AT = 20;
const DRAWN = 8;
export const MOST_GROUPED = 800;
const MOST_PAIRS = 800;

export class ProjectModel {
  /** @param {string} project */
  constructor(project) {
    this.project = project;
    this.source = new ChartSource();
    this.generation = signal(0);
    this.rows = signal(/** @type {Row[] | null} */ (null));
    this.more = signal(false);
    this.failure = signal("");
    this.settings = signal(/** @type {string[]} */ ([]));
    this.keys = signal(/** @type {string[]} */ ([]));
    this.first = signal(/** @type {string[]} */ ([]));
    this.columns = computed(() => (view.value.cols.length ? view.value.cols : this.first.value));
    this.wanted = computed(() => [...new Set([...this.columns.value, ...view.value.g.map((key) => `config.${key}`), ...view.value.c.split("|").filter(Boolean)])]);
    this.ordered = computed(() => sorted(this.rows.value ?? [], view.value.sort));
    this.selected = computed(() => (view.value.sel.length ? view.value.sel : this.ordered.value.slice(0, DRAWN).map((row) => row.id)));
    this.groups = computed(() => (view.value.g.length ? groupRows(this.ordered.value.slice(0, MOST_GROUPED), view.value.g) : []));
    this.members = computed(() => JSON.stringify(this.groups.value.map(({ name, rows }) => [name, rows.map((row) => row.id)])));
    this.groupSource = computed(() => {
      this.generation.value;
      const members = new Map(JSON.parse(this.members.value));
      const runs = [...members.values()].reduce((sum, ids) => sum + ids.length, 0);
      return new ChartSource(groupCharts(members), Math.max(1, Math.floor(MOST_PAIRS / Math.max(1, runs))) * members.size);
    });
    this.turn = 0;
    /** Places of runs in the palette: a run keeps its colour. @type {Map<string, number>} */
    this.places = new Map();
  }

  /** @param {string} id */
  place(id) {
    if (!this.places.has(id)) {
      const used = new Set(this.selected.peek().filter((one) => one !== id).map((one) => this.places.get(one)));
      let place = 0;
      while (used.has(place)) place++;
      this.places.set(id, place);
    }
    return /** @type {number} */ (this.places.get(id));
  }

  /** What the first runs hold: names for columns and charts. */
  async survey() {
    const query = new URLSearchParams({ limit: String(LOOKED_AT) });
    query.append("project", this.project);
    for (const field of ["id", "config"]) query.append("select", field);
    const { runs } = await json(`/runs?${query}`);
    const configs = runs.map((/** @type {any} */ run) => Object.fromEntries(flatten(run.config ?? {}).filter(([path]) => path)));
    const overviews = await Promise.all(runs.slice(0, 3).map((/** @type {any} */ run) => json(ofRun(run.id, "/overview"))));
    overviews.forEach((overview) => learn(overview.names?.metric));
    this.settings.value = [...new Set(configs.flatMap(Object.keys))].sort();
    this.keys.value = [...new Set(overviews.flatMap((overview) => overview.keys))];
    this.first.value = firstColumns(configs, this.keys.value);
  }

  /** The rows for the query and the columns of the view. @param {boolean} [quick] only the first page, put into what is held */
  async load(quick = false) {
    const turn = ++this.turn;
    const body = { query: queryOf(this.project, view.value.q), columns: this.wanted.value, sort: view.peek().sort === "took" || view.peek().sort === "-took" ? "-started_at" : view.peek().sort, limit: quick ? QUICK_PAGE : PAGE };
    let cursor = null;
    /** @type {Row[]} */
    let held = [];
    do {
      const page = await json("/runs/query", { method: "POST", body: { ...body, cursor } });
      if (turn !== this.turn) return;
      held = held.concat(page.runs);
      cursor = page.next;
      if (quick && this.rows.peek() && cursor) {
        const fresh = new Set(held.map((row) => row.id));
        held = held.concat((this.rows.peek() ?? []).filter((row) => !fresh.has(row.id)));
        cursor = null;
      }
      this.rows.value = held;
      this.more.value = cursor !== null;
    } while (cursor && held.length < MOST);
    this.failure.value = "";
  }

  /** @param {boolean} [quick] */
  async reload(quick = false) {
    try {
      await this.load(quick);
    } catch (error) {
      this.failure.value = error.message;
    }
  }

  /** Follow the project while its page is open. @returns {() => void} */
  open() {
    this.survey().catch((error) => (this.failure.value = error.message));
    return follow(async () => {
      const before = JSON.stringify(this.rows.peek()?.map((row) => row.updated_at));
      const running = this.rows.peek()?.some((row) => row.status === "running");
      await this.reload(true);
      if (running || before !== JSON.stringify(this.rows.peek()?.map((row) => row.updated_at))) {
        this.source.refresh();
        this.generation.value += 1;
      }
    }, (hint) => hint.project === undefined || hint.project === this.project);
  }

  /** @param {string} id @param {boolean} on */
  select(id, on) {
    const now = this.selected.peek();
    const next = on ? [...now, id] : now.filter((one) => one !== id);
    show({ sel: next.length ? next : ["-"] }, { replace: true });
  }
}
