"""The course of a loss as arrays that can be cut: ordered, one value a step, on a scale on which noise is even."""

from dataclasses import dataclass
from typing import Any

from ...core.reader import Series

MOST = 96
"""Blocks of a curve at most."""

LARGEST = 1e300
"""Sizes beyond it count as it."""

_SMALLEST = 5e-324
_NOISE = 3e-13
"""Of the largest mean: one below it is what rounding left of values that cancel, which is nothing."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A loss over steps, folded into equally long blocks.

    Attributes:
        key: of the metric.
        levels: float64, of each block on the scale: the mean of ln(loss), or if some loss is not positive
            asinh(mean loss / the median of the blocks' sizes).
        losses: float64, the mean loss of each block, brought to the scale only then.
        first, last: int64, the steps of each block's first and last point.
        points: how many points a block holds; the last one may hold up to half as many more or fewer.
        positive: whether the scale is the logarithm.
    """

    key: str
    levels: Any
    losses: Any
    first: Any
    last: Any
    points: int
    positive: bool

    def __len__(self) -> int:
        return len(self.levels)


def curve_of(series: Series, *, accuracy: bool = False) -> Curve | None:
    """The course of a metric; None if it has no finite value.

    Points are put in the order of their steps, several values of a step are averaged. A metric without steps is
    counted by epochs, else by its points.

    Args:
        series: the metric.
        accuracy: it is an accuracy as a share or in percent: its distance from the best possible is the loss.
    """
    import numpy as np

    steps, values = _places(series), np.asarray(series.values, dtype=float)
    kept = np.isfinite(values) & (steps >= 0)
    steps, values = steps[kept], np.clip(values[kept], -LARGEST, LARGEST)
    if not len(values):
        return None
    steps, values = _one_a_step(steps, values)
    if accuracy:
        values = np.maximum((100.0 if values.max() > 1.5 else 1.0) - values, 0.0)
    length = 1
    while len(values) // length >= MOST:
        length *= 2
    starts = np.arange(0, len(values), length)
    if len(starts) > 1 and len(values) - starts[-1] < (length + 1) // 2:
        starts = starts[:-1]
    ends = np.append(starts[1:], len(values))
    counts = ends - starts
    largest = float(np.abs(values).max()) or 1.0
    losses = np.add.reduceat(values / largest, starts) / counts * largest
    logs = np.add.reduceat(np.log(values), starts) / counts if values.min() > 0 else None
    return folded(series.key, logs, losses, steps[starts], steps[ends - 1], length)


def folded(key: str, logs: Any, losses: Any, first: Any, last: Any, points: int) -> Curve:
    """The curve of these blocks.

    Args:
        logs: mean logarithm of the losses of each block; None if a loss was not positive.
        losses: mean loss of each block.
        first, last: steps of each block.
        points: that a block holds.
    """
    import numpy as np

    if logs is not None:
        return Curve(key, logs, np.log(np.maximum(losses, _SMALLEST)), first, last, points, True)
    sizes = np.abs(losses)
    told = sizes > _NOISE * sizes.max(initial=0.0)
    scale = float(np.median(sizes[told])) if told.any() else 1.0
    with np.errstate(over="ignore"):
        levels = np.arcsinh(np.clip(np.where(told, losses, 0.0) / scale, -LARGEST, LARGEST))
    return Curve(key, levels, levels, first, last, points, False)


def _places(series: Series) -> Any:
    import numpy as np

    for numbers in (series.steps, series.epochs):
        if len(numbers) and numbers.max() >= 0:
            return numbers
    return np.arange(len(series))


def _one_a_step(steps: Any, values: Any) -> tuple[Any, Any]:
    import numpy as np

    if not (np.diff(steps) > 0).all():
        steps, index, counts = np.unique(steps, return_inverse=True, return_counts=True)
        # divided before it is summed, so that values near the largest float do not overflow
        values = np.bincount(index, weights=values / counts[index])
    return steps, values
