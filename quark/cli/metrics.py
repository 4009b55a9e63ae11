"""Metrics for people: a table of their values, and the course of each as blocks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..analysis.best import BestValue
from ..reading.metrics import MetricSummary
from ..sinks.wording import number
from .output import cut, table, text

if TYPE_CHECKING:
    from rich.table import Table


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
