"""Any number of runs side by side: the settings that differ, the last and the best value of every metric."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..analysis.best import BestValue, best_of
from ..analysis.direction import direction_of
from ..reading.metrics import in_order
from ..records.grammar import dotted
from .metrics import best_words, shown
from .output import cut, status_text, table, text

if TYPE_CHECKING:
    from rich.console import Console

    from ..reading import RunView


class SideBySide:
    """Runs beside each other; every list of values is in the order of the runs, None where a run has no value."""

    def __init__(self, views: "Sequence[RunView]") -> None:
        self.views = views
        self.latest = [view.latest() for view in views]
        self.keys = in_order({key: None for latest in self.latest for key in latest})
        self.best = {key: self._best(key) for key in self.keys if direction_of(key) is not None}
        settings = [dict(dotted(view.config)) for view in views]
        paths = dict.fromkeys(path for one in settings for path in one)
        rows = {path: [one.get(path) for one in settings] for path in paths}
        self.settings = {
            path: values for path, values in sorted(rows.items())
            if any(path not in one for one in settings) or any(value != values[0] for value in values)
        }  # fmt: skip

    def _best(self, key: str) -> list[BestValue | None]:
        return [
            best_of(view.series(key)) if key in latest else None
            for view, latest in zip(self.views, self.latest, strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """It as JSON values."""
        return {
            "runs": [view.record.to_dict() for view in self.views],
            "config": self.settings,
            "last": {key: [latest[key][1] if key in latest else None for latest in self.latest] for key in self.keys},
            "best": {key: [one and one.to_dict() for one in values] for key, values in self.best.items()},
        }

    def print(self, out: "Console") -> None:
        """The settings that differ, the best and the last values, each as a table with a column a run."""
        heads = table("run", *self._heads(), flexible=self._heads())
        heads.add_row("status", *(status_text(view.status, view.reason) for view in self.views))
        out.print(heads)
        self.print_settings(out)
        self.print_best(out)
        last = {
            key: [text(shown(key, latest[key][1]) if key in latest else "") for latest in self.latest]
            for key in self.keys
        }
        self._print("last", last, out)

    def print_settings(self, out: "Console") -> None:
        """The settings that differ."""
        self._print(
            "setting",
            {path: [cut("" if value is None else value) for value in row] for path, row in self.settings.items()}, out,
        )  # fmt: skip

    def print_best(self, out: "Console") -> None:
        """The best values with their steps; the best of all is set off."""
        rows = {}
        for key, values in self.best.items():
            there = [one.value for one in values if one is not None]
            top = (max if direction_of(key) == "max" else min)(there) if there else None
            rows[key] = [
                text("" if one is None else best_words(one), "bold green" if one and one.value == top else "")
                for one in values
            ]
        self._print("best", rows, out)

    def _print(self, title: str, rows: dict[str, list[Any]], out: "Console") -> None:
        if rows:
            heads = self._heads()
            made = table(title, *heads, right=() if title == "setting" else heads, flexible=(title, *heads))
            for name, cells in rows.items():
                made.add_row(cut(name, "dim" if name.startswith("system/") else ""), *cells)
            out.print()
            out.print(made)

    def _heads(self) -> tuple[str, ...]:
        """A word for each run: its name, or the start of its id where it has none or shares it."""
        from ..sinks.wording import plain
        from .runs import short

        names = [view.name or "" for view in self.views]
        return tuple(
            plain(name, 24) if name and names.count(name) == 1 else short(view)
            for name, view in zip(names, self.views, strict=True)
        )
