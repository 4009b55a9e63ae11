"""Losses that stand low or fall little: a rise counts by what had been gained, not as a multiple of the loss."""

import math
import random
from collections.abc import Iterable

import pytest

from quark.testing import MemoryRunHandle

from .runs import alerts, analyzed, losses

Curve = list[float]


def noisy(values: Iterable[float], noise: float, seed: int = 1) -> Curve:
    """Values with noise in proportion."""
    rng = random.Random(seed)
    return [value * math.exp(rng.gauss(0.0, noise)) for value in values]


def language_model(then: float) -> Curve:
    """From 4.6 to 2.6 as language models do, and from step 350 on at another loss for good."""
    return noisy([2.6 + 2.0 * math.exp(-step / 60) if step < 350 else then for step in range(700)], 0.02)


def found(curve: Curve, **others: list[float]) -> dict[str, str]:
    """The severities of the alerts by rule, without mere information."""
    run = MemoryRunHandle()
    for step, value in enumerate(curve):
        run.log_values({"train/loss": value, **{key: series[step] for key, series in others.items()}}, step=step)
    return {rule: alert.severity for rule, alert in alerts(run).items() if alert.severity != "info"}


@pytest.mark.parametrize(("then", "severity"), [(3.6, "warning"), (4.4, "error"), (4.9, "error"), (5.3, "error")])
def test_half_of_what_a_language_model_had_learned_is_lost(then: float, severity: str) -> None:
    """From 2.6 to 3.6 is no doubling, and half of the way back to the beginning."""
    severities = found(language_model(then))
    assert severity in severities.values()
    assert severities.keys() <= {"loss_spike", "lr_too_high"}


def test_a_slow_rise_is_told_as_well() -> None:
    """No jump is needed: the mean of the loss climbs over hundreds of steps."""
    falling = [2.6 + 2.0 * math.exp(-step / 60) for step in range(350)]
    rising = [2.6 + 1.8 * min(1.0, step / 300) for step in range(500)]
    assert found(noisy([*falling, *rising], 0.02)).keys() == {"lr_too_high"}


def test_alerts_by_the_loss_say_how_much_is_lost() -> None:
    """The number is the one that explains the alert."""
    run = MemoryRunHandle()
    losses(run, language_model(4.4))
    told = alerts(run)["lr_too_high"]
    assert "of what it had fallen is lost" in told.fact
    assert told.step_start is not None and 350 <= told.step_start < 380


@pytest.mark.parametrize(
    "curve",
    [
        noisy([2.6 + 2.0 * math.exp(-step / 60) + 0.4 * (step >= 350) for step in range(700)], 0.02),
        noisy([0.15 + 2.0 * math.exp(-step / 60) if step < 300 else 0.5 * math.exp((300 - step) / 400)
               for step in range(600)], 0.06),
        noisy([2.17 + 0.26 * math.exp(-step / 20) for step in range(300)], 0.03),
        noisy([0.9 + 0.1 * math.exp(-step / 20) for step in range(400)], 0.08),
        noisy([2.3 * math.exp(-step / 100) + 0.1 * (1 + math.sin(step / 15)) + 0.3 for step in range(600)], 0.04),
    ],
    ids=["a fifth is lost", "harder data", "fine-tuning", "little to learn", "waves"],
)  # fmt: skip
def test_healthy_runs_are_left_alone(curve: Curve) -> None:
    """A rise that is small beside the fall, and a start that is good already, are no faults."""
    assert found(curve) == {}


def test_a_loss_that_grows_with_the_success() -> None:
    """What a value is trained towards grows as the agent succeeds, and the loss with it."""
    rng = random.Random(2)
    loss = noisy([0.002 * (1 + step / 10) for step in range(600)], 0.3)
    success = [min(1.0, 0.5 + step / 1000) + rng.gauss(0.0, 0.02) for step in range(600)]
    assert found(loss, **{"eval/success": success}) == {}
    assert "lr_too_high" in found(loss, **{"eval/success": [rng.gauss(0.5, 0.02) for _ in success]})


def test_the_fast_way_says_the_same() -> None:
    """Passing over a stretch, as the analysis of stored runs does, gives the alerts that each frame gives."""
    for then in (2.6, 3.0, 3.6, 4.4):
        curve = language_model(then)
        run = MemoryRunHandle()
        losses(run, curve)
        slow = MemoryRunHandle()
        for step, value in enumerate(curve):  # a metric that plays the part of an evaluation is looked at each time
            slow.log_values({"train/loss": value, "train/grad_norm": 1.0}, step=step)
        assert [(one.rule_id, one.severity, one.step_start) for one in analyzed(run).alerts] == [
            (one.rule_id, one.severity, one.step_start) for one in analyzed(slow).alerts
        ]
