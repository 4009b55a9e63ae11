"""Metrics for people: first, last, least and greatest value of each, and its course as blocks."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..sinks.wording import number
from .output import table, text

if TYPE_CHECKING:
    from rich.table import Table

    from ..reading import RunView

SPARK_WIDTH = 20


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """A metric in a few numbers; ``course`` holds means over stretches of equal length."""

    key: str
    count: int
    first: float | None
    last: float
    minimum: float
    maximum: float
    last_step: int | None
    course: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """The numbers as JSON values, without the course."""
        made = asdict(self)
        del made["course"], made["key"]
        return made


def summarise(view: "RunView", keys: Sequence[str] | None = None, width: int = SPARK_WIDTH) -> list[MetricSummary]:
    """The summaries of a run's metrics: what the user measured first, what Quark measured after it."""
    latest = view.latest()
    chosen = keys if keys is not None else in_order(latest)
    return [_summary(view, key, latest[key], width) for key in chosen]


def in_order(keys: Mapping[str, Any]) -> list[str]:
    """The keys by name, the machine's own (``system/``) last."""
    return sorted(keys, key=lambda key: (key.startswith("system/"), key))


def _summary(view: "RunView", key: str, latest: tuple[int | None, float], width: int) -> MetricSummary:
    chart = view.chart(key, buckets=width)
    first = next(iter(view.metrics(key, limit=1)), None)
    return MetricSummary(
        key=key, count=int(chart.count.sum()), first=None if first is None else first.value, last=latest[1],
        minimum=float(chart.minimum.min()), maximum=float(chart.maximum.max()), last_step=latest[0],
        course=tuple(float(value) for value in chart.mean),
    )  # fmt: skip


def metric_table(summaries: Sequence[MetricSummary], width: int) -> "Table":
    """The summaries as a table that fits ``width`` columns."""
    from ..reading.sparkline import blocks

    with_ends = width >= 72
    with_count = width >= 100
    columns = ["metric", "course", "first", "last", *(["min", "max"] if with_ends else [])]
    columns += ["points", "last step"] if with_count else []
    made = table(*columns, right=("first", "last", "min", "max", "points", "last step"))
    for one in summaries:
        cells = [
            text(one.key, "dim" if one.key.startswith("system/") else "", 120), text(blocks(one.course), "cyan"),
            text("" if one.first is None else number(one.first)), text(number(one.last), "bold"),
        ]  # fmt: skip
        cells += [text(number(one.minimum)), text(number(one.maximum))] if with_ends else []
        step = "" if one.last_step is None else str(one.last_step)
        cells += [text(str(one.count)), text(step)] if with_count else []
        made.add_row(*cells)
    return made
