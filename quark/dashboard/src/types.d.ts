type Column = Float32Array | Float64Array;

/** One metric of one run, reduced to buckets; each has its true minimum and maximum. */
interface Chart {
  run: string;
  key: string;
  axis: string;
  count: number;
  width: number; // the usual distance between neighbours in x; 0 if that is not known
  x: Float64Array;
  mean: Column;
  min: Column;
  max: Column;
  n: Column;
  nonfinite: { x: number; step: number | null; kind: string }[];
  nonfinite_count: number;
  restarts: number[];
}

/** What a chart draws for one run or one group of runs. */
interface Line {
  id: string;
  name: string;
  color: string;
  dash: number[];
  grouped?: boolean; // a group of runs
  chart: Chart;
}

/** The view that the fragment of the address holds. */
interface View {
  f: string; // filter of charts, a regular expression
  x: string; // axis: step, epoch, relative, wall
  z: [number, number] | null; // the range of x that is shown
  p: string[]; // pinned charts
  s: number; // smoothing: window in units of x; 0 is none
  y: boolean; // logarithmic y
  o: boolean; // y fits the middle of the values, outliers may be cut off
  n: number; // columns of charts; 0 is automatic
  q: string; // query over runs
  cols: string[]; // columns of the run table
  sort: string;
  sel: string[]; // runs that are drawn
  g: string[]; // config keys to group by
  m: string; // right side of a project: charts, scatter, parallel
  k: boolean; // whether the run table shows the courses of a metric
  stat: string; // statistic of the heat map
  l: string; // layer whose series is shown below the heat map
  c: string; // config key or metric on the axes of the scatter plot, "x|y"
}

interface Run {
  id: string;
  name: string | null;
  project_name: string;
  status: string;
  reason: string | null;
  tags: string[];
  config: Record<string, unknown>;
  environment: Record<string, unknown>;
  git_commit: string | null;
  started_at: string;
  ended_at: string | null;
  updated_at: string;
  resume_count: number;
  parent_run_id: string | null;
  notes?: string | null;
}

interface Evidence {
  kind: string;
  source: string;
  summary: string;
  observed_value: number | null;
  threshold_value: number | null;
  step_start: number | null;
  step_end: number | null;
}

interface Alert {
  id: string;
  rule_id: string;
  category: string;
  severity: string;
  title: string;
  summary: string;
  fact: string;
  inference: string;
  evidence: Evidence[];
  step_start: number | null;
  step_end: number | null;
  subject: string | null;
  consequence: string;
  actions: string[];
  clears: string;
  step: number | null;
  timestamp: string;
}

/** A run in the table of a project. */
interface Row {
  id: string;
  name: string | null;
  project: string;
  status: string;
  reason: string | null;
  created_at: string;
  ended_at: string | null;
  updated_at: string;
  tags: string[];
  columns: Record<string, unknown>;
  steps: Record<string, number>;
}

interface Phase { phase_name: string; display_name: string; summary: string; step_start: number; step_end: number }
interface Health { score_key: string; score: number; status: string; step: number | null }
interface LogEvent { id: string; event_type: string; severity: string; step: number | null; timestamp: string; payload: any }
interface Overview { keys: string[]; latest: Record<string, [number | null, number]>; counts: Record<string, number>; names?: Record<string, Record<string, string>>; writers?: { writer_id: string; rank: number; attempt: number; next: number }[] }
