"""The loss that is expected at its time: it finds the hard batches of a falling loss, and few others."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quark.producers.diagnostics.expected import ExpectedLoss, SortedWindow

from .curves import CURVES, NOISES, STEPS, losses, planted

SEEDS = range(25)


def marked(values: "list[float] | object") -> set[int]:
    """The places of the losses that are judged hard."""
    expected = ExpectedLoss()
    return {
        place
        for place, loss in enumerate(values)  # type: ignore[arg-type]
        if (judged := expected.judge(loss)) is not None and judged.hard
    }


@pytest.mark.parametrize("noise", ["normal", "lognormal"])
def test_hard_batches_of_a_falling_loss_are_found(noise: str) -> None:
    """Of batches with 60 % more loss at least 90 % are found, and of those found at least 95 % are such."""
    right = wrong = missed = 0
    for seed in SEEDS:
        hard = planted(seed)
        found = marked(losses("exponential", noise, seed, hard))
        right, wrong, missed = right + len(found & hard), wrong + len(found - hard), missed + len(hard - found)
    assert right / (right + wrong) >= 0.95
    assert right / (right + missed) >= 0.9


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("curve", CURVES)
def test_a_healthy_run_has_hardly_any(curve: str, noise: str) -> None:
    """At most one batch in 200 of a run without hard ones is called hard, whatever its curve and noise."""
    found = sum(len(marked(losses(curve, noise, seed))) for seed in range(5))
    assert found <= 0.005 * 5 * STEPS


def test_the_thresholds_of_the_whole_run_find_none_of_them() -> None:
    """Why this rule exists: percentile, z-score and fence mark the first steps of a falling loss instead."""
    hard = planted(1)
    values = np.array(list(losses("exponential", "lognormal", 1, hard)))
    low, high = np.quantile(values, (0.25, 0.75))
    thresholds = (np.quantile(values, 0.9), values.mean() + 2.5 * values.std(), high + 1.5 * (high - low))
    assert [len(set(np.flatnonzero(values >= threshold)) & hard) for threshold in thresholds] == [0, 0, 0]


def test_nothing_is_judged_before_enough_is_known() -> None:
    """The first 40 losses only tell what to expect."""
    expected = ExpectedLoss()
    judged = [expected.judge(loss) for loss in losses("flat", "normal", 3)]
    assert [one is None for one in judged] == [True] * 40 + [False] * (STEPS - 40)


def test_the_expected_loss_follows_the_curve() -> None:
    """It is the loss without its noise, to within a tenth, also while the loss falls."""
    expected = ExpectedLoss()
    for step, loss in enumerate(losses("exponential", "lognormal", 5)):
        judged = expected.judge(loss)
        if judged is not None:
            assert judged.expected == pytest.approx(CURVES["exponential"](step), rel=0.15)


def test_losses_that_are_not_positive_are_judged_by_their_differences() -> None:
    """A loss around zero, as reinforcement learning has, has no logarithm: the scale is that of the losses."""
    dice = np.random.default_rng(0)
    values = dice.normal(0.0, 0.1, 500)
    values[400] = 2.0
    assert marked(values.tolist()) == {400}


def test_a_spike_does_not_hide_the_next_one() -> None:
    """Medians do not care how large an outlier is."""
    values = list(losses("flat", "normal", 2))
    for place in (300, 301, 305):
        values[place] *= 1e6
    assert {300, 301, 305} <= marked(values)


def test_a_step_up_for_good_is_hard_only_until_it_is_usual() -> None:
    """After a change of the data the new level is expected within a window."""
    values = [loss * (2.0 if step >= 500 else 1.0) for step, loss in enumerate(losses("flat", "normal", 4))]
    found = marked(values)
    assert {500, 501, 502} <= found
    assert max(found) < 500 + 60


@pytest.mark.parametrize("loss", [5e-324, 1.7e308, -1.7e308, 0.0])
def test_extreme_losses_are_judged_without_a_fault(loss: float) -> None:
    """Any finite loss is taken."""
    expected = ExpectedLoss()
    for _ in range(60):
        expected.judge(loss)
    judged = expected.judge(loss)
    assert judged is not None
    assert not judged.hard
    assert math.isfinite(judged.robust_z)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60), st.integers(1, 20))
def test_a_sorted_window_has_the_median_of_its_last_values(values: list[float], size: int) -> None:
    """Median and spread are those of the last values, whatever came before."""
    window = SortedWindow(size)
    for value in values:
        window.add(value)
    last = values[-size:]
    center = statistics.median(last)
    assert window.median() == center
    assert window.spread(center) == pytest.approx(1.4826 * statistics.median(abs(value - center) for value in last))
    assert len(window) == len(last)
