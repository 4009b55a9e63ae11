"""Values that were NaN or infinite, as points beside the finite ones of their metric."""

from collections.abc import Sequence
from typing import Any

from ..records.event import EventRecord
from ..records.naming import NONFINITE
from .reader import SERIES_COLUMNS, RecordFilter, RecordReader, Series


def nonfinite_events(reader: RecordReader, run_id: str) -> dict[str, list[EventRecord]]:
    """The events that hold the values which were NaN or infinite, by metric key."""
    found: dict[str, list[EventRecord]] = {}
    for event in reader.records(run_id, "event", RecordFilter(where={"event_type": NONFINITE})):
        payload = event.payload if isinstance(event, EventRecord) else {}
        if isinstance(event, EventRecord) and payload.get("value") in ("nan", "inf", "-inf"):
            found.setdefault(str(payload.get("key")), []).append(event)
    return found


def nonfinite_of(series: Series, events: Sequence[EventRecord], all_attempts: bool) -> Series:
    """The points that such events of a metric hold, in the order of recording.

    A step that a later attempt reached with a finite value is left out unless ``all_attempts``.
    """
    import numpy as np

    def column(values: list[Any], kind: str) -> Any:
        return np.array(values, dtype=kind)

    made = Series(
        series.key,
        column([-1 if event.step is None else event.step for event in events], "int64"),
        column([-1 if event.epoch is None else event.epoch for event in events], "int64"),
        column([float(event.payload["value"]) for event in events], "float64"),
        column([event.time_ns for event in events], "int64"),
        column([event.sequence for event in events], "int64"),
        column([event.origin.attempt for event in events], "int32"),
        column([event.origin.rank for event in events], "int32"),
    )
    return made if all_attempts or not len(made) else _without_replaced(made, series)


def _without_replaced(made: Series, series: Series) -> Series:
    import numpy as np

    attempts = np.concatenate([series.attempts, made.attempts])
    if attempts.min() == attempts.max():
        return made
    latest: dict[int, int] = {}
    for one in (series, made):
        for step, attempt in zip(one.steps.tolist(), one.attempts.tolist(), strict=True):
            latest[step] = max(attempt, latest.get(step, 0))
    pairs = zip(made.steps.tolist(), made.attempts.tolist(), strict=True)
    keep = np.array([step < 0 or attempt == latest[step] for step, attempt in pairs], dtype=bool)
    return Series(made.key, *(getattr(made, name)[keep] for name in SERIES_COLUMNS))
