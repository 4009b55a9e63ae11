"""Courses of metrics as blocks and as small pictures."""

from pathlib import Path

import numpy as np
import pytest

import quark
from quark.core.reader import Chart
from quark.drawing.sparkline import blocks, svg, with_marks


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


@pytest.mark.parametrize("value", [0.1, 0.3, 1e-4, 3.14159, -0.7, 1e300, 1e-310, 0.0])
@pytest.mark.parametrize("count", [50, 100, 997])
def test_a_constant_is_drawn_as_one_whatever_its_rounding(value: float, count: int, tmp_path: Path) -> None:
    """A sum of equal values is rounded: their mean was another number in every other bucket, and the line a zigzag."""
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        for step in range(count):
            run.log({"lr": value}, step=step)
    with quark.open(tmp_path) as store:
        for buckets in (12, 20, 60):
            chart = store.run(run.run_id).chart("lr", buckets=buckets)
            assert set(chart.mean.tolist()) == {value}
            assert set(blocks(chart.mean.tolist())) == {"▄"}


def test_what_nobody_can_read_is_not_drawn() -> None:
    """Values that agree in nine digits are a line; extremes whose difference is no number are drawn all the same."""
    assert blocks([0.1, 0.1 + 2e-17, 0.30000000000000004 - 0.2]) == "▄▄▄"
    assert blocks([1e308, -1e308, 0.0]) == "█▁▅"
    assert blocks([5e-324, 0.0]) == "█▁"


def test_values_that_are_not_finite_are_marked() -> None:
    """A cross among the blocks, a line in the picture: at their place, also behind the last finite point."""
    chart = chart_of([1.0, 2.0, 3.0])
    assert blocks(with_marks(chart, [1])) == "▁×█"
    assert blocks(with_marks(chart, [7, 9])) == "▁▅█×"
    assert blocks(with_marks(chart_of([]), [0])) == "×"
    picture = svg(chart, [1, 1, 9])
    assert picture.count("V24") == 2 and "3 not finite" in picture
