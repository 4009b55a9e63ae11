"""Metrics for people: first, last, least and greatest value of each, and its course as blocks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..analysis.best import BestValue, best_of
from ..analysis.direction import direction_of
from ..sinks.wording import number
from .output import cut, table, text

if TYPE_CHECKING:
    from rich.table import Table

    from ..reading import RunView

READ_WHOLE = 20_000
"""Points up to which a metric is read in full."""

READ_FOR_BEST = 1_000_000
"""Points up to which a metric that has a best value is read in full, to say where that was."""


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """A metric in a few numbers of its finite values, and how many were not finite.

    ``course`` holds means over stretches of equal length, NaN where a value was not finite.
    """

    key: str
    count: int
    first: float
    last: float
    minimum: float
    maximum: float
    last_step: int | None
    nonfinite: int
    course: tuple[float, ...]
    best: BestValue | None = None

    def to_dict(self) -> dict[str, Any]:
        """The numbers as JSON values, without the course; null where a value is not finite, or ``best`` unknown."""
        made = asdict(self)
        del made["course"], made["key"]
        lost = [name for name, value in made.items() if isinstance(value, float) and not math.isfinite(value)]
        return {**made, **dict.fromkeys(lost)}


def summarise(view: "RunView", keys: Sequence[str] | None = None, width: int = 20) -> list[MetricSummary]:
    """The summaries of a run's metrics: what the user measured first, what Quark measured after it."""
    latest = view.latest()
    chosen = keys if keys is not None else in_order(latest)
    lost = view.nonfinite_counts()
    return [_summary(view, key, latest[key], width, lost.get(key, 0)) for key in chosen]


def in_order(keys: Mapping[str, Any]) -> list[str]:
    """The keys by name, the machine's own (``system/``) last."""
    return sorted(keys, key=lambda key: (key.startswith("system/"), key))


def _summary(view: "RunView", key: str, latest: tuple[int | None, float], width: int, lost: int) -> MetricSummary:
    """A short metric by all its points; a long one by its chart, which knows its extremes without reading them."""
    from ..drawing.sparkline import with_marks

    chart = view.chart(key, buckets=width)
    count = int(chart.count.sum())
    best = None
    if count == 0:
        first = minimum = maximum = latest[1]
    elif count <= (READ_WHOLE if direction_of(key) is None else READ_FOR_BEST):
        series = view.series(key)
        values = series.values
        count, first, minimum, maximum = len(values), values[0], values.min(), values.max()
        best = best_of(series) if direction_of(key) is not None else None
    else:
        first, minimum, maximum = view.metrics(key, limit=1)[0].value, chart.minimum.min(), chart.maximum.max()
    return MetricSummary(
        key=key, count=count, first=float(first), last=latest[1], minimum=float(minimum), maximum=float(maximum),
        last_step=latest[0], nonfinite=lost, best=best,
        course=with_marks(chart, view.series(key).nonfinite.steps.tolist() if lost else ()),
    )  # fmt: skip


def metric_table(summaries: Sequence[MetricSummary], width: int) -> "Table":
    """The summaries as a table that fits ``width`` columns."""
    from ..drawing.sparkline import blocks

    ends, counts = width >= 100, width >= 120
    judged = width >= 60 and any(one.best is not None for one in summaries)
    columns = ["metric", "course", "first", "last", *(["best"] if judged else []), *(["min", "max"] if ends else [])]
    columns += ["points", "last step"] if counts else []
    made = table(*columns, right=tuple(columns[2:]), flexible=("metric",))
    for one in summaries:
        ours = one.key.startswith("system/")
        values = [one.minimum, one.maximum] if ends else []
        made.add_row(
            cut(one.key, "dim" if ours else ""), text(blocks(one.course), "cyan"),
            text(shown(one.key, one.first)), text(shown(one.key, one.last)),
            *([text("" if one.best is None else best_words(one.best))] if judged else []),
            *(text(shown(one.key, value)) for value in values),
            *([text(_points(one)), text("" if one.last_step is None else str(one.last_step))] if counts else []),
        )  # fmt: skip
    return made


def best_words(best: BestValue) -> str:
    """A best value and where it was reached: ``0.931 at 40``."""
    words = shown(best.key, best.value)
    if best.step is not None:
        return f"{words} at {best.step}"
    return words if best.epoch is None else f"{words} in epoch {best.epoch}"


def _points(one: MetricSummary) -> str:
    return f"{one.count} + {one.nonfinite} not finite" if one.nonfinite else str(one.count)


def course_width(width: int) -> int:
    """How many blocks a course may take in a terminal of ``width`` columns."""
    return 20 if width >= 90 else 12


def shown(key: str, value: float) -> str:
    """A value for a narrow column; sizes in bytes as MiB or GiB."""
    if key.endswith("_bytes") and abs(value) >= 1 << 20:
        return f"{value / (1 << 30):.2f} GiB" if abs(value) >= 1 << 30 else f"{value / (1 << 20):.0f} MiB"
    return number(value)
