"""What MLflow's series hold: the points of a batch with a step each, the epochs, and a summary of every series."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from quark import RecordBatch

from ..mirror import LayerSeries, rank_prefix, series_of
from .names import name_for

Sample = tuple[str, float, int, int]
"""Key, value, timestamp in milliseconds since 1970 UTC, step."""

EPOCH_KEY = "quark/epoch"
MAX_SUMMARIES = 1000
SUMMARY = ("key", "count", "last_step", "last", "min_step", "min", "max_step", "max")
"""The columns of the summary; MLflow itself shows only the last value of a series."""


class Points:
    """Turns batches into samples.

    Args:
        layers: which layers are drawn.
        notes: what has to be remembered from batch to batch, as ``notes()`` told it; JSON values.
        names: the names under which metrics were logged, by key.
    """

    def __init__(self, layers: LayerSeries, notes: Mapping[str, Any], names: Mapping[str, str] | None = None) -> None:
        self.layers = layers
        self.names = names
        self.epochs: dict[str, int] = dict(notes.get("epochs", {}))
        self.renamed: dict[str, str] = dict(notes.get("renamed", {}))
        self.summary: dict[str, list[Any]] = {key: list(row) for key, row in notes.get("summary", {}).items()}
        self._keys: dict[str, str] = {}

    def notes(self) -> dict[str, Any]:
        """What the next batch's points start from."""
        return {"epochs": self.epochs, "renamed": self.renamed, "summary": self.summary}

    def of(self, batch: RecordBatch) -> list[Sample]:
        """The samples of a batch. One that has an epoch and no step stands at its epoch.

        An epoch is a sample of ``quark/epoch`` at the first step that a writer recorded in it.
        """
        made: list[Sample] = []
        prefix, writer = rank_prefix(batch.origin.rank), batch.origin.writer_id
        for key, value, step, epoch, time_ns, _ in series_of(batch, self.layers, nonfinite=True, names=self.names):
            time_ms = time_ns // 1_000_000
            at = step if step is not None else epoch or 0
            made.append((self._key(key), value, time_ms, at))
            self._summarise(key, value, at)
            if epoch is not None and step is not None and self.epochs.get(writer) != epoch:
                self.epochs[writer] = epoch
                made.append((prefix + EPOCH_KEY, float(epoch), time_ms, step))
        return made

    def _key(self, name: str) -> str:
        made = self._keys.get(name)
        if made is None:
            made = self._keys[name] = name_for(name)
            if made != name:
                self.renamed[made] = name
        return made

    def _summarise(self, key: str, value: float, step: int) -> None:
        found = self.summary.get(key)
        if found is None:
            if len(self.summary) < MAX_SUMMARIES:
                value = value if isfinite(value) else None  # type: ignore[assignment]  # JSON has no other word for it
                self.summary[key] = [1, step, value, step, value, step, value]
            return
        found[0] += 1
        if not isfinite(value):
            return
        if step >= found[1] or found[2] is None:
            found[1], found[2] = step, value
        if found[4] is None or value < found[4]:
            found[3], found[4] = step, value
        if found[6] is None or value > found[6]:
            found[5], found[6] = step, value
