"""What everything that Quark records becomes in ClearML; the documentation shows this table, a test finds each row."""

MEANING: dict[str, str] = {
    "config": "hyperparameters in the section General, nested names joined by `/`, values over 4,000 characters cut "
    "and marked; whole in the configuration object `quark/config`",
    "config learned after the start": "further hyperparameters in the same section, and `quark/config` anew",
    "`run.summary`": "numbers are single values of the table Summary, anything else hyperparameters in the section "
    "Summary",
    "notes": "the comment of the task, if the sink opened it",
    "task parameters of a tracked loop": "hyperparameters in the section Tasks, with `max_steps` and `criterion`",
    "metric": "a scalar: the last part of `a/b/c` is the series, the rest the title, a name of one part is both; at "
    "its step, with its wall time (milliseconds); without a step it stands at its epoch; other ranks are below "
    "`rank_<n>/`",
    "epoch": "the scalar `quark` / `epoch`: a point at the first step of each",
    "NaN, infinity": "no point of its series, because ClearML would draw 0; the scalar `quark/nonfinite` counts them "
    "by name, and the event is in the table and in the console",
    "telemetry": "the scalars below `system`, and the table `telemetry`",
    "layer": "the title `quark/layers/<module>/<activation or gradient>` with a series for each statistic, chosen by "
    "`layers`, and the table `layers`",
    "parameter": "the title `quark/params/<name>` with a series for each statistic, chosen by `layers`, and the table "
    "`parameters`",
    "batch": "the table `batches`",
    "event": "a line of the console, and the table `events`",
    "alert": "a line of the console, the table `alerts` (all rows), and the last 20 in the comment",
    "health": "the table `health`",
    "phase": "a line of the console, and the table `phases`",
    "artifact": "an artifact with its file as it is, never pickled; a further one of the same name gets `#2`; "
    "`artifacts=False` leaves them out",
    "table": "a plot of the title `quark/tables`",
    "name": "the task's name, if the sink opened it",
    "tags": "tags",
    "run": "hyperparameters in the section Quark: `run_id`, `project`, `attempt`, `started_at`",
    "git commit": "the commit of the task's execution, with branch, script and packages",
    "environment": "the configuration object `quark/environment`",
    "parent run": "the parent task, if the parent is on the same server; else `Quark/parent_run_id` and "
    "`Quark/parent_task`",
    "status": "completed, failed (also lost) or stopped (interrupted), with the reason, if the sink opened the task",
}


def table() -> str:
    """The table in Markdown."""
    rows = [f"| {name} | {becomes} |\n" for name, becomes in MEANING.items()]
    return "| in Quark | in ClearML |\n| --- | --- |\n" + "".join(rows)
