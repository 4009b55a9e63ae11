"""A metric at a glance: a line of block characters for terminals, a small drawing for notebooks."""

import math
from collections.abc import Callable, Sequence

from ..core.reader import Chart

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH, HEIGHT = 120, 24


NONFINITE = "×"  # noqa: RUF001  a cross as wide as a block
FLAT = 1e-9
"""Values that differ by less than this part of themselves are drawn as a constant: nobody could read the difference."""

MIDDLE = 0.43
"""The height of a constant: the fourth of eight blocks."""


def blocks(values: Sequence[float]) -> str:
    """The values as blocks from the lowest to the highest; a constant lies in the middle, nothing is empty text.

    A value that is NaN or infinite is a cross.
    """
    finite = [value for value in values if math.isfinite(value)]
    heights = heights_between(min(finite, default=0.0), max(finite, default=0.0))
    top = len(BLOCKS) - 1
    return "".join(BLOCKS[round(heights(value) * top)] if math.isfinite(value) else NONFINITE for value in values)


def heights_between(low: float, high: float) -> Callable[[float], float]:
    """Where a value lies between two others, from 0 to 1; in the middle if they are as good as equal."""
    if high - low <= FLAT * max(abs(low), abs(high)):
        return lambda value: MIDDLE
    if math.isinf(high - low):  # the difference is too great for a number, that of their quarters is not
        return lambda value: (value / 4 - low / 4) / (high / 4 - low / 4)
    return lambda value: (value - low) / (high - low)


def svg(chart: Chart, marks: Sequence[int] = ()) -> str:
    """A chart as an inline SVG picture: the mean as a line, from minimum to maximum as a shade behind it.

    ``marks``: steps at which the value was NaN or infinite; each is a red line from top to bottom.
    """
    count = len(chart.mean)
    if not count:
        return ""
    low, high = float(min(chart.minimum)), float(max(chart.maximum))
    heights = heights_between(low, high)

    def across(index: int) -> float:
        return WIDTH * (index / (count - 1) if count > 1 else 0.5)

    def point(index: int, value: float) -> str:
        return f"{across(index):.1f},{(HEIGHT - 2) * (1 - heights(value)) + 1:.1f}"

    line = " ".join(point(i, float(value)) for i, value in enumerate(chart.mean))
    upper = [point(i, float(value)) for i, value in enumerate(chart.maximum)]
    lower = [point(i, float(value)) for i, value in enumerate(chart.minimum)]
    places = sorted({f"{across(place):.1f}" for place in bucket_of(chart, marks)})
    lines = "".join(f"M{place} 0V{HEIGHT}" for place in places)
    crosses = f'<path d="{lines}" stroke="#d33"/>' if lines else ""
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="from {low:.4g} to {high:.4g}{f", {len(marks)} not finite" if marks else ""}">'
        f'<polygon points="{" ".join([*upper, *reversed(lower)])}" fill="currentColor" opacity="0.15"/>'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.5"/>'
        f"{crosses}</svg>"
    )


def bucket_of(chart: Chart, steps: Sequence[int]) -> list[int]:
    """The bucket of a chart in which each step lies, or after which it comes."""
    places = chart.step_first.searchsorted(list(steps), side="right") - 1
    return [max(int(place), 0) for place in places]


def with_marks(chart: Chart, steps: Sequence[int]) -> tuple[float, ...]:
    """The means of a chart's buckets, NaN where one of ``steps`` lies; steps behind the last bucket are one more."""
    course = chart.mean.tolist()
    if not course:
        return (math.nan,) if steps else ()
    end = int(chart.step_last[-1])
    inside = [step for step in steps if step <= end]
    for place in bucket_of(chart, inside):
        course[place] = math.nan
    return (*course, math.nan) if len(inside) < len(steps) else tuple(course)
