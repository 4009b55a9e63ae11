"""What can be said of runs that are logged once an epoch, of data known by heart, and of a machine that others use."""

import math
import random

import pytest

from quark.analysis.analysis import Analysis
from quark.analysis.frames import Frame, Parameter
from quark.records.thresholds import AnalyzerEngineConfig
from quark.testing import MemoryRunHandle

from .runs import alerts, analyzed, losses, made, telemetry


def epochs(run: MemoryRunHandle, train: list[float], validation: list[float], accuracy: float | None = None) -> None:
    """A training and a validation loss an epoch, without steps."""
    for epoch, (one, other) in enumerate(zip(train, validation, strict=True)):
        values = {"train/loss": one, "val/loss": other}
        run.log_values(values if accuracy is None else {**values, "val/accuracy": accuracy}, epoch=epoch)


def around(level: float, count: int, spread: float) -> list[float]:
    """A level with noise."""
    rng = random.Random(1)
    return [level * (1.0 + rng.gauss(0, spread)) for _ in range(count)]


@pytest.mark.parametrize("count", [15, 40, 90])
def test_epochs_at_the_level_of_guessing_are_an_alert(count: int) -> None:
    """Ten epochs at ln 10 say enough, with a slope that leads nowhere too."""
    flat = around(math.log(10), count, 0.002)
    found = alerts(made(lambda run: epochs(run, flat, flat)))
    assert found["no_learning"].severity == "warning"
    assert "10 classes" in found["no_learning"].inference
    drifting = [2.31 - 0.01 * epoch / count for epoch in range(count)]
    assert "no_learning" in alerts(made(lambda run: epochs(run, drifting, drifting)))


@pytest.mark.parametrize("level", [0.3, 5.0, 41.0])
def test_epochs_at_another_level_are_left_alone(level: float) -> None:
    """A fine-tuning that starts good may stand still; nothing is alarmed, and nothing is praised."""
    flat = around(level, 25, 0.01)
    result = analyzed(made(lambda run: epochs(run, flat, flat)))
    assert [alert for alert in result.alerts if alert.severity != "info"] == []
    assert result.verdict.status == "unknown"


def test_epochs_that_learn_late_are_left_alone() -> None:
    """A loss that leaves the level of guessing in the eighth epoch has learned."""
    late = [*around(math.log(10), 8, 0.002), *[2.2 * 0.8**epoch for epoch in range(20)]]
    assert "no_learning" not in alerts(made(lambda run: epochs(run, late, late)))


def learned(count: int = 30) -> list[float]:
    """A training loss that goes to nothing."""
    return [2.3 * math.exp(-0.4 * epoch) + 3e-4 for epoch in range(count)]


def held(level: float, count: int = 30) -> list[float]:
    """A validation loss that falls to a level and stays, with some noise."""
    return [level + 2.0 * math.exp(-0.8 * epoch) + 0.04 * level * (epoch % 3) for epoch in range(count)]


def test_memorised_data_are_an_alert() -> None:
    """Training goes to nothing while validation stands still, though it does not rise."""
    result = analyzed(made(lambda run: epochs(run, learned(), held(0.42))))
    (alert,) = [one for one in result.alerts if one.rule_id == "overfitting_onset"]
    assert (alert.severity, alert.title) == ("warning", "The training data are memorised")
    assert "None" not in alert.fact
    assert {one.score_key: one.status for one in result.health_scores}["generalization"] == "watch"
    assert result.verdict.status == "watch"


@pytest.mark.parametrize(
    ("validation", "accuracy"), [(held(0.05), None), (held(0.3), 0.94), (held(0.3), 94.0)],
    ids=["low", "accurate", "percent"],
)  # fmt: skip
def test_a_network_that_generalizes_is_left_alone(validation: list[float], accuracy: float | None) -> None:
    """A large ratio of two small losses is no fault, nor is one beside answers that are right."""
    result = analyzed(made(lambda run: epochs(run, learned(), validation, accuracy)))
    assert result.alerts == ()
    assert {one.score_key: one.score for one in result.health_scores}["generalization"] == 100.0


def test_a_validation_loss_that_converges_slowly_is_one_alert() -> None:
    """Small gains do not make it come and go."""
    slow = [0.5 + 2.0 * math.exp(-epoch / 8) for epoch in range(80)]
    result = analyzed(made(lambda run: epochs(run, learned(80), slow)))
    assert [(one.rule_id, one.severity) for one in result.alerts if one.severity != "info"] == [
        ("overfitting_onset", "warning")
    ]  # fmt: skip


def test_a_loss_that_falls_in_its_first_steps_has_learned() -> None:
    """The first values are the only ones that are high."""
    result = analyzed(made(lambda run: losses(run, [2.3, *around(0.1, 400, 0.05)])))
    assert (result.alerts, result.verdict.status) == ((), "healthy")
    assert result.verdict.text.startswith("No fault was found: train/loss went from ")


def test_a_place_without_a_step_is_an_epoch() -> None:
    """The best evaluation of a run that is logged by epochs has no step to be named by."""
    rising = [*held(0.5, 12), *[0.5 + 0.1 * epoch for epoch in range(1, 15)]]
    found = alerts(made(lambda run: epochs(run, learned(26), rising)))["overfitting_onset"]
    assert "at epoch " in found.fact
    assert "None" not in found.fact


def jumping(run: MemoryRunHandle, usage: float | None, *, late_ms: float = 600.0) -> None:
    """Steps of which one in five takes long, on a machine whose processors are in such use."""
    for step in range(400):
        taken = late_ms if step % 5 == 0 else 60.0
        run.log_values({"system/runtime/step_time_ms": taken, "train/loss": 2.0 * 0.99**step + 0.01}, step=step)
        if usage is not None and step % 10 == 0:
            telemetry(run, step, cpu_usage_percent=usage, metadata={})


def test_irregular_steps_are_as_severe_as_what_they_cost() -> None:
    """Much time lost against the fastest steps is a warning; a shared machine is named, and is no fault of the run."""
    calm = alerts(made(lambda run: jumping(run, 20.0)))["runtime_bottleneck_risk"]
    assert (calm.severity, "lost against the fastest steps" in calm.fact) == ("warning", True)
    assert alerts(made(lambda run: jumping(run, None)))["runtime_bottleneck_risk"].severity == "warning"
    cheap = alerts(made(lambda run: jumping(run, 20.0, late_ms=78.0)))
    assert cheap.get("runtime_bottleneck_risk", calm).severity in ("info", "warning")
    busy = analyzed(made(lambda run: jumping(run, 99.0)))
    (alert,) = busy.alerts
    assert alert.severity == "info"
    assert "in full use" in alert.inference
    assert busy.verdict.status == "healthy"


def test_the_machine_is_no_reason_to_call_a_run_critical() -> None:
    """However irregular the steps are."""
    found = alerts(made(lambda run: jumping(run, 50.0, late_ms=60_000.0)))
    assert {alert.severity for alert in found.values()} <= {"info", "warning"}


def test_an_alert_about_the_rate_stands_until_it_is_over() -> None:
    """While updates are as large as ever and the loss hovers about its beginning the alert comes once."""
    analysis = Analysis(AnalyzerEngineConfig())
    raised = []
    rng = random.Random(3)
    for step in range(400):
        frame = Frame(step, None, 0, step)
        jumped = 2.3 if step == 0 else 6.0 if step < 5 else 3.5 + rng.gauss(0, 0.4)
        frame.values = {"train/loss": jumped}
        if step % 10 == 0:
            weight = 10.0 * (1.0 + step)
            frame.parameters = [Parameter("w", 10, (10,), weight, 1.0, 0.5 * weight)]
        raised += [finding for finding in analysis.feed(frame) if finding.rule_id == "lr_too_high"]
    severities = [finding.severity for finding in raised]
    assert len(severities) == len(set(severities)), severities
    assert severities
