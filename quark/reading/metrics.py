"""Metrics in a few numbers: first, last, least and greatest value of each, and its course."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..analysis.best import BestValue, best_of
from ..core.direction import direction_of

if TYPE_CHECKING:
    from .view import RunView

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
