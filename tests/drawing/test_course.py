"""Courses of metrics as columns of braille dots: nothing that was recorded is missing, and nothing is invented."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quark.drawing.braille import DOTS, EMPTY, character, masks, scale_between
from quark.drawing.course import Course, placed

finite = st.floats(allow_nan=False, allow_infinity=False)


def course(values: list[float], steps: list[int] | None = None, **more: list[float]) -> Course:
    """Each value a stretch of its own."""
    places = [float(step) for step in (steps or range(len(values)))]
    return Course(places, places, values, values, count=len(values), **more)


def reached(rows: list[list[int]], column: int) -> list[int]:
    """The dots of a column that are set, counted from below."""
    dots = []
    for row, line in enumerate(rows):
        for dot in range(4):
            if line[column // 2] & DOTS[dot][column % 2]:
                dots.append(4 * (len(rows) - 1 - row) + dot)
    return sorted(dots)


@given(
    st.integers(2, 4000),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.floats(25, 60)), min_size=1, max_size=4),
    st.integers(4, 120), st.integers(1, 12), st.booleans(),
)  # fmt: skip
def test_a_spike_of_one_step_is_seen_at_every_width(
    count: int, spikes: list[tuple[float, float]], width: int, rows: int, log: bool
) -> None:
    """Its column reaches as high as the spike, however many steps a column holds; also on a logarithmic axis."""
    values = [1.0 + (step * 7 % 5) / 10 for step in range(count)]
    for place, height in spikes:
        values[int(place * count)] = height
    one = placed(course(values), 0, count - 1, width)
    scale = scale_between(min(values), max(values), log=log)
    drawn = masks(one.columns, rows, scale)
    for step, value in enumerate(values):
        column = int(step / (count - 1) * (width - 1))
        held = one.columns[column]
        assert held is not None and held[0] <= value <= held[1]
        if value > 20:
            assert max(reached(drawn, column)) >= round(scale(value) * (4 * rows - 1))


@given(st.lists(finite, min_size=2, max_size=60), st.integers(1, 60), st.booleans())
def test_no_column_goes_beyond_the_values(values: list[float], width: int, log: bool) -> None:
    """A line between two values stays between them, whatever the axis; each dot is on the chart."""
    one = placed(course(values), 0, len(values) - 1, width)
    low, high = min(values), max(values)
    for column in one.columns:
        assert column is not None and low <= column[0] <= column[1] <= high
    scale = scale_between(low, high, log=log)
    assert all(0 <= scale(value) <= 1 for value in values)
    assert all(reached(masks(one.columns, 3, scale), column) for column in range(width))


def test_where_nothing_was_recorded_nothing_is_drawn() -> None:
    """A gap stays empty; values that come at equal distances are joined by a line, however far apart."""
    steps = [*range(50), *range(80, 100)]
    one = placed(course([1.0] * 70, steps), 0, 99, 100)
    assert [index for index, column in enumerate(one.columns) if column is None] == list(range(50, 80))
    sparse = placed(course([0.0, 1.0, 2.0], [0, 50, 100]), 0, 100, 101)
    assert None not in sparse.columns
    assert sparse.columns[25] == pytest.approx((0.5, 0.52))


def test_values_that_are_not_finite_are_marks_and_widen_the_axis() -> None:
    """They have a place and no height."""
    one = course([1.0, 2.0], marks=[5.0])
    assert one.extent() == (0.0, 5.0) and one.bounds() == (1.0, 2.0)
    assert placed(one, 0, 5, 6).marks == {5}
    only = Course(marks=[3.0])
    assert only.extent() == (3.0, 3.0) and only.bounds() is None
    assert Course().extent() is None


def test_dots_are_those_of_braille() -> None:
    """Two columns, four rows, filled from low to high."""
    full = masks([(0.0, 1.0), (0.0, 1.0)], 1, scale_between(0, 1))
    assert character(full[0][0]) == "⣿"
    assert character(masks([(0.0, 0.0)], 1, scale_between(0, 1))[0][0]) == "⡀"
    assert character(masks([None, (1.0, 1.0)], 1, scale_between(0, 1))[0][0]) == "⠈"
    assert character(0) == " " and ord("⣿") == EMPTY + 255


@pytest.mark.parametrize(("low", "high"), [(1e-8, 1e3), (-5.0, 100.0), (0.0, 1.0), (-3.0, -1.0), (-1e308, 1e308)])
def test_a_scale_goes_from_bottom_to_top_in_order(low: float, high: float) -> None:
    """A logarithmic axis takes zero and negative values too."""
    for log in (False, True):
        scale = scale_between(low, high, log=log)
        places = [scale(value) for value in np.linspace(low / 2, high / 2, 50) * 2]
        assert places == sorted(places)
        assert (scale(low), scale(high)) == pytest.approx((0, 1))
