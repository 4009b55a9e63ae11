"""The whole screen as lines of text that fit it exactly, whatever its size."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ...reading.course import AXES
from ...sinks.wording import plain
from ..metrics import shown
from . import panes
from .charts import LABEL, chart
from .heat import heat_lines
from .state import HEATS, HELP, PANES

if TYPE_CHECKING:
    from rich.text import Text

    from .data import Watched
    from .state import State

MOST_CHARTS = 12
CHART_WIDTH = 44
"""Columns of a chart, where their number is not chosen."""

CHART_LINES = 8
LEAST_CHART_LINES = 5
PANE_LINES = 8


def frame(watched: "Watched", state: "State", size: tuple[int, int], *, live: bool = True) -> "list[Text]":
    """The screen in ``size`` columns and lines; without ``live`` the line with the keys is left out."""
    width, height = size
    lines = panes.head(watched.snapshots)
    machine = list(panes.machine_pane(watched.snapshots))
    foot = [machine[0]] if machine and PANES[state.pane] != "machine" else []
    foot += [_status(watched, state)] if live or watched.error else []
    left = max(0, height - len(lines) - len(foot))
    pane = _pane(watched, state, min(PANE_LINES if state.alert is None else 2 * PANE_LINES, left // 3))
    lines += _middle(watched, state, (width, left - len(pane)))
    return [_fitted(line, width) for line in (lines + pane + foot)[:height]]


def _middle(watched: "Watched", state: "State", size: tuple[int, int]) -> "list[Text]":
    """The charts, or the heat map; exactly as many lines as there are."""
    from rich.text import Text

    made = (
        heat_lines(watched.heat(HEATS[state.heat]), size) if state.heat and size[1] else _charts(watched, state, size)
    )
    return [*made, *(Text() for _ in range(size[1] - len(made)))][: size[1]]


def _charts(watched: "Watched", state: "State", size: tuple[int, int]) -> "list[Text]":
    from rich.text import Text

    width, height = size
    keys = state.matching(watched.keys)
    if not keys:
        return [Text("no metric matches" if watched.keys else "no metrics yet", style="dim")]
    columns = state.columns or max(1, min(len(keys), width // CHART_WIDTH))
    columns = max(1, min(columns, width // (LABEL + 4)))
    rows = max(1, min(height // LEAST_CHART_LINES, -(-len(keys) // columns), MOST_CHARTS // columns))
    each = min(height // rows, 3 * CHART_LINES) if rows else height
    pages = -(-len(keys) // (rows * columns))
    state.page = min(state.page, pages - 1)
    visible = keys[state.page * rows * columns :][: rows * columns]
    cell = width // columns
    lines: list[Text] = []
    for start in range(0, len(visible), columns):
        cells = [_chart(watched, key, state, (cell - 1, each)) for key in visible[start : start + columns]]
        lines += [_beside(row, cell) for row in zip(*cells, strict=True)]
    return lines


def _chart(watched: "Watched", key: str, state: "State", size: tuple[int, int]) -> "list[Text]":
    axis = AXES[state.axis]
    courses = watched.courses(key, 2 * max(2, size[0] - LABEL - 1), axis)
    latest = [one.latest.get(key) for one in watched.snapshots]
    values = ["-" if point is None else shown(key, point[1]) for point in latest]
    if axis == "step" and all(point is None or point[0] is None for point in latest):
        axis = "epoch"  # what has no step lies at its epoch
    begun = [(one.step_start, one.severity) for one in panes.alerts(watched.snapshots) if one.step_start is not None]
    return chart(key, courses, values, size, log=state.log, axis=axis, alerts=begun)


def _beside(row: "Sequence[Text]", width: int) -> "Text":
    from rich.text import Text

    line = Text()
    for cell in row:
        line.append_text(_fitted(cell, width, pad=True))
    return line


def _pane(watched: "Watched", state: "State", height: int) -> "list[Text]":
    """The alerts at the top and printed lines below; or one of them alone, or the machine."""
    if height <= 0:
        return []
    shown_alerts = list(panes.alert_pane(watched.snapshots, state))
    if PANES[state.pane] == "machine":
        return list(panes.machine_pane(watched.snapshots))[:height]
    log = list(panes.log_pane(watched.snapshots))
    if PANES[state.pane] == "log":
        return log[-height:]
    if state.alert is None and len(shown_alerts) > 1:
        shown_alerts = shown_alerts[: max(2, height // 2)]
    elif state.alert is None:
        shown_alerts = []
    room = height - len(shown_alerts)
    return [*shown_alerts[:height], *(log[-room:] if room > 0 else [])]


def _status(watched: "Watched", state: "State") -> "Text":
    """The line at the bottom: what cannot be read, the filter that is being typed, or the keys."""
    from rich.text import Text

    if watched.error:
        return Text(f"cannot be read: {plain(watched.error)}", style="bold red")
    if state.typing is not None:
        line = Text(f"/{plain(state.typing, 200)}", style="bold")
        line.append("▏", style="blink")
        return line.append(f"  {plain(state.error)}", style="red") if state.error else line
    chosen = [f"filter /{plain(state.filter, 60)}"] if state.filter else []
    return Text("  ".join([*chosen, HELP]), style="dim")


def _fitted(line: "Text", width: int, *, pad: bool = False) -> "Text":
    made = line.copy()
    made.truncate(max(0, width), overflow="ellipsis", pad=pad)
    return made


def plain_lines(lines: "Iterable[Text]") -> "list[Text]":
    """The lines without empty ones at the end."""
    made = list(lines)
    while made and not made[-1].plain.strip():
        made.pop()
    return made
