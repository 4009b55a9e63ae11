"""Any number of runs side by side: the settings that differ, the last and the best value of every metric."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..analysis.best import BestValue, best_of
from ..core.direction import direction_of
from ..records.grammar import dotted
from .metrics import in_order

if TYPE_CHECKING:
    from .view import RunView


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
