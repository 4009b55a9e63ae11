"""Counts the samples and classes that a training has seen: exactly up to a million sample ids, then by a sketch."""

import math
from collections import Counter
from importlib import import_module
from typing import Any

from ...records.batch import BatchDiagnosticRecord
from ..telemetry.once import warn_once
from .results import ExposureSummary

EXACT_IDS = 1_000_000
SKETCH_LOG2_SIZE = 16
"""65,536 ids are kept by the sketch: a standard error of 0.4 %, and some 10 MB."""


class SampleCounts:
    """How often each sample id was seen.

    Past ``exact_ids`` different ids they move into a tuple sketch of Apache DataSketches: it keeps those ids whose hash
    lies below a threshold that falls as more come, each with its full count. Without that package they go on being
    counted in memory, about 150 MB for a million.
    """

    def __init__(self, exact_ids: int = EXACT_IDS) -> None:
        self._limit: float = exact_ids
        self._counts: Counter[str] = Counter()
        self._sketch: Any = None
        self._highest = 0

    @property
    def exact(self) -> bool:
        """Whether every id was counted."""
        return self._sketch is None

    def add(self, ids: tuple[str, ...]) -> None:
        """Count each id once more."""
        if self._sketch is not None:
            for sample_id in ids:
                self._sketch.update(sample_id, 1)
            return
        self._counts.update(ids)
        if len(self._counts) > self._limit:
            self._sketch = _new_sketch()
            if self._sketch is None:
                self._limit = math.inf
                return
            self._highest = max(self._counts.values())
            for sample_id, count in self._counts.items():
                self._sketch.update(sample_id, count)
            self._counts.clear()

    def totals(self) -> tuple[int, int, int]:
        """Different ids, ids seen more than once, and how often the most frequent one was seen."""
        if self._sketch is None:
            counts = self._counts.values()
            return len(counts), sum(count > 1 for count in counts), max(counts, default=0)
        kept = [count for _, count in self._sketch]
        share = self._sketch.theta
        repeated = sum(count > 1 for count in kept)
        return round(self._sketch.get_estimate()), round(repeated / share), round(max([self._highest, *kept]))


def _new_sketch() -> Any:
    try:
        datasketches = import_module("datasketches")
    except ImportError as error:
        warn_once(
            "sample sketch", f"more than a million sample ids are counted in memory, as the package datasketches could "
            f'not be imported ({error}); install it with: pip install "quark-tracker[sketch]"',
        )  # fmt: skip
        return None
    return datasketches.update_tuple_sketch(datasketches.AccumulatorPolicy(), SKETCH_LOG2_SIZE)


class Bounds:
    """The lowest and highest of some indices."""

    def __init__(self) -> None:
        self.first: int | None = None
        self.last: int | None = None

    def add(self, index: int | None) -> None:
        """Take an index in; None is none."""
        if index is not None:
            self.first = index if self.first is None else min(self.first, index)
            self.last = index if self.last is None else max(self.last, index)


class Exposure:
    """Adds up batches, one after the other, in memory that does not grow with their number."""

    def __init__(self, exact_ids: int = EXACT_IDS) -> None:
        self._samples = SampleCounts(exact_ids)
        self._classes: Counter[str] = Counter()
        self._batches = self._seen = self._without_ids = 0
        self._steps, self._epochs = Bounds(), Bounds()

    def add(self, record: BatchDiagnosticRecord) -> None:
        """Count a batch."""
        self._batches += 1
        self._seen += samples_of(record)
        self._classes.update(record.class_counts)
        self._steps.add(record.step)
        self._epochs.add(record.epoch)
        if record.sample_ids:
            self._samples.add(record.sample_ids)
        else:
            self._without_ids += 1

    def summary(self) -> ExposureSummary:
        """What was seen so far."""
        known = self._batches > self._without_ids
        unique, repeated, highest = self._samples.totals() if known else (None, None, None)
        classes = dict(self._classes.most_common())
        total = sum(classes.values())
        present = [count for count in classes.values() if count]
        return ExposureSummary(
            batches_seen=self._batches, samples_seen=self._seen, unique_samples=unique, repeated_samples=repeated,
            max_repeats=highest, exact=self._samples.exact, class_counts=classes,
            class_fractions={label: count / total for label, count in classes.items()} if total else {},
            imbalance_ratio=max(present) / min(present) if present else None, batches_without_ids=self._without_ids,
            step_start=self._steps.first, step_end=self._steps.last, epoch_start=self._epochs.first,
            epoch_end=self._epochs.last,
        )  # fmt: skip


def samples_of(record: BatchDiagnosticRecord) -> int:
    """The number of samples of a batch: as given, or by its ids, or by its classes."""
    if record.batch_size is not None:
        return record.batch_size
    return len(record.sample_ids) or sum(record.class_counts.values())
