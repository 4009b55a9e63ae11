"""What each part of a run becomes in W&B: the table of the documentation, which the tests walk row by row."""

from typing import NamedTuple


class Promise(NamedTuple):
    """A row of the table.

    Attributes:
        what: of Quark.
        becomes: what a reader finds in W&B.
        where: ``place:name`` of it: of ``column``, ``config``, ``table``, ``summary``, ``alert``, ``artifact``, ``run``
            (a field of the run itself) or ``exit``; a test looks there.
    """

    what: str
    becomes: str
    where: str


PROMISES: tuple[Promise, ...] = (
    Promise("metric", "a column of the history under its own name; NaN and infinities too", "column:train/loss"),
    Promise("step", "column `quark/step`, the x axis of every chart; it may repeat and go back", "column:quark/step"),
    Promise("epoch", "column `quark/epoch`", "column:quark/epoch"),
    Promise("time of a record", "W&B's `_timestamp`", "column:_timestamp"),
    Promise("metric of rank 3", "the same below `rank_3/`", "column:rank_1/train/loss"),
    Promise("telemetry", "columns below `system/`", "column:system/process/rss_bytes"),
    Promise("telemetry", "table `quark/tables/telemetry`, down-sampled", "table:telemetry"),
    Promise("telemetry", "line plot `quark/plots/step_time`", "table:quark/plots/step_time_table"),
    Promise("telemetry", "line plot `quark/plots/memory`", "table:quark/plots/memory_table"),
    Promise("telemetry", "line plot `quark/plots/utilization`", "table:quark/plots/utilization_table"),
    Promise(
        "telemetry", "its peaks in the summary, `quark/peak/process_rss_bytes` and others",
        "summary:quark/peak/process_rss_bytes",
    ),
    Promise(
        "layer", "columns `quark/layers/<module>/<activation or gradient>/<statistic>`",
        "column:quark/layers/net.0/activation/mean",
    ),
    Promise("layer", "table `quark/tables/layers`, down-sampled", "table:layers"),
    Promise("parameter", "columns `quark/params/<name>/<statistic>`", "column:quark/params/net.0.weight/weight_norm"),
    Promise("parameter", "table `quark/tables/parameters`, down-sampled", "table:parameters"),
    Promise("event", "table `quark/tables/events`, down-sampled; errors are all kept", "table:events"),
    Promise("alert", "a W&B alert, once, with its level and the id of its record", "alert:spike fired"),
    Promise("alert", "table `quark/tables/alerts`, all kept", "table:alerts"),
    Promise("alert", "their number in the summary, `quark/alerts`", "summary:quark/alerts"),
    Promise("health", "table `quark/tables/health`, down-sampled", "table:health"),
    Promise("phase", "table `quark/tables/phases`, down-sampled", "table:phases"),
    Promise("batch", "table `quark/tables/batches`, down-sampled", "table:batches"),
    Promise("artifact", "an artifact of its type with its file (`artifacts=False`: none)", "artifact:report"),
    Promise("configuration", "config, nested as it is; NaN and infinities as text", "config:lr"),
    Promise("configuration learned after the start", "config too; a changed value replaces the old one", "config:late"),
    Promise("`run.summary`", "summary", "summary:best"),
    Promise("notes", "the run's notes, behind those of the sink, if the sink opened it", "run:notes"),
    Promise("texts over 10,000 characters", "cut and marked; whole in an artifact of type `config`", "artifact:config"),
    Promise("run id, project, git commit, environment", "config below `quark`", "config:quark"),
    Promise("parent run", "config `quark.parent_run_id`", "config:quark.parent_run_id"),
    Promise("name", "display name", "run:display_name"),
    Promise("tags", "tags, at most 64 characters each", "run:tags"),
    Promise("`notes`, `group`, `job_type` of the sink", "the same in W&B", "run:notes"),
    Promise("status", "exit code 0 (finished), 1 (failed) or 255 (killed)", "exit:0"),
    Promise("status and reason in words", "summary `quark/status`, `quark/reason`", "summary:quark/reason"),
    Promise("what was sent", "hidden columns `quark/position/<writer>`", "column:quark/position/0"),
)  # fmt: skip


def markdown() -> str:
    """The table as Markdown."""
    rows = "".join(f"| {promise.what} | {promise.becomes} |\n" for promise in PROMISES)
    return f"| Quark | W&B |\n| --- | --- |\n{rows}"
