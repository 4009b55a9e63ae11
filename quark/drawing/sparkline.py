"""A metric at a glance: a line of block characters for terminals, a small drawing for notebooks."""

import math
from collections.abc import Sequence

from ..core.reader import Chart

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH, HEIGHT = 120, 24


def blocks(values: Sequence[float]) -> str:
    """The values as blocks from the lowest to the highest; a constant lies in the middle, nothing is empty text."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    if high == low:
        return BLOCKS[3] * len(finite)
    return "".join(BLOCKS[round((value - low) / (high - low) * (len(BLOCKS) - 1))] for value in finite)


def svg(chart: Chart) -> str:
    """A chart as an inline SVG picture: the mean as a line, from minimum to maximum as a shade behind it."""
    count = len(chart.mean)
    if not count:
        return ""
    low, high = float(min(chart.minimum)), float(max(chart.maximum))
    span = high - low or 1.0

    def point(index: int, value: float) -> str:
        x = WIDTH * (index / (count - 1) if count > 1 else 0.5)
        return f"{x:.1f},{(HEIGHT - 2) * (1 - (value - low) / span) + 1:.1f}"

    line = " ".join(point(i, float(value)) for i, value in enumerate(chart.mean))
    upper = [point(i, float(value)) for i, value in enumerate(chart.maximum)]
    lower = [point(i, float(value)) for i, value in enumerate(chart.minimum)]
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="from {low:.4g} to {high:.4g}">'
        f'<polygon points="{" ".join([*upper, *reversed(lower)])}" fill="currentColor" opacity="0.15"/>'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>'
    )
