"""A chart of a metric of one or several runs, as lines of text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...drawing.braille import character, masks, scale_between
from ...drawing.course import Course, placed
from ...sinks.wording import duration, plain
from ..metrics import shown
from ..output import SEVERITIES

if TYPE_CHECKING:
    from rich.text import Text

COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "bright_red", "white", "bright_black")
LABEL = 9
MARK = "×"  # noqa: RUF001  as wide as a braille character
ALERT = "▲"
MARK_STYLE = "bold red"
MORE = 3
"""Lines of a chart beside its plot: its name, the axis, and an empty one."""


def chart(
    name: str, courses: Sequence[Course], values: Sequence[str], size: tuple[int, int], *, log: bool = False,
    axis: str = "step", alerts: Sequence[tuple[int, str]] = (),
) -> "list[Text]":  # fmt: skip
    """A metric in ``size`` columns and lines.

    Args:
        courses: one a run, in the order of the colours.
        values: the latest value of each run in words.
        alerts: step and severity of what is marked on the axis.
    """
    from rich.text import Text

    width, height = size
    rows, across = max(1, height - MORE), max(2, width - LABEL - 1)
    lines = [_title(name, values, sum(len(course.marks) for course in courses), width)]
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
    line = left + right.rjust(max(0, across - len(left)))
    lines.append(Text(" " * (LABEL + 1)).append_text(_marked(line, alerts if axis == "step" else (), start, end)))
    return [*lines, *(Text() for _ in range(height - len(lines)))][:height]


def _title(name: str, values: Sequence[str], marks: int, width: int) -> "Text":
    """The name, cut where it leaves no room for the latest values."""
    from rich.text import Text

    rest = Text()
    for index, value in enumerate(values):
        rest.append(f"  {plain(value, 24)}", style=COLOURS[index % len(COLOURS)])
    if marks:
        rest.append(f"  {MARK}{marks}", style=MARK_STYLE)
    title = Text(plain(name, 1000), style="bold")
    title.truncate(max(8, width - rest.cell_len), overflow="ellipsis")
    return title.append_text(rest)


def _marked(line: str, alerts: Sequence[tuple[int, str]], start: float, end: float) -> "Text":
    """The line of the axis, with a sign where each alert begins."""
    from rich.text import Text

    made = list(line)
    signs = {}
    for step, severity in reversed(alerts):  # the gravest comes first, and is drawn last
        if start <= step <= end and line:
            signs[int((step - start) / (end - start) * (len(line) - 1)) if end > start else 0] = severity
    for place in signs:
        made[place] = ALERT
    text = Text("".join(made), style="dim")
    for place, severity in signs.items():
        text.stylize(SEVERITIES.get(severity, ""), place, place + 1)
    return text


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
