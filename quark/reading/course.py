"""Reads the course of a metric along steps or time, reduced to stretches with their true extremes."""

from typing import TYPE_CHECKING

from ..core.reader import Series
from ..drawing.course import Course
from ..records.base import parse_timestamp

if TYPE_CHECKING:
    from .view import RunView

AXES = ("step", "time")
"""What a course may lie along: the step, else the epoch; or the seconds since the run started."""


def course_of(view: "RunView", key: str, stretches: int, axis: str = "step", *, nonfinite: bool = True) -> Course:
    """The course of a metric in at most ``stretches``.

    Args:
        nonfinite: whether there are values that were NaN or infinite, which takes a look at all points.
    """
    if axis == "time":
        return _over_time(view, key, stretches)
    chart = view.chart(key, buckets=stretches)
    marks = [float(step) for step in view.series(key).nonfinite.steps.tolist() if step >= 0] if nonfinite else []
    return Course(
        chart.step_first.tolist(), chart.step_last.tolist(), chart.minimum.tolist(), chart.maximum.tolist(), marks,
        int(chart.count.sum()),
    )  # fmt: skip


def _over_time(view: "RunView", key: str, stretches: int) -> Course:
    import numpy as np

    series = view.series(key)
    start = parse_timestamp(view.started_at)
    marks = _seconds(series.nonfinite, start).tolist()
    if not len(series):
        return Course(marks=marks)
    seconds = _seconds(series, start)
    order = np.argsort(seconds, kind="stable")
    seconds, values = seconds[order], series.values[order]
    width = (seconds[-1] - seconds[0]) / stretches or 1.0
    place = np.minimum(((seconds - seconds[0]) / width).astype(np.int64), stretches - 1)
    starts = np.flatnonzero(np.concatenate(([True], place[1:] != place[:-1])))
    ends = np.append(starts[1:], len(values)) - 1
    return Course(
        seconds[starts].tolist(), seconds[ends].tolist(), np.minimum.reduceat(values, starts).tolist(),
        np.maximum.reduceat(values, starts).tolist(), marks, len(values),
    )  # fmt: skip


def _seconds(series: Series, start_ns: int):
    return (series.timestamps - start_ns) / 1e9
