"""Charts of many metrics of many runs on one axis, and of groups of runs on a common grid."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import sqlalchemy as sa

from ..records.naming import metric_key
from .curves import STEP, Curve, Window, read_curves
from .marks import Marks, read_marks


@dataclass(frozen=True, slots=True)
class Mark:
    """A value that was not finite: where it lies, its step if it has one, and whether it was nan, inf or -inf."""

    x: float
    step: int | None
    kind: str


@dataclass(frozen=True, slots=True)
class AxisChart:
    """A metric of a run as stretches of an axis, each with its true extremes; float64 arrays of one length.

    Attributes:
        key: the metric as it was asked for.
        axis: what ``x`` is; ``epoch`` where steps were asked for and the metric has none.
        count: finite points within the window.
        width: the usual distance between neighbours; where ``x`` jumps by much more there is a gap.
        x: where each stretch begins; stretches without a point are left out.
        n: points of each stretch.
        nonfinite: values that were not finite, of those that lie in one stretch the first one of each kind.
        nonfinite_count: how many there are within the window.
        restarts: where each attempt of the run but the first begins.
    """

    key: str
    axis: str
    count: int
    width: float
    x: np.ndarray
    mean: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    n: np.ndarray
    nonfinite: list[Mark] = field(default_factory=list)
    nonfinite_count: int = 0
    restarts: list[float] = field(default_factory=list)

    @classmethod
    def of_nothing(cls, key: str, axis: str) -> "AxisChart":
        """The chart of a metric that is not there."""
        return cls(key, axis, 0, 0.0, *_none())


@dataclass(frozen=True, slots=True)
class GroupChart:
    """A metric of a group of runs on a grid that they share; float64 arrays of one length.

    Attributes:
        runs: how many runs have points in the window.
        mean: the mean of the runs' means; ``minimum`` and ``maximum`` are those of all points.
        n: how many runs have points in each cell; where shorter runs have ended it falls.
    """

    key: str
    axis: str
    runs: int
    width: float
    x: np.ndarray
    mean: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    n: np.ndarray


def read_charts(connection: sa.Connection, run_pk: int, keys: Sequence[str], window: Window) -> list[AxisChart]:
    """A chart for each of the metrics of a run, by name or key; an empty one for a metric that the run lacks."""
    by_key = {key: metric_key(key) for key in keys}
    marks = read_marks(connection, run_pk, set(by_key.values()))
    curves = read_curves(connection, run_pk, set(by_key.values()), window, marks)
    return [_chart(key, curves.get(by_key[key]), marks.get(by_key[key]), window) for key in keys]


def read_group_charts(
    connection: sa.Connection, groups: Sequence[Collection[int]], keys: Sequence[str], window: Window
) -> list[list[GroupChart]]:
    """For each group of runs, by their numbers, a chart for each of the metrics."""
    return [
        [
            _group_chart(key, [
                curve for run in group
                for curve in read_curves(connection, run, [metric_key(key)], window, {}).values()
            ], window)
            for key in keys
        ]
        for group in groups
    ]  # fmt: skip


def _none() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The columns of a chart without points."""
    none = np.empty(0)
    return none, none, none, none, none


def _chart(key: str, curve: Curve | None, marks: Marks | None, window: Window) -> AxisChart:
    if curve is None and marks is not None:  # it was never finite
        places = np.array(marks.steps, np.float64)
        none = np.empty(0)
        curve = Curve(
            key, window.axis, none, none, none, none, none, 0.0, [], marks,
            np.where(places < 0, np.nan, places) if window.axis == STEP else np.full(len(places), np.nan),
            np.ones(len(places), bool),
        )  # fmt: skip
    if curve is None:
        return AxisChart.of_nothing(key, window.axis)
    starts, width = _starts(curve, window.buckets)
    shown, count = _marks(curve, window, width)
    if not len(starts):
        return AxisChart(key, curve.axis, 0, 0.0, *_none(), shown, count, curve.restarts)
    n = np.add.reduceat(curve.count, starts)
    minimum = np.minimum.reduceat(curve.minimum, starts)
    maximum = np.maximum.reduceat(curve.maximum, starts)
    # A sum is rounded: the mean of equal values would not be their value.
    mean = np.clip(np.add.reduceat(curve.total, starts) / n, minimum, maximum)
    return AxisChart(
        key, curve.axis, int(n.sum()), width, curve.x[starts], mean, minimum, maximum, n.astype(np.float64), shown,
        count, curve.restarts,
    )  # fmt: skip


def _starts(curve: Curve, buckets: int) -> tuple[np.ndarray, float]:
    """Where each stretch starts among the summaries, and how wide a stretch is."""
    x = curve.x
    if len(x) <= buckets:
        return np.arange(len(x)), float(np.median(np.diff(x))) if len(x) > 1 else 0.0
    extent = curve.last - float(x[0]) + (1.0 if curve.axis in ("step", "epoch") else 0.0)
    width = extent / buckets
    if width <= 0:
        return np.zeros(1, np.int64), 0.0
    place = np.minimum(((x - x[0]) / width).astype(np.int64), buckets - 1)
    starts = np.flatnonzero(np.concatenate(([True], place[1:] != place[:-1])))
    return starts, max(width, float(np.median(np.diff(x[starts]))) if len(starts) > 1 else 0.0)


def _marks(curve: Curve, window: Window, width: float) -> tuple[list[Mark], int]:
    """The marks to draw, and how many values they stand for."""
    held, x = curve.marks, curve.marks_x
    within = window.holds(x) if window.low is not None or window.high is not None else np.ones(len(x), bool)
    places = np.flatnonzero(within & curve.marks_kept)
    seen: set[tuple[int, str]] = set()
    made = []
    for place in places.tolist():
        at = float(x[place])
        if at != at:
            continue  # it has no place on this axis, but counts
        bucket = (int(at / width) if width > 0 else place, held.kinds[place])
        if bucket in seen or len(made) >= 3 * window.buckets:
            continue
        seen.add(bucket)
        step = held.steps[place]
        made.append(Mark(at, None if step < 0 else step, held.kinds[place]))
    return made, len(places)


def _group_chart(key: str, curves: list[Curve], window: Window) -> GroupChart:
    curves = [curve for curve in curves if len(curve.x)]
    if not curves:
        return GroupChart(key, window.axis, 0, 0.0, *_none())
    low = min(float(curve.x[0]) for curve in curves)
    high = max(curve.last for curve in curves)
    # A cell is no narrower than the usual distance between points of a run: else most cells would lack most runs.
    gaps = [(curve.last - float(curve.x[0])) / max(int(curve.count.sum()) - 1, 1) for curve in curves]
    whole = 1.0 if curves[0].axis in ("step", "epoch") else 0.0
    width = max((high - low + whole) / window.buckets, *gaps)
    cells = min(int((high - low) / width + _ROUNDING) + 1, window.buckets) if width > 0 else 1
    n, total = np.zeros(cells), np.zeros(cells)
    minimum, maximum = np.full(cells, np.inf), np.full(cells, -np.inf)
    for curve in curves:
        place = (
            ((curve.x - low) / width + _ROUNDING).astype(np.int64) if width > 0 else np.zeros(len(curve.x), np.int64)
        )
        place = np.minimum(place, cells - 1)
        starts = np.flatnonzero(np.concatenate(([True], place[1:] != place[:-1])))
        cell = place[starts]
        least, most = np.minimum.reduceat(curve.minimum, starts), np.maximum.reduceat(curve.maximum, starts)
        mean = np.add.reduceat(curve.total, starts) / np.add.reduceat(curve.count, starts)
        n[cell] += 1
        total[cell] += np.clip(mean, least, most)
        minimum[cell], maximum[cell] = np.minimum(minimum[cell], least), np.maximum(maximum[cell], most)
    keep = n > 0
    mean = np.clip(total[keep] / n[keep], minimum[keep], maximum[keep])
    x = low + width * np.flatnonzero(keep)
    return GroupChart(key, curves[0].axis, len(curves), width, x, mean, minimum[keep], maximum[keep], n[keep])


_ROUNDING = 1e-9
"""Part of a cell by which a point at its very beginning may be computed to lie before it."""
