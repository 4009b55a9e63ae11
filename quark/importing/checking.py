"""Compares an imported run with its source, point by point: position, order, time and every bit of the value."""

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core.reader import RecordFilter
from ..errors import WrongTypeError
from ..producers.naming import key_and_name
from ..producers.wide import MISPLACED
from ..records.foreign import clean_text
from ..records.grammar import to_float
from ..records.naming import NONFINITE
from .recording import is_placed
from .source import Row, SourceRun
from .writing import Imported

if TYPE_CHECKING:
    from ..storage import SqlStore

MOST_SHOWN = 10


@dataclass(slots=True)
class Checked:
    """The result of a comparison: points of the source, points that are equal, and the first differences in words."""

    points: int = 0
    equal: int = 0
    differences: list[str] = field(default_factory=list)

    def differs(self, words: str) -> None:
        """Note a difference; the first ten are kept."""
        if len(self.differences) < MOST_SHOWN:
            self.differences.append(words)


class Column:
    """The points that a metric should have."""

    def __init__(self) -> None:
        self.steps, self.epochs, self.times = array("q"), array("q"), array("q")
        self.values = array("d")

    def add(self, row: Row, value: float, time_ns: int) -> None:
        """Add a point."""
        self.steps.append(-1 if row.step is None else row.step)
        self.epochs.append(-1 if row.epoch is None else row.epoch)
        self.times.append(time_ns)
        self.values.append(value)


def check_run(store: "SqlStore", source: SourceRun, imported: Imported) -> Checked:
    """Read the source again, and the store, and compare every value of the one with the other."""
    finite: dict[str, Column] = {}
    nonfinite: dict[str, Column] = {}
    misplaced: list[tuple[Any, Any]] = []
    for row in source.rows():
        time_ns = imported.started_ns if row.time_ns is None else row.time_ns
        if not is_placed(row):
            misplaced += [(row.step, value) for _, value in _numbers(row)]
            continue
        for name, value in _numbers(row):
            columns = finite if math.isfinite(value) else nonfinite
            key = key_and_name(clean_text(name))[0]
            columns.setdefault(key, Column()).add(row, value, time_ns)
    result = Checked()
    run_id = imported.run_id
    for key in sorted({*finite, *store.keys(run_id)}):
        _compare(result, f"metric {key!r}", finite.get(key, Column()), store.series(run_id, key, all_attempts=True))
    _compare_events(result, store, run_id, nonfinite)
    _compare_misplaced(result, store, run_id, misplaced)
    return result


def _numbers(row: Row) -> Iterator[tuple[str, float]]:
    for name, value in row.values.items():
        if isinstance(value, str):
            continue
        try:
            yield name, to_float(value)
        except WrongTypeError:
            continue


def _compare(result: Checked, what: str, expected: Column, series: Any) -> None:
    import numpy as np

    wanted = (expected.steps, expected.epochs, expected.times, expected.values)
    stored = (series.steps, series.epochs, series.timestamps, series.values)
    result.points += len(expected.values)
    if len(expected.values) != len(series.values):
        result.differs(f"{what}: the source has {len(expected.values):,} points, the store {len(series.values):,}")
    count = min(len(expected.values), len(series.values))
    same = np.ones(count, dtype=bool)
    for ours, theirs in zip(wanted, stored, strict=True):
        left = np.frombuffer(ours, dtype="int64")[:count]  # the values as bits: NaN equals itself, 0.0 is not -0.0
        same &= left == np.ascontiguousarray(theirs).view("int64")[:count]
    result.equal += int(same.sum())
    if not same.all():
        place = int(np.argmin(same))
        pairs = ", ".join(
            f"{name} {ours[place]!r} and {theirs[place].item()!r}"
            for name, ours, theirs in zip(("step", "epoch", "time", "value"), wanted, stored, strict=True)
        )
        result.differs(f"{what}: point {place:,} differs, source and store have {pairs}")


def _compare_events(result: Checked, store: "SqlStore", run_id: str, expected: dict[str, Column]) -> None:
    """Values that are not finite: events in the store."""
    found: dict[str, list[tuple[int, int, str]]] = {}
    for event in _events(store, run_id, NONFINITE):
        at = (-1 if event.step is None else event.step, -1 if event.epoch is None else event.epoch)
        found.setdefault(str(event.payload.get("key")), []).append((*at, str(event.payload.get("value"))))
    for key in sorted({*expected, *found}):
        column = expected.get(key, Column())
        wanted = list(zip(column.steps, column.epochs, map(str, column.values), strict=True))
        result.points += len(wanted)
        result.equal += sum(a == b for a, b in zip(wanted, found.get(key, []), strict=False))
        if wanted != found.get(key, []):
            result.differs(f"metric {key!r}: its values that are not finite differ")


def _compare_misplaced(result: Checked, store: "SqlStore", run_id: str, expected: list[tuple[Any, Any]]) -> None:
    """Values at steps that no series can have: events in the store."""
    found = [
        (event.payload.get("step"), to_float(float(value)))
        for event in _events(store, run_id, MISPLACED)
        for value in event.payload.get("values", {}).values()
        if _is_number(value)
    ]
    wanted = [(step if step is None or math.isfinite(step) else str(step), value) for step, value in expected]
    result.points += len(wanted)
    result.equal += sum(str(a) == str(b) for a, b in zip(wanted, found, strict=False))
    if list(map(str, wanted)) != list(map(str, found)):
        result.differs("the values at negative, decimal or missing steps differ")


def _is_number(value: Any) -> bool:
    return not isinstance(value, str) or value in ("nan", "inf", "-inf")


def _events(store: "SqlStore", run_id: str, event_type: str) -> Iterator[Any]:
    return iter(store.records(run_id, "event", RecordFilter(where={"event_type": event_type})))
