"""Runs that compute and do not learn, because no step is made: overflows, a learning rate of zero, updates of zero."""

import math
import random

import pytest

from quark import AlertRecord, LayerSummaryRecord
from quark.testing import MemoryRunHandle

from .runs import alerts, analyzed, falling, parameter


def overflowing(first: int, *, scaled: bool, every: int = 10, until: int = 10_000) -> dict[str, AlertRecord]:
    """A run whose gradients overflow in every look from a step on."""
    run = MemoryRunHandle()
    for step, loss in enumerate(falling(400)):
        run.log_values({"train/loss": loss}, step=step)
        if step % every == 0:
            broken = first <= step < until
            metadata = {"loss_scale": 1024.0} if scaled else {}
            run.emit(LayerSummaryRecord, {
                "module_name": "head", "module_type": "Linear", "summary_type": "gradient",
                "hook_direction": "backward", "norm": None if broken else 1.0, "element_count": 100,
                "metadata": {**metadata, **({"nonfinite_count": 5} if broken else {})},
            }, step=step)  # fmt: skip
    return alerts(run)


def test_scaled_gradients_that_overflow_every_time() -> None:
    """The scaler skips each step, and nothing is trained."""
    told = overflowing(150, scaled=True)["nonfinite_values"]
    assert (told.severity, told.subject, told.step_start) == ("error", "loss scale", 150)


@pytest.mark.parametrize(("first", "until", "every"), [(150, 170, 10), (0, 12, 1)], ids=["twice", "finding its scale"])
def test_scaled_gradients_that_overflow_now_and_then(first: int, until: int, every: int) -> None:
    """That is how loss scaling works, above all in the first steps."""
    assert "nonfinite_values" not in overflowing(first, scaled=True, until=until, every=every)


def test_a_gradient_that_is_not_finite_is_named_from_behind() -> None:
    """A NaN of the loss reaches the last layer first: that is the one to look at."""
    run = MemoryRunHandle()
    for step in range(60):
        run.log_values({"train/loss": 2.0 - step / 100}, step=step)
        if step % 10 == 0:
            for name in ("embedding.weight", "head.weight"):
                broken = step == 50
                parameter(run, name, step, grad=None if broken else 0.1,
                          metadata={"nonfinite": ["gradient"]} if broken else {})  # fmt: skip
    told = alerts(run)["nonfinite_values"]
    assert told.title == "The gradient of head.weight is not finite"
    assert "first in the backward pass" in told.fact


def moved(update: float, rate: float, *, grad: float = 0.1) -> dict[str, AlertRecord]:
    """A run at the level of guessing, with one size of update."""
    run, rng = MemoryRunHandle(), random.Random(1)
    for step in range(200):
        run.log_values({"train/loss": 3.1 * math.exp(rng.gauss(0.0, 0.01)), "train/lr": rate}, step=step)
        if step % 10 == 0:
            parameter(run, "w.weight", step, update=update, grad=grad)
    return alerts(run)


def test_updates_of_exactly_zero_are_no_matter_of_size() -> None:
    """Ten times the learning rate would not help an optimizer that makes no step."""
    told = moved(0.0, 1e-3)["lr_too_low"]
    assert (told.severity, told.title) == ("error", "No weight moves, although gradients arrive")
    assert not any("Multiply" in action for action in told.actions)


def test_tiny_updates_are_a_matter_of_size() -> None:
    """As before."""
    assert moved(1e-6, 1e-3)["lr_too_low"].title == "Tiny steps, and the loss does not fall"


def test_without_gradients_no_update_is_expected() -> None:
    """Nothing is said of weights that get none."""
    assert "lr_too_low" not in moved(0.0, 1e-3, grad=0.0)


@pytest.mark.parametrize("each", [True, False], ids=["each step", "now and then"])
def test_a_learning_rate_that_came_to_zero(each: bool) -> None:
    """The schedule was shorter than the training: told once, since when."""
    run = MemoryRunHandle()
    for step, loss in enumerate(falling(400)):
        rate = {"train/lr": 0.0 if step >= 100 else 1e-3} if each or step % 10 == 0 else {}
        run.log_values({"train/loss": loss, **rate}, step=step)
    told = alerts(run)["lr_too_low"]
    assert (told.severity, told.subject, told.step_start) == ("warning", "train/lr", 100)


def test_a_schedule_that_ends_with_the_training() -> None:
    """A last few steps at zero are how schedules end, and the first one is how a warm-up begins."""
    run = MemoryRunHandle()
    for step, loss in enumerate(falling(400)):
        run.log_values({"train/loss": loss, "train/lr": 1e-3 * (step > 0) * (step < 390)}, step=step)
    assert "lr_too_low" not in alerts(run)


def test_a_learning_rate_that_comes_back() -> None:
    """It is over with the first step that is one."""
    run = MemoryRunHandle()
    for step, loss in enumerate(falling(800)):
        run.log_values({"train/loss": loss, "train/lr": 0.0 if 100 <= step < 300 or step >= 600 else 1e-3}, step=step)
    starts = [alert.step_start for alert in analyzed(run).alerts if alert.rule_id == "lr_too_low"]
    assert starts == [100, 600]
