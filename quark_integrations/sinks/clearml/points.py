"""What a batch becomes in ClearML's scalars and console: points with a title, a series and an iteration."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

import msgspec

from quark import AlertRecord, EventRecord, PhaseRecord, Record, RecordBatch

from ..mirror import LayerSeries, rank_prefix, series_of
from .twin import Event

EPOCH_KEY = "quark/epoch"
NONFINITE = "quark/nonfinite"
MAX_TEXT = 4000
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "critical": "critical"}


class Points:
    """Turns batches into events of one task.

    Args:
        task_id: the task.
        layers: which layers are drawn.
        notes: what has to be remembered from batch to batch, as ``notes()`` told it; JSON values.
        names: the names under which metrics were logged, by key.
    """

    def __init__(
        self, task_id: str, layers: LayerSeries, notes: Mapping[str, Any], names: Mapping[str, str] | None = None
    ) -> None:
        self.task_id = task_id
        self.layers = layers
        self.names = names
        self.epochs: dict[str, int] = dict(notes.get("epochs", {}))
        self.nonfinite: dict[str, int] = dict(notes.get("nonfinite", {}))

    def notes(self) -> dict[str, Any]:
        """What the next batch's points start from."""
        return {"epochs": self.epochs, "nonfinite": self.nonfinite}

    def of(self, batch: RecordBatch) -> list[Event]:
        """The scalars of a batch. A point that has an epoch and no step stands at its epoch.

        An epoch is a point of ``quark/epoch`` at the first step that a writer recorded in it. A value that is not
        finite is no point of its series, for ClearML would draw it as 0: it counts in ``quark/nonfinite`` instead.
        """
        made: list[Event] = []
        prefix, writer = rank_prefix(batch.origin.rank), batch.origin.writer_id
        for key, value, step, epoch, time_ns, _ in series_of(batch, self.layers, nonfinite=True, names=self.names):
            time_ms = time_ns // 1_000_000
            at = step if step is not None else epoch or 0
            if isfinite(value):
                made.append(self._scalar(*split(key), at, value, time_ms))
            else:
                count = self.nonfinite[key] = self.nonfinite.get(key, 0) + 1
                made.append(self._scalar(NONFINITE, key, at, count, time_ms))
            if epoch is not None and step is not None and self.epochs.get(writer) != epoch:
                self.epochs[writer] = epoch
                made.append(self._scalar(*split(prefix + EPOCH_KEY), step, epoch, time_ms))
        return made

    def lines(self, batch: RecordBatch) -> list[Event]:
        """Lines of the console: every event, alert and phase of a batch."""
        prefix = rank_prefix(batch.origin.rank)
        return [
            {
                "timestamp": record.time_ns // 1_000_000, "type": "log", "task": self.task_id,
                "level": LEVELS.get(getattr(record, "severity", "info"), "info"), "worker": "quark",
                "msg": f"{prefix}{said}"[:MAX_TEXT],
            }
            for record in batch.records()
            if (said := _said(record)) is not None
        ]  # fmt: skip

    def _scalar(self, title: str, series: str, at: int, value: float, time_ms: int) -> Event:
        return {
            "timestamp": time_ms, "type": "training_stats_scalar", "task": self.task_id, "iter": at, "metric": title,
            "variant": series, "value": value,
        }  # fmt: skip


def split(key: str) -> tuple[str, str]:
    """Title and series of a key: the last part is the series; a key of one part is both."""
    title, found, series = key.rpartition("/")
    return (title, series) if found and title and series else (key, key)


def _said(record: Record) -> str | None:
    if isinstance(record, EventRecord):
        payload = f" {msgspec.json.encode(record.payload).decode()}" if record.payload else ""
        return f"{_at(record)}{record.severity}: {record.event_type}{payload}"
    if isinstance(record, AlertRecord):
        return f"{_at(record)}ALERT {record.severity}: {record.title}. {record.summary}"
    if isinstance(record, PhaseRecord):
        return f"steps {record.step_start} to {record.step_end}: {record.display_name}. {record.summary}"
    return None


def _at(record: Any) -> str:
    return "" if record.step is None else f"step {record.step}: "
