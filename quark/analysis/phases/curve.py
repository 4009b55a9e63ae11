"""The course of a loss as arrays that can be cut: ordered, one value a step, on a scale on which noise is even."""

from dataclasses import dataclass
from typing import Any

from ...core.reader import Series

MOST = 96
"""Blocks of a curve at most."""

_LARGEST = 1e300
_SMALLEST = 5e-324


@dataclass(frozen=True, slots=True)
class Curve:
    """A loss over steps, folded into equally long blocks.

    Attributes:
        key: of the metric.
        levels: float64, the mean of each block on the scale: ln(loss), or asinh(loss / median |loss|) if some loss is
            not positive.
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
    steps, values = steps[kept], np.clip(values[kept], -_LARGEST, _LARGEST)
    if not len(values):
        return None
    steps, values = _one_a_step(steps, values)
    if accuracy:
        values = np.maximum((100.0 if values.max() > 1.5 else 1.0) - values, 0.0)
    scale = _scale(values)
    levels = _on_scale(values, scale)
    length = 1
    while len(levels) // length >= MOST:
        length *= 2
    starts = np.arange(0, len(levels), length)
    if len(starts) > 1 and len(levels) - starts[-1] < (length + 1) // 2:
        starts = starts[:-1]
    ends = np.append(starts[1:], len(levels))
    counts = ends - starts
    largest = float(np.abs(values).max()) or 1.0
    losses = np.add.reduceat(values / largest, starts) / counts * largest
    return Curve(
        series.key, np.add.reduceat(levels, starts) / counts, _on_scale(losses, scale), steps[starts],
        steps[ends - 1], length, scale == 0.0,
    )  # fmt: skip


def _scale(values: Any) -> float:
    """The typical size of losses that are not all positive; 0 where they are, and the scale is the logarithm."""
    import numpy as np

    if values.min() > 0:
        return 0.0
    sizes = np.abs(values[values != 0])
    return float(np.median(sizes)) if len(sizes) else 1.0


def _on_scale(values: Any, scale: float) -> Any:
    """Losses on a scale on which a factor is a difference."""
    import numpy as np

    if scale == 0.0:
        return np.log(np.maximum(values, _SMALLEST))
    with np.errstate(over="ignore"):
        return np.arcsinh(np.clip(values / scale, -_LARGEST, _LARGEST))


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
