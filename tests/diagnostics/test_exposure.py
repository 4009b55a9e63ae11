"""Exposure: who was seen how often, exactly for a million ids and closely beyond."""

from typing import Any

import pytest

from quark.producers.diagnostics.exposure import Exposure, SampleCounts
from quark.producers.telemetry import once

from .records import batch


def test_samples_and_classes_are_counted_over_batches() -> None:
    """Every number of the summary, on batches that a reader can count by hand."""
    exposure = Exposure()
    exposure.add(batch(step=3, epoch=0, batch_size=2, sample_ids=("a", "b"), class_counts={"cat": 1, "dog": 1}))
    exposure.add(batch(step=4, epoch=0, batch_size=2, sample_ids=("a", "c"), class_counts={"cat": 2}))
    exposure.add(batch(step=9, epoch=1, batch_size=4, class_counts={"cat": 3, "dog": 1}))
    assert exposure.summary().to_dict() == {
        "batches_seen": 3, "samples_seen": 8, "unique_samples": 3, "repeated_samples": 1, "max_repeats": 2,
        "exact": True, "class_counts": {"cat": 6, "dog": 2}, "class_fractions": {"cat": 0.75, "dog": 0.25},
        "imbalance_ratio": 3.0, "batches_without_ids": 1, "step_start": 3, "step_end": 9, "epoch_start": 0,
        "epoch_end": 1,
    }  # fmt: skip


def test_nothing_seen_is_nothing_claimed() -> None:
    """Without batches, ids or classes the numbers that would need them are null."""
    summary = Exposure().summary()
    assert (summary.batches_seen, summary.unique_samples, summary.repeated_samples, summary.max_repeats) == (
        0, None, None, None,
    )  # fmt: skip
    assert (summary.imbalance_ratio, summary.class_fractions, summary.step_start) == (None, {}, None)


def test_a_class_that_is_listed_but_never_seen_has_no_ratio() -> None:
    """A count of zero is kept and divides nothing."""
    exposure = Exposure()
    exposure.add(batch(class_counts={"cat": 4, "dog": 0}))
    summary = exposure.summary()
    assert (summary.class_counts, summary.imbalance_ratio) == ({"cat": 4, "dog": 0}, 1.0)


def test_a_sample_twice_in_one_batch_was_seen_twice() -> None:
    """Sampling with replacement shows."""
    exposure = Exposure()
    exposure.add(batch(sample_ids=("a", "a", "b")))
    summary = exposure.summary()
    assert (summary.samples_seen, summary.unique_samples, summary.repeated_samples, summary.max_repeats) == (3, 2, 1, 2)


def ids(first: int, stop: int) -> tuple[str, ...]:
    """Ids of a data set's samples."""
    return tuple(f"sample-{number}" for number in range(first, stop))


def test_past_its_limit_the_numbers_are_estimated_and_say_so() -> None:
    """The sketch goes on from the exact counts: unique and repeated ids within 2 %, the most frequent id not lost."""
    pytest.importorskip("datasketches", reason="the sketch is an extra: pip install quark-tracker[sketch]")
    counts = SampleCounts(exact_ids=1000)
    counts.add(ids(0, 1000))
    assert counts.exact
    for _ in range(7):
        counts.add(("sample-3",))
    counts.add(ids(1000, 300_000))
    counts.add(ids(0, 100_000))
    unique, repeated, highest = counts.totals()
    assert not counts.exact
    assert unique == pytest.approx(300_000, rel=0.02)
    assert repeated == pytest.approx(100_000, rel=0.02)
    assert highest >= 8


def test_without_the_sketch_the_count_stays_exact_and_says_what_would_save_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A missing package costs memory and not the truth; the line that installs it is logged once."""
    once.forget()

    def absent(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("quark.producers.diagnostics.exposure.import_module", absent)
    counts = SampleCounts(exact_ids=10)
    counts.add(ids(0, 100))
    counts.add(ids(50, 120))
    assert counts.exact
    assert counts.totals() == (120, 50, 2)
    assert [record.getMessage().count('pip install "quark-tracker[sketch]"') for record in caplog.records] == [1]
