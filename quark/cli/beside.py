"""Runs beside each other for people: the settings that differ, the best and the last values as tables."""

from typing import TYPE_CHECKING, Any

from ..core.direction import direction_of
from ..reading.beside import SideBySide
from .metrics import best_words, shown
from .output import cut, status_text, table, text

if TYPE_CHECKING:
    from rich.console import Console


def print_beside(beside: SideBySide, out: "Console") -> None:
    """The settings that differ, the best and the last values, each as a table with a column a run."""
    names = _heads(beside)
    heads = table("run", *names, flexible=names)
    heads.add_row("status", *(status_text(view.status, view.reason) for view in beside.views))
    out.print(heads)
    print_settings(beside, out)
    print_best(beside, out)
    last = {
        key: [text(shown(key, latest[key][1]) if key in latest else "") for latest in beside.latest]
        for key in beside.keys
    }
    _print(beside, "last", last, out)


def print_settings(beside: SideBySide, out: "Console") -> None:
    """The settings that differ."""
    rows = {path: [cut("" if value is None else value) for value in row] for path, row in beside.settings.items()}
    _print(beside, "setting", rows, out)


def print_best(beside: SideBySide, out: "Console") -> None:
    """The best values with their steps; the best of all is set off."""
    rows = {}
    for key, values in beside.best.items():
        there = [one.value for one in values if one is not None]
        top = (max if direction_of(key) == "max" else min)(there) if there else None
        rows[key] = [
            text("" if one is None else best_words(one), "bold green" if one and one.value == top else "")
            for one in values
        ]
    _print(beside, "best", rows, out)


def _print(beside: SideBySide, title: str, rows: dict[str, list[Any]], out: "Console") -> None:
    if rows:
        heads = _heads(beside)
        made = table(title, *heads, right=() if title == "setting" else heads, flexible=(title, *heads))
        for name, cells in rows.items():
            made.add_row(cut(name, "dim" if name.startswith("system/") else ""), *cells)
        out.print()
        out.print(made)


def _heads(beside: SideBySide) -> tuple[str, ...]:
    """A word for each run: its name, or the start of its id where it has none or shares it."""
    from ..sinks.wording import plain
    from .runs import short

    names = [view.name or "" for view in beside.views]
    return tuple(
        plain(name, 24) if name and names.count(name) == 1 else short(view)
        for name, view in zip(names, beside.views, strict=True)
    )
