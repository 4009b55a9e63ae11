"""A chart of a metric of one or several runs, as lines of text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...drawing.braille import character, masks, scale_between
from ...drawing.course import Course, placed
from ...sinks.wording import duration, plain
from ..metrics import shown

if TYPE_CHECKING:
    from rich.text import Text

COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "bright_red", "white", "bright_black")
LABEL = 9
MARK = "×"  # noqa: RUF001  as wide as a braille character
MARK_STYLE = "bold red"
MORE = 3
"""Lines of a chart beside its plot: its name, the axis, and an empty one."""


def chart(
    name: str, courses: Sequence[Course], values: Sequence[str], size: tuple[int, int], *, log: bool = False,
    axis: str = "step",
) -> "list[Text]":  # fmt: skip
    """A metric in ``size`` columns and lines.

    Args:
        courses: one a run, in the order of the colours.
        values: the latest value of each run in words.
    """
    from rich.text import Text

    width, height = size
    rows, across = max(1, height - MORE), max(2, width - LABEL - 1)
    lines = [_title(name, values, sum(len(course.marks) for course in courses))]
    extents = [extent for course in courses if (extent := course.extent()) is not None]
    if not extents:
        return [*lines, Text("no values yet", style="dim"), *(Text() for _ in range(height - 2))][:height]
    start, end = min(low for low, _ in extents), max(high for _, high in extents)
    bounds = [bound for course in courses if (bound := course.bounds()) is not None]
    low, high = (min(low for low, _ in bounds), max(high for _, high in bounds)) if bounds else (0.0, 0.0)
    plot = _plot(courses, (start, end), (low, high), (across, rows), log)
    for row, cells in enumerate(plot):
        value = high if row == 0 else low if row == rows - 1 else None
        label = "" if value is None or not bounds or (low == high and row) else shown(name, value)
        lines.append(Text.assemble((label[:LABEL].rjust(LABEL), "dim"), " ", cells))
    left, right = _place(start, axis), _place(end, axis) + (" log" if log else "")
    lines.append(Text(" " * (LABEL + 1) + left + right.rjust(max(0, across - len(left))), style="dim"))
    return [*lines, *(Text() for _ in range(height - len(lines)))][:height]


def _title(name: str, values: Sequence[str], marks: int) -> "Text":
    from rich.text import Text

    title = Text(plain(name, 120), style="bold")
    for index, value in enumerate(values):
        title.append(f"  {plain(value, 24)}", style=COLOURS[index % len(COLOURS)])
    if marks:
        title.append(f"  {MARK}{marks}", style=MARK_STYLE)
    return title


def _plot(
    courses: Sequence[Course],
    extent: tuple[float, float],
    bounds: tuple[float, float],
    size: tuple[int, int],
    log: bool,
) -> "list[Text]":
    """The runs over each other: a character has the dots of all of them, and the colour of the one with the most."""
    from rich.text import Text

    across, rows = size
    scale = scale_between(*bounds, log=log)
    placings = [placed(course, *extent, 2 * across) for course in courses]
    layers = [masks(one.columns, rows, scale) for one in placings]
    marked = {column // 2 for one in placings for column in one.marks}
    made = []
    for row in range(rows):
        line = Text()
        for column in range(across):
            cells = [layer[row][column] for layer in layers]
            if row == 0 and column in marked:
                line.append(MARK, style=MARK_STYLE)
                continue
            most = max(range(len(cells)), key=lambda index: cells[index].bit_count())
            together = 0
            for cell in cells:
                together |= cell
            line.append(character(together), style=COLOURS[most % len(COLOURS)])
        made.append(line)
    return made


def _place(value: float, axis: str) -> str:
    return duration(value) if axis == "time" else f"{axis} {value:.0f}"
