"""What an agent can ask about the runs of a store; every answer is a JSON document of bounded size."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import SchemaValidationError
from ..sinks.wording import number
from .bounds import bounded
from .insides import lines_at_the_end, shown_layers

if TYPE_CHECKING:
    from ..reading import RunView, Store

MOST_MARKS = 20
MOST_METRICS = 100
MOST_SORTED = 1_000
"""Runs that are sorted by a column while an agent waits."""

MOST_ANALYZED = 5_000_000
"""Records up to which a run is analyzed while an agent waits."""


class Answers:
    """Answers questions about runs. Nothing is written; each question opens the store anew, so it sees what is new.

    Args:
        opened: opens the store.
    """

    def __init__(self, opened: "Callable[[], Store]") -> None:
        self._opened = opened

    def list_runs(
        self, *, query: str | None = None, columns: Sequence[str] = (), sort: str = "-started_at", limit: int = 20,
        after: str | None = None, **filters: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """The runs that match, a page of them or, sorted by a column, the first of all; with the columns of each."""
        from ..reading.columns import Column, Facts, is_field

        given = {name: value for name, value in {**filters, "where": query}.items() if value is not None}
        wanted = [Column(text) for text in columns]
        with self._opened() as store:
            if is_field(sort):
                page = store.page(sort=sort, limit=limit, after=after, **given)
                views, following = list(page.runs), page.next
            else:
                _check_count(store, after, given)
                views, following = list(store.runs(sort=sort, limit=limit, **given)), None
            runs = []
            for view in views:
                facts = Facts(view)
                cells = {column.text: column.of(facts) for column in wanted}
                shown = {name: {"value": cell.value, "step": cell.step} for name, cell in cells.items()}
                runs.append({**head_of(view), **({"columns": shown} if columns else {})})
        return bounded({"next": following, "runs": runs}, "runs", hint="ask with a smaller limit, then after=next")

    def run_summary(self, run: str, *, metrics: str = "") -> dict[str, Any]:
        """What a run is, how it stands, and its metrics in a few numbers, those that match a pattern."""
        from ..reading.matching import Pattern
        from ..reading.metrics import in_order, summarise

        with self._opened() as store:
            view = store.run(run)
            verdict = view.verdict()
            names = Pattern(metrics).among(in_order(view.latest()))
            document = {
                "run": {**head_of(view), "tags": list(view.tags), "commit": view.version},
                "verdict": None if verdict is None else verdict.to_dict(),
                "metrics": {one.key: one.to_dict() for one in summarise(view, names[:MOST_METRICS], width=1)},
                "metric_count": len(names),
                "summary": view.summary(),
                "notes": list(view.notes()[-5:]),
                "config": view.config,
                "counts": view.counts(),
                "unrecorded": view.unrecorded().total,
            }
        return bounded(
            document, "config", "metrics", "notes", "summary", truncated=len(names) > MOST_METRICS,
            hint="ask for fewer metrics with a pattern in `metrics`",
        )  # fmt: skip

    def series(
        self, run: str, key: str, *, buckets: int = 50, step_min: int | None = None, step_max: int | None = None
    ) -> dict[str, Any]:
        """A metric in stretches of steps, each with its true minimum and maximum, so that no spike is missing."""
        with self._opened() as store:
            view = store.run(run)
            chart = view.chart(key, buckets=buckets, step_min=step_min, step_max=step_max)
            if not len(chart.count):
                view.series(key)  # an unknown name is an error that names similar ones
            lost = _nonfinite(view, key, step_min, step_max)
        columns = {
            "step_first": chart.step_first, "step_last": chart.step_last, "count": chart.count,
            "min": chart.minimum, "max": chart.maximum, "mean": chart.mean, "last": chart.last,
        }  # fmt: skip
        document = {
            "key": key, "points": int(chart.count.sum()), "nonfinite": lost, "columns": list(columns),
            "buckets": list(zip(*(column.tolist() for column in columns.values()), strict=True)),
        }  # fmt: skip
        return bounded(document, "buckets", hint="ask for fewer buckets, or for a part with step_min and step_max")

    def alerts(self, run: str, *, severity: str = "info", limit: int = 20) -> dict[str, Any]:
        """The alerts of a run of a severity and worse, with their evidence."""
        from ..reading.findings import at_least, known_alerts

        with self._opened() as store:
            view = store.run(run)
            self._check_size(view)
            found = at_least(known_alerts(view), severity)
        shown = [alert_of(alert) for alert in found[:limit]]
        return bounded(
            {"run": view.id, "count": len(found), "alerts": shown}, "alerts", truncated=len(found) > len(shown),
            hint="ask for a higher severity, or with another limit",
        )  # fmt: skip

    def diagnose(self, run: str) -> dict[str, Any]:
        """An analysis made now: the health, what is wrong, why, and what to do."""
        from ..analysis.engine import AnalyzerEngine
        from ..analysis.verdict import by_consequence

        with self._opened() as store:
            view = store.run(run)
            self._check_size(view)
            result = AnalyzerEngine(view).analyze()
        document = {
            "run": head_of(view),
            "verdict": result.verdict.to_dict(),
            "health": {one.score_key: {"score": one.score, "status": one.status} for one in result.health_scores},
            "alerts": [alert_of(alert) for alert in by_consequence(result.alerts)],
            "unknown": dict(result.unknown),
            "not_judged": dict(result.abstentions),
        }
        return bounded(document, "not_judged", "alerts", hint="ask `alerts` with a severity")

    def compare(self, runs: Sequence[str], *, metrics: str = "") -> dict[str, Any]:
        """What differs between runs; of two also their alerts, phases, and whether differences are within the noise."""
        from ..analysis.comparison.engine import ComparisonEngine
        from ..reading.beside import SideBySide
        from ..reading.matching import Pattern

        with self._opened() as store:
            views = [store.run(run) for run in runs]
            for view in views:
                self._check_size(view)
            beside = SideBySide(views).to_dict()
            wanted = set(Pattern(metrics).among(beside["last"]))
            document = {
                "runs": [head_of(view) for view in views], "config": beside["config"],
                **{part: {key: row for key, row in beside[part].items() if key in wanted} for part in ("best", "last")},
            }  # fmt: skip
            if len(views) == 2:
                result = ComparisonEngine.compare_runs(*views).to_dict()
                diffs = [diff for diff in result["metric_diffs"] if diff["metric_key"] in wanted]
                document["metric_diffs"] = [_without_empty(diff) for diff in diffs]
                for part in ("alert_diff", "phase_diffs", "caution"):
                    document[part] = result[part]
        return bounded(
            document, "config", "last", "metric_diffs", "best", "phase_diffs",
            hint="ask for fewer metrics with a pattern in `metrics`",
        )  # fmt: skip

    def layers_at(self, run: str, *, step: int | None = None, layers: str = "", limit: int = 50) -> dict[str, Any]:
        """The layers and parameters that were looked at last at or before a step."""
        from ..reading.matching import Pattern

        with self._opened() as store:
            document, more = shown_layers(store.run(run), step, Pattern(layers), limit)
        hint = "ask with a pattern in `layers`, or another limit"
        return bounded(document, "parameters", "layers", truncated=more, hint=hint)

    def log_lines(self, run: str, *, last: int = 50, stream: str | None = None, pattern: str = "") -> dict[str, Any]:
        """The last lines that a run printed, those that match a pattern."""
        from ..reading.matching import Pattern

        with self._opened() as store:
            lines, more = lines_at_the_end(store.run(run), last, stream, Pattern(pattern))
        hint = "ask for earlier lines with a pattern, or a larger `last`"
        newest_first = bounded({"lines": lines}, "lines", truncated=more, hint=hint)
        return {**newest_first, "lines": newest_first["lines"][::-1]}

    @staticmethod
    def _check_size(view: "RunView") -> None:
        total = sum(view.counts().values())
        if total > MOST_ANALYZED:
            raise SchemaValidationError(
                f"run {view.id} holds {total:,} records, more than are looked at here ({MOST_ANALYZED:,}); "
                "use `quark analyze` or `quark compare` in a terminal, or ask for one metric with `series`"
            )


def head_of(view: "RunView") -> dict[str, Any]:
    """What a run is, in a few fields."""
    return {
        "id": view.id, "name": view.name, "project": view.project, "status": view.status, "reason": view.reason,
        "started_at": view.started_at, "ended_at": view.ended_at,
    }  # fmt: skip


def _check_count(store: "Store", after: str | None, filters: Mapping[str, Any]) -> None:
    """To sort by a column reads all runs that match: few enough to wait for, and there is no page behind them."""
    if after is not None:
        raise SchemaValidationError("after goes with an order by a field of the run; leave it out, with a larger limit")
    if len(list(store.runs(limit=MOST_SORTED + 1, select=("id",), **filters))) > MOST_SORTED:
        raise SchemaValidationError(
            f"more than {MOST_SORTED} runs match, too many to sort by a column; narrow the query"
        )


ALERT_FIELDS = (
    "rule_id", "category", "severity", "title", "subject", "step_start", "step_end", "epoch", "fact", "inference",
    "consequence", "actions", "clears", "evidence",
)  # fmt: skip


def alert_of(alert: Any) -> dict[str, Any]:
    """An alert without what only records of a journal have."""
    fields = alert.to_dict()
    made = {name: fields[name] for name in ALERT_FIELDS}
    return {**made, "evidence": [_without_empty(one) for one in made["evidence"][:10]]}


def _without_empty(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _nonfinite(view: "RunView", key: str, step_min: int | None, step_max: int | None) -> dict[str, Any]:
    """How many values of a metric were NaN or infinite, and the first of them by step."""
    if not view.nonfinite_counts().get(key):
        return {"count": 0, "first": []}
    lost = view.series(key).nonfinite
    low, high = step_min or 0, float("inf") if step_max is None else step_max
    marks = [
        {"step": None if step < 0 else step, "value": number(value)}
        for step, value in zip(lost.steps.tolist(), lost.values.tolist(), strict=True)
        if step < 0 or low <= step <= high
    ]
    return {"count": len(marks), "first": marks[:MOST_MARKS]}
