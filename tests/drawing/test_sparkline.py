"""Courses of metrics as blocks and as small pictures."""

import numpy as np

from quark.core.reader import Chart
from quark.drawing.sparkline import blocks, svg


def chart_of(values: list[float]) -> Chart:
    """A chart with one point a bucket."""
    made = np.array(values, dtype=float)
    steps = np.arange(len(made))
    return Chart("train/loss", steps, steps, np.ones(len(made), dtype=int), made - 0.1, made + 0.1, made, made)


def test_blocks_go_from_the_lowest_to_the_highest() -> None:
    """The least value is the lowest block, the greatest the highest."""
    assert blocks([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"


def test_a_constant_is_a_line_and_nothing_is_nothing() -> None:
    """No division by the missing span."""
    assert blocks([0.5, 0.5, 0.5]) == "▄▄▄"
    assert blocks([]) == ""


def test_a_picture_has_the_line_and_its_band() -> None:
    """The drawing holds a point per bucket, and says its range to those who cannot see it."""
    picture = svg(chart_of([1.0, 0.5, 0.25]))
    assert picture.count("<polyline") == picture.count("<polygon") == 1
    assert 'aria-label="from 0.15 to 1.1"' in picture
    assert svg(chart_of([])) == ""


def test_one_point_can_be_drawn() -> None:
    """A series that has just begun is drawn too."""
    assert "60.0," in svg(chart_of([1.0]))
