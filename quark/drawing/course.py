"""The course of a metric as columns of a chart: where each stretch of it lies, from its minimum to its maximum."""

from collections.abc import Sequence
from dataclasses import dataclass, field

Column = tuple[float, float]
"""The lowest and the highest value in a column of a chart."""

GAP = 3.0
"""How many times the usual distance between two stretches may be before nothing is drawn between them."""


@dataclass(frozen=True, slots=True)
class Course:
    """Stretches of a metric along an axis, in order.

    Attributes:
        first, last: where each stretch begins and ends.
        low, high: its true minimum and maximum.
        marks: where values were NaN or infinite.
        count: how many values there are, marks not counted.
    """

    first: Sequence[float] = ()
    last: Sequence[float] = ()
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    marks: Sequence[float] = ()
    count: int = 0

    def extent(self) -> tuple[float, float] | None:
        """From where to where it goes, marks included; None if it is empty."""
        places = [*self.first[:1], *(max(self.last) for _ in self.last[:1]), *self.marks]
        return (min(places), max(places)) if places else None

    def bounds(self) -> tuple[float, float] | None:
        """The lowest and the highest value; None if there is none that is finite."""
        return (min(self.low), max(self.high)) if len(self.low) else None


@dataclass(slots=True)
class Placed:
    """A course on ``width`` columns between two places of the axis; None where there is nothing."""

    columns: list[Column | None]
    marks: set[int] = field(default_factory=set)


def placed(course: Course, start: float, end: float, width: int) -> Placed:
    """A course as columns, so that every value lies within its column.

    Between stretches that follow each other a line is drawn; what lies further apart than usual is a gap.
    """
    made: list[Column | None] = [None] * width

    def place(x: float) -> int:
        return min(width - 1, max(0, int((x - start) / (end - start) * (width - 1)))) if end > start else 0

    usual = _usual_distance(course)
    for index in range(len(course.first)):
        here = course.low[index], course.high[index]
        if index and course.first[index] - course.last[index - 1] <= GAP * usual:
            before = course.low[index - 1], course.high[index - 1]
            _join(made, place(course.last[index - 1]), before, place(course.first[index]), here)
        for column in range(place(course.first[index]), place(course.last[index]) + 1):
            _cover(made, column, here)
    return Placed(made, {place(x) for x in course.marks})


def _usual_distance(course: Course) -> float:
    distances = sorted(max(0.0, b - a) for a, b in zip(course.last, course.first[1:], strict=False))
    return distances[len(distances) // 2] if distances else 0.0


def _cover(columns: list[Column | None], at: int, what: Column) -> None:
    held = columns[at]
    columns[at] = what if held is None else (min(held[0], what[0]), max(held[1], what[1]))


def _join(columns: list[Column | None], left: int, before: Column, right: int, after: Column) -> None:
    """A line between two columns; two that touch reach to each other's edge."""
    if before[1] < after[0]:
        start, end = before[1], after[0]
    elif before[0] > after[1]:
        start, end = before[0], after[1]
    else:  # they overlap: between them goes what both have
        start = end = max(before[0], after[0])
    steps = max(1, right - left)
    for column in range(left, right):
        one, two = (_between(start, end, (column - left + part) / steps) for part in (0, 1))
        _cover(columns, column, (min(one, two), max(one, two)))


def _between(start: float, end: float, part: float) -> float:
    """The difference of two values may be too great for a number; the sum of their shares is not, but it is rounded."""
    return min(max(start * (1 - part) + end * part, min(start, end)), max(start, end))
