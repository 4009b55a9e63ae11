"""The rules of hard batches, each alone, and how findings are ranked."""

import random

import pytest

from quark import DataDiagnosticsConfig
from quark.producers.diagnostics.hard import LossStream, Mark

from .curves import losses, planted
from .records import batch


def marks(values: list[float], *, lengths: list[int] | None = None, **config: float) -> dict[int, Mark]:
    """The marks of these losses, by place."""
    stream = LossStream(DataDiagnosticsConfig(**config))  # type: ignore[arg-type]
    for place, loss in enumerate(values):
        own = () if lengths is None else (1, lengths[place])
        stream.add(batch(loss, step=place, sequence_lengths=own))
    return {mark.place: mark for mark in stream.marks()}


def places(found: dict[int, Mark], reason: str) -> set[int]:
    """Where a rule was broken."""
    return {place for place, mark in found.items() if reason in mark.reasons}


def test_the_percentile_rule_takes_the_highest_share() -> None:
    """From the 90th percentile on, whatever the losses are: a tenth of them."""
    assert places(marks([float(value) for value in range(100)]), "high_loss_percentile") == set(range(90, 100))
    assert places(marks([float(value) for value in range(100)], hard_batch_percentile=0.5), "high_loss_percentile") == (
        set(range(50, 100))
    )


def test_equal_losses_are_not_hard() -> None:
    """Where all losses are the quantile none of them stands out."""
    assert marks([0.7] * 50) == {}


def test_the_percentile_of_a_finding_is_its_place_among_the_losses() -> None:
    """The highest of all has 1, and the middle one about a half."""
    found = marks([float(value) for value in range(1, 11)])
    assert found[9].percentile == 1.0


@pytest.mark.parametrize(("count", "fires"), [(5, False), (7, False), (8, True)])
def test_the_z_rule_needs_eight_batches(count: int, fires: bool) -> None:
    """The largest z-score among n values is sqrt(n - 1): at the documented minimum of 5 batches it is 2, below 2.5."""
    assert places(marks([1.0] * (count - 1) + [100.0]), "loss_z") == ({count - 1} if fires else set())


def test_outliers_are_looked_for_from_the_minimum_on() -> None:
    """Below min_batches_for_outlier_detection there is no fence, from there on there is."""
    values = [1.0, 1.1, 0.9, 1.05, 9.0]
    assert places(marks(values), "loss_iqr") == {4}
    assert places(marks(values, min_batches_for_outlier_detection=6), "loss_iqr") == set()


def test_the_fence_is_the_upper_quartile_and_some_ranges() -> None:
    """Tukey's fence with the configured multiplier; low losses are no outliers."""
    values = [float(value) for value in range(20)] + [-100.0]
    assert places(marks(values), "loss_iqr") == set()
    assert places(marks(values, outlier_iqr_multiplier=0.1), "loss_iqr") == {16, 17, 18, 19}


def test_long_sequences_are_a_reason_of_their_own() -> None:
    """The longest sequence of each batch is compared over the batches, and needs no high loss."""
    dice = random.Random(0)
    lengths = [100 + dice.randrange(20) for _ in range(50)]
    lengths[20] = 900
    found = marks([1.0] * 50, lengths=lengths)
    assert found[20].reasons == ("sequence_length_z", "sequence_length_iqr")


def test_batches_without_lengths_are_left_out_of_the_lengths() -> None:
    """No length is not length 0."""
    stream = LossStream(DataDiagnosticsConfig())
    for place in range(40):
        own = (100 + place % 3,) if place % 2 else ()
        stream.add(batch(1.0, sequence_lengths=own))
    assert stream.marks() == []


def test_findings_are_ranked_by_what_was_expected() -> None:
    """The planted batches of a falling loss come before its first steps, which only have the highest losses."""
    hard = planted(7)
    stream = LossStream(DataDiagnosticsConfig())
    for step, loss in enumerate(losses("exponential", "lognormal", 7, hard)):
        stream.add(batch(loss, step=step))
    top = stream.marks(limit=15)
    assert {mark.place for mark in top} <= hard
    assert [mark.robust_z for mark in top] == sorted((mark.robust_z or 0.0 for mark in top), reverse=True)
    assert all(mark.expected_loss is not None and mark.expected_loss < mark.loss for mark in top)


def test_each_rank_has_expectations_of_its_own() -> None:
    """The early losses of a rank that the store received after the late ones of another are not hard."""
    stream = LossStream(DataDiagnosticsConfig())
    for rank in range(2):
        for step, loss in enumerate(losses("exponential", "lognormal", rank)):
            stream.add(batch(loss, rank=rank, step=step))
    assert len([mark for mark in stream.marks() if "loss_residual" in mark.reasons]) <= 10


def test_what_is_outside_the_range_tells_what_to_expect_and_nothing_else() -> None:
    """Places count all batches; losses, percentiles and findings those of the range."""
    hard = planted(9)
    stream = LossStream(DataDiagnosticsConfig())
    for step, loss in enumerate(losses("exponential", "lognormal", 9, hard)):
        stream.add(batch(loss, step=step), counted=step >= 700)
    summary = stream.summary()
    assert summary is not None
    assert summary.count == 300
    residual = {mark.place for mark in stream.marks() if "loss_residual" in mark.reasons}
    assert {step for step in hard if step >= 700} <= residual


def test_a_summary_is_that_of_the_losses() -> None:
    """Count, extremes, moments and quantiles of five known losses."""
    stream = LossStream(DataDiagnosticsConfig(hard_batch_percentile=0.5))
    assert stream.summary() is None
    for loss in (3.0, 1.0, 2.0, 5.0, 4.0):
        stream.add(batch(loss))
    summary = stream.summary()
    assert summary is not None
    assert summary.to_dict() == {
        "count": 5, "first": 3.0, "last": 4.0, "min": 1.0, "max": 5.0, "mean": 3.0, "std": pytest.approx(2**0.5),
        "median": 3.0, "hard_batch_threshold": 3.0,
    }  # fmt: skip


def test_losses_near_the_largest_number_are_no_fault() -> None:
    """A run that diverged to the end of the range can still be summarized."""
    stream = LossStream(DataDiagnosticsConfig())
    for loss in [1.0] * 20 + [1.7e308] * 3:
        stream.add(batch(loss))
    assert stream.summary() is not None
    assert stream.marks() != []
