"""What everything that Quark records becomes in MLflow: the documentation shows it, and a test finds each row."""

MEANING: dict[str, str] = {
    "config": "parameters, nested names joined by dots; whole in `quark/config.json`",
    "config changed by a resumed attempt": "`quark/config-<attempt>.json`, changed names in the tag "
    "`quark.params_changed`: MLflow's parameters are written once",
    "config learned after the start": "further parameters, and `quark/config.json` anew; changed values as above",
    "task parameters of a tracked loop": "parameters below `tasks.<name>`, with `max_steps` and `criterion`",
    "metric": "a point of the series of the same name, with step and wall time (milliseconds); without a step it "
    "stands at its epoch; other ranks are below `rank_<n>/`",
    "epoch": "the series `quark/epoch`: a point at the first step of each",
    "NaN, infinity": "a point: NaN is NaN, infinity is ±1.797e308, the greatest number that MLflow keeps; "
    "SQLite stores -0.0 as 0.0",
    "telemetry": "the series below `system/`, and the table `quark/telemetry.json`",
    "layer": "series `quark/layers/<module>/<activation or gradient>/<statistic>`, chosen by `layers`, and the table "
    "`quark/layers.json`",
    "parameter": "series `quark/params/<name>/<statistic>`, chosen by `layers`, and the table `quark/parameters.json`",
    "batch": "the table `quark/batches.json`",
    "event": "the table `quark/events.json`",
    "alert": "the table `quark/alerts.json`, all rows; tags `quark.alerts` (count) and `quark.worst_alert`; the last "
    "20 in the description",
    "health": "the table `quark/health.json`",
    "phase": "the table `quark/phases.json`",
    "artifact": "the file, below `artifacts/` as it lies in the run's directory; `artifacts=False` leaves it out",
    "`run.summary`": "a number is a metric of its name, below `summary/` where a series has that name; else a tag "
    "`quark.summary.<name>`",
    "notes": "the description of the run, if the sink opened it",
    "statistics of series": "the table `quark/summary.json`: count, last, least and greatest value of each series",
    "name": "the run's name, if the sink opened it",
    "tags": "a tag `quark.tag.<tag>` each",
    "run": "tags `quark.run_id`, `quark.project`, `quark.attempt`, `quark.status`, `quark.stop_reason`",
    "git commit": "the tag `mlflow.source.git.commit`",
    "environment": "`quark/environment.json`; the script in the tag `mlflow.source.name`",
    "parent run": "the tag `quark.parent_run_id`, and `mlflow.parentRunId` if the parent is in the same place",
    "status": "FINISHED (completed), FAILED (failed or lost) or KILLED (interrupted), if the sink opened the run",
    "a name that MLflow refuses": "cleaned, with a digest at its end; `quark/names.json` says what it was",
}


def table() -> str:
    """The table in Markdown."""
    rows = [f"| {name} | {becomes} |\n" for name, becomes in MEANING.items()]
    return "| in Quark | in MLflow |\n| --- | --- |\n" + "".join(rows)
