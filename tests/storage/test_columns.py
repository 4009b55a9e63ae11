"""Columns and fragments return exactly what was packed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quark.records.line import Line
from quark.storage import extremes, incoming, points
from quark.storage.columns import (
    ABSENT,
    BLOCK,
    in_order,
    pack_integers,
    pack_optional,
    summarise,
    unpack_integers,
    unpack_optional,
)
from quark.storage.incoming import FEW, pack_points
from quark.storage.points import POINT, pack_fragment, unpack_fragments

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(INT64, min_size=1, max_size=50))
def test_any_integers_return(numbers: list[int]) -> None:
    """Whatever the numbers are, the extremes of 64 bits too, they return."""
    array = np.array(numbers, np.int64)
    assert unpack_integers(pack_integers(array), len(array)).tolist() == numbers


@pytest.mark.parametrize(
    ("numbers", "size"),
    [(range(4096), 17), (range(0, -40960, -10), 17), ([5], 17), ([n * 10 + n % 7 for n in range(1000)], 17 + 999),
     ([n * n for n in range(1000)], 17 + 2 * 999), ([(n * 7919) % 10**6 for n in range(1000)], 17 + 4 * 999)],
)  # fmt: skip
def test_a_stride_costs_nothing_and_small_changes_little(numbers: list[int], size: int) -> None:
    """A constant stride takes no bytes a value, anything else the narrowest width that holds it."""
    packed = pack_integers(np.array(numbers, np.int64))
    assert (len(packed), unpack_integers(packed, len(numbers)).tolist()) == (size, list(numbers))


def test_absent_steps_take_no_room() -> None:
    """A column in which no point has a step is not stored, and returns as ABSENT."""
    assert pack_optional(np.full(5, ABSENT)) is None
    assert unpack_optional(None, 3).tolist() == [ABSENT] * 3
    mixed = np.array([3, ABSENT, 4])
    assert unpack_optional(pack_optional(mixed), 3).tolist() == mixed.tolist()


@given(st.lists(st.tuples(INT64, INT64, INT64, INT64, INT64, st.floats(allow_nan=False)), max_size=3 * FEW))
def test_fragments_return(rows: list[tuple[int, int, int, int, int, float]]) -> None:
    """Few points and many, one fragment after the other, return in order."""
    points = np.array(rows, POINT)
    parts = [points[:5], points[5 : 2 * FEW], points[2 * FEW :]]
    blobs = [pack_fragment(part) for part in parts if len(part)]
    assert unpack_fragments(blobs).tolist() == points.tolist()


def test_summaries() -> None:
    """Every block of points has its count, minimum, maximum, sum, last value and steps."""
    steps = np.arange(BLOCK + 3) * 2
    values = np.sin(steps.astype(float))
    whole, rest = summarise(steps, values)
    assert whole["count"] == BLOCK and rest["count"] == 3
    assert (whole["minimum"], whole["maximum"]) == (values[:BLOCK].min(), values[:BLOCK].max())
    assert (rest["last"], rest["step_first"], rest["step_last"]) == (values[-1], 2 * BLOCK, 2 * BLOCK + 4)
    assert rest["total"] == pytest.approx(values[BLOCK:].sum())


@pytest.mark.parametrize(
    ("steps", "expected"), [([0, 0, 1], True), ([1, 0], False), ([-1, 0], False), ([0, -1], False), ([7], True)]
)
def test_order(steps: list[int], expected: bool) -> None:
    """Steps are in order if each point has one and none is below the one before."""
    assert in_order(np.array(steps)) is expected


NEAR = st.integers(-3, 6)


@given(st.lists(st.tuples(NEAR, NEAR | st.none(), NEAR | st.none()), min_size=1, max_size=5), NEAR, NEAR)
def test_few_points_are_judged_as_many_are(told: list, first: int, stop: int) -> None:
    """Whether lines may be stored as they came does not depend on how many there are."""
    lines = [Line("metric", number, 0, step, epoch, "loss", 0.5) for number, step, epoch in told]
    packed = pack_points(lines, lambda key: 1)
    assert incoming.are_sound(lines, first, stop) == points.are_sound(packed, first, stop)
    assert incoming.count_of(packed) == len(lines)
    assert incoming.ends_of(packed) == (lines[0].sequence, lines[-1].sequence)


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(-1, 5), st.sampled_from([0.5, 1.0, -2.0, 1e300])),
        min_size=1,
        max_size=9,
    )
)
def test_few_points_have_the_extremes_that_many_have(told: list) -> None:
    """Least, greatest and last values of few points are those that NumPy finds: of equal ones the first."""
    lines = [Line("metric", 0, 0, step, None, str(series), value) for series, step, value in told]
    packed = pack_points(lines, int)
    assert extremes._rows_of_few(packed) == extremes._rows_of_many(packed)
