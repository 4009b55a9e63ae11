"""Every rule on small written runs: it speaks where it must, is silent where it must, and says what it lacks."""

import copy
import dataclasses
import json
import pickle
import random
from typing import Any

import pytest

from quark import AnalyzerThresholds
from quark.analysis.rules import RULES
from quark.testing import MemoryRunHandle

from .runs import activation, alerts, analyzed, batch, event, falling, gradient, losses, parameter, telemetry

LAYERS = ("a.weight", "b.weight", "c.weight", "d.weight", "e.weight")


@pytest.fixture
def run() -> MemoryRunHandle:
    """An empty run in memory."""
    return MemoryRunHandle()


def probed(run: MemoryRunHandle, values: list[float], **changes: dict[str, float | None]) -> None:
    """A loss, and all layers at every fifth step; ``changes`` are the fields of single parameters."""
    for step, value in enumerate(values):
        if step % 5 == 0:
            for name in LAYERS:
                parameter(run, name, step, **changes.get(name[0], {}))
        run.log_values({"train/loss": value}, step=step)


def test_a_healthy_run_has_no_alert_and_full_marks(run: MemoryRunHandle) -> None:
    """A falling loss over lively layers is nobody's fault."""
    probed(run, falling())
    for step in range(0, 400, 10):
        activation(run, "relu", step)
    found = analyzed(run)
    assert found.alerts == ()
    assert {score.score_key: score.score for score in found.health_scores} == {
        "overall": 100.0, "optimization": 100.0, "representation": 100.0
    }  # fmt: skip


def test_a_rule_without_its_inputs_abstains_and_says_what_it_lacks(run: MemoryRunHandle) -> None:
    """Nothing recorded is nothing judged: no score, and a reason for each rule."""
    found = analyzed(run)
    assert found.health_scores == ()
    assert set(found.abstentions) == {rule.name for rule in RULES}
    assert "needs" in found.abstentions["overfitting_onset"]


@pytest.mark.parametrize(("norm", "severity"), [(12.0, "warning"), (30.0, "error"), (60.0, "critical")])
def test_bare_gradient_norms_are_held_against_the_documented_limits(
    run: MemoryRunHandle, norm: float, severity: str
) -> None:
    """Who records nothing but layer summaries gets the documented behaviour."""
    for step in range(4):
        gradient(run, "head", norm, step)
    found = alerts(run)["exploding_gradients"]
    assert (found.severity, found.subject) == (severity, "head")
    assert found.evidence[0].summary.startswith("absolute")


def test_large_norms_are_no_fault_while_the_loss_falls(run: MemoryRunHandle) -> None:
    """A default limit is vetoed by a training that goes well."""
    for step, value in enumerate(falling()):
        gradient(run, "head", 60.0, step)
        run.log_values({"train/loss": value}, step=step)
    assert alerts(run) == {}


def test_a_limit_that_the_user_set_is_literal(run: MemoryRunHandle) -> None:
    """Contrary evidence does not veto what somebody asked for."""
    for step, value in enumerate(falling()):
        gradient(run, "head", 30.0, step)
        run.log_values({"train/loss": value}, step=step)
    limits = AnalyzerThresholds(exploding_gradient_warning_norm=20.0)
    assert alerts(run, thresholds=limits)["exploding_gradients"].severity == "error"


def test_the_absolute_mode_is_literal(run: MemoryRunHandle) -> None:
    """In absolute mode every documented default is a limit."""
    for step, value in enumerate(falling()):
        gradient(run, "head", 60.0, step)
        run.log_values({"train/loss": value}, step=step)
    assert alerts(run, mode="absolute")["exploding_gradients"].severity == "critical"


def test_growth_that_ends_in_nan_is_an_explosion(run: MemoryRunHandle) -> None:
    """The loss grew before it broke: the steps are to blame, and the alert is critical."""
    losses(run, [*falling(100), 3.0, 30.0, 3e3, 3e6])
    event(run, "metric_nonfinite", 104, key="train/loss", value="nan")
    found = alerts(run)
    assert found["exploding_gradients"].severity == "critical"
    assert found["nonfinite_values"].subject == "train/loss"


def test_a_nan_out_of_the_blue_is_not_an_explosion(run: MemoryRunHandle) -> None:
    """Without growth the data or the numerics are to blame, and the advice is another one."""
    losses(run, falling(100))
    event(run, "metric_nonfinite", 100, key="train/loss", value="nan")
    assert set(alerts(run)) == {"nonfinite_values"}


def test_exploding_gradients_with_a_loss_that_follows(run: MemoryRunHandle) -> None:
    """Gradients of a thousand times their size and a loss far above its best are an error."""
    for step, value in enumerate([*falling(200), *[6.0] * 12]):
        run.log_values({"train/loss": value, "train/grad_norm": 1.0 if step < 200 else 2000.0}, step=step)
    found = alerts(run)["exploding_gradients"]
    assert found.severity == "critical"
    assert found.step_start == 200


def test_gradients_that_die_on_their_way_back_vanish(run: MemoryRunHandle) -> None:
    """Early layers a million times below the last one, and a loss that stands still."""
    low = {name: {"grad": 0.1 * 10.0 ** (k - 9), "update": 1e-9} for k, name in enumerate("abc")}
    probed(run, [2.3] * 80, **low, d={"grad": 0.01})
    found = alerts(run)["vanishing_gradients"]
    assert found.subject == "a.weight"
    assert found.severity == "error"


def test_gradients_that_are_small_everywhere_are_convergence(run: MemoryRunHandle) -> None:
    """The test is relative across depth."""
    probed(run, falling(), **{name: {"grad": 1e-9, "update": 1e-9} for name in "abcde"})
    assert "vanishing_gradients" not in alerts(run)


def test_a_weight_that_stands_still_is_named_with_its_cause(run: MemoryRunHandle) -> None:
    """Its gradient is zero while the others move."""
    probed(run, falling(), b={"grad": 0.0, "update": 0.0})
    found = alerts(run)["stagnant_layers"]
    assert (found.subject, found.severity) == ("b.weight", "critical")
    assert "its gradient is zero" in found.title


def test_a_frozen_weight_is_not_stagnant(run: MemoryRunHandle) -> None:
    """What its owner froze is meant to stand still."""
    event(run, "parameters_watched", frozen=["b.weight"], not_optimized=[])
    probed(run, falling(), b={"grad": None, "update": None})
    assert alerts(run) == {}


def test_parameters_in_no_group_are_named_at_once(run: MemoryRunHandle) -> None:
    """The comparison of model and optimizer is exact and needs no step."""
    event(run, "parameters_watched", frozen=[], not_optimized=["head.weight", "head.bias"], not_optimized_count=2)
    found = alerts(run)["parameters_not_optimized"]
    assert (found.severity, found.subject) == ("error", "head.weight")


@pytest.mark.parametrize(("share", "severity"), [(0.85, "warning"), (0.95, "error"), (1.0, "critical")])
def test_units_that_are_dead_for_every_input(run: MemoryRunHandle, share: float, severity: str) -> None:
    """The documented shares are those of units, over 3 of 5 looks."""
    for step in range(5):
        activation(run, "relu", step, metadata={"unit_dead_ratio": share})
    assert alerts(run)["activation_collapse"].severity == severity


def test_a_sparse_relu_has_no_dead_units(run: MemoryRunHandle) -> None:
    """Many zeros are what ReLU is for."""
    for step in range(20):
        activation(run, "relu", step, dead_unit_ratio=0.93, metadata={"unit_dead_ratio": 0.0})
    assert alerts(run) == {}


def test_saturated_sigmoids(run: MemoryRunHandle) -> None:
    """Outputs at the limits of their range carry no gradient."""
    for step in range(5):
        activation(run, "gate", step, kind="Sigmoid", saturation_ratio=0.98, dead_unit_ratio=0.0, metadata={})
    found = alerts(run)["activation_collapse"]
    assert found.severity == "error"
    assert "saturated" in found.title


def evaluated(run: MemoryRunHandle, validation: list[float], accuracy: list[float] | None = None) -> None:
    """A falling training loss with an evaluation every 20 steps."""
    train = falling(20 * len(validation))
    for step, value in enumerate(train):
        run.log_values({"train/loss": value}, step=step)
        if step % 20 == 19:
            extra = {} if accuracy is None else {"val/accuracy": accuracy[step // 20]}
            run.log_values({"val/loss": validation[step // 20], **extra}, step=step)


RISING = [2.0, 1.6, 1.3, 1.1, 1.0, 1.05, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2]


def test_validation_that_gets_worse_while_training_gets_better(run: MemoryRunHandle) -> None:
    """Overfitting is said within three evaluations of the onset, with the best step."""
    evaluated(run, RISING)
    found = alerts(run)["overfitting_onset"]
    assert found.step_start == 99
    assert found.step_end is not None
    assert found.category == "generalization"


def test_a_gap_alone_is_no_overfitting(run: MemoryRunHandle) -> None:
    """Validation may stay above training for ever."""
    evaluated(run, [3.0 + 0.01 * (i % 2) for i in range(12)])
    assert alerts(run) == {}


def test_a_rising_loss_with_a_steady_accuracy_is_overconfidence(run: MemoryRunHandle) -> None:
    """It is a warning at most."""
    evaluated(run, RISING, [0.5 + 0.02 * i for i in range(12)])
    assert alerts(run)["overfitting_onset"].severity == "warning"


def test_a_gap_that_the_user_set_counts_alone(run: MemoryRunHandle) -> None:
    """His limit, honoured."""
    evaluated(run, [3.0] * 12)
    assert "overfitting_onset" in alerts(run, thresholds=AnalyzerThresholds(overfitting_warning_gap=0.15))


def test_a_single_spike_is_seen(run: MemoryRunHandle) -> None:
    """One loss of many times the usual, at the size of the beginning."""
    values = falling()
    values[300] = 8.0
    losses(run, values)
    found = alerts(run)["loss_spike"]
    assert (found.step_start, found.severity) == (300, "warning")


def test_a_loss_that_rises_and_stays_is_a_rate_too_high(run: MemoryRunHandle) -> None:
    """Twenty steps above one and a half times the beginning."""
    losses(run, [*falling(60), *[8.0 + 0.1 * i for i in range(80)]])
    assert alerts(run)["lr_too_high"].severity == "error"


def test_tiny_steps_and_no_progress_are_a_rate_too_low(run: MemoryRunHandle) -> None:
    """The cause is named, and no second alert says that nothing is learned."""
    probed(run, [2.3] * 200, **{name: {"update": 1e-6} for name in "abcde"})
    assert set(alerts(run)) == {"lr_too_low"}


def test_tiny_steps_behind_an_explosion_are_no_rate_too_low(run: MemoryRunHandle) -> None:
    """Weights that have exploded make each further step small beside them."""
    probed(run, [*[2.3] * 30, *[18.0] * 170], **{name: {"update": 1e-6} for name in "abcde"})
    assert "lr_too_low" not in alerts(run)


def test_a_loss_that_never_falls(run: MemoryRunHandle) -> None:
    """Shuffled labels: noise around the beginning."""
    rng = random.Random(1)
    losses(run, [2.3 + rng.gauss(0, 0.05) for _ in range(300)])
    assert alerts(run)["no_learning"].severity == "warning"


def test_a_plateau_is_advice(run: MemoryRunHandle) -> None:
    """A loss that fell and then stands, far above zero."""
    rng = random.Random(2)
    losses(run, [1.0 + max(0.0, 1.0 - step / 100) + rng.gauss(0, 0.02) for step in range(900)])
    found = analyzed(run)
    assert [(alert.rule_id, alert.severity) for alert in found.alerts] == [("plateau", "info")]
    assert {score.score for score in found.health_scores} == {100.0}


def timed(run: MemoryRunHandle, data: list[float], compute: list[float]) -> None:
    """Times of steps as the loop records them."""
    for step, (waited, worked) in enumerate(zip(data, compute, strict=True)):
        run.log_values({
            "system/runtime/step_time_ms": waited + worked, "system/runtime/data_time_ms": waited,
            "system/runtime/compute_time_ms": worked,
        }, step=step)  # fmt: skip


def test_steps_that_wait_for_data(run: MemoryRunHandle) -> None:
    """Two thirds of each step spent on data."""
    timed(run, [60.0] * 400, [30.0] * 400)
    found = alerts(run)
    assert found["runtime_bottleneck_risk"].severity == "error"
    assert found["dataloader_starvation"].subject == "data loader"


def test_a_rhythm_of_late_batches_names_the_workers(run: MemoryRunHandle) -> None:
    """Every fourth batch is late: four workers are too few."""
    timed(run, [80.0 if step % 4 == 0 else 1.0 for step in range(400)], [30.0] * 400)
    assert "every 4th batch" in alerts(run)["dataloader_starvation"].title


def test_tiny_steps_are_nobodys_bottleneck(run: MemoryRunHandle) -> None:
    """A share of a step of a millisecond costs nothing."""
    timed(run, [0.6] * 400, [0.4] * 400)
    assert alerts(run) == {}


def test_a_checkpoint_now_and_then_is_no_jitter(run: MemoryRunHandle) -> None:
    """One step in fifty that takes long does not move the 90th percentile."""
    timed(run, [0.0] * 400, [900.0 if step % 50 == 0 else 30.0 for step in range(400)])
    assert alerts(run) == {}


def test_a_step_time_that_the_user_set(run: MemoryRunHandle) -> None:
    """No absolute time means anything, unless somebody says so."""
    timed(run, [0.0] * 100, [300.0] * 100)
    assert alerts(run) == {}
    found = alerts(run, thresholds=AnalyzerThresholds(runtime_warning_step_time_ms=280.0))
    assert found["runtime_bottleneck_risk"].severity == "warning"


@pytest.mark.parametrize("config", [
    {"thresholds": AnalyzerThresholds(runtime_critical_step_time_ms=1000.0)},
    {"thresholds": {"runtime_critical_step_time_ms": 1000}},
    {"thresholds": dataclasses.replace(AnalyzerThresholds(), runtime_critical_step_time_ms=float("1000"))},
    {"thresholds": pickle.loads(pickle.dumps(AnalyzerThresholds(runtime_critical_step_time_ms=1000.0)))},
    {"mode": "absolute"},
])  # fmt: skip
def test_a_limit_that_is_set_to_its_default_is_set(run: MemoryRunHandle, config: dict[str, Any]) -> None:
    """However it was set, and as soon as the first window of 50 steps is full."""
    timed(run, [0.0] * 75, [1500.0] * 75)
    found = analyzed(run, **config)
    (alert,) = found.alerts
    assert (alert.rule_id, alert.severity) == ("runtime_bottleneck_risk", "critical")
    assert alert.evidence[0].summary.startswith("absolute")
    assert {score.score_key: score.score for score in found.health_scores}["runtime"] == 39.0


@pytest.mark.parametrize("thresholds", [
    AnalyzerThresholds(),
    dataclasses.replace(AnalyzerThresholds(), overfitting_warning_gap=0.3),
    AnalyzerThresholds(**AnalyzerThresholds().to_dict()),
    copy.deepcopy(AnalyzerThresholds()),
])  # fmt: skip
def test_a_limit_that_is_left_out_is_not_set(run: MemoryRunHandle, thresholds: AnalyzerThresholds) -> None:
    """Copies, and changes to other limits, set nothing."""
    timed(run, [0.0] * 400, [1500.0] * 400)
    assert alerts(run, thresholds=thresholds) == {}


def test_a_whole_table_written_by_hand_sets_every_limit() -> None:
    """Whoever prints all the limits means all of them, whole numbers too."""
    written = {name: json.loads(json.dumps(value)) for name, value in AnalyzerThresholds().to_dict().items()}
    thresholds = AnalyzerThresholds(**written)
    assert all(map(thresholds.is_set, written))
    assert thresholds == AnalyzerThresholds()
    assert not any(map(AnalyzerThresholds().is_set, written))


@pytest.mark.parametrize("steps", [60, 130])
def test_a_verdict_that_is_pending_is_no_health(run: MemoryRunHandle, steps: int) -> None:
    """Too few steps, or windows that wait for data but are not three yet: the reason is told, and no score."""
    timed(run, [900.0] * steps, [100.0] * steps)
    found = analyzed(run)
    assert "170" in found.abstentions["runtime_bottleneck_risk"]
    assert "which the run does not have" in found.abstentions["runtime_bottleneck_risk"]


def test_steps_that_become_slower(run: MemoryRunHandle) -> None:
    """Twice the time of the beginning, for good."""
    timed(run, [0.0] * 800, [50.0] * 400 + [100.0] * 400)
    found = alerts(run)["throughput_regression"]
    assert found.step_start is not None
    assert 400 <= found.step_start <= 520


def test_memory_that_grows_is_forecast(run: MemoryRunHandle) -> None:
    """A steady leak, and the step at which memory is full."""
    for step in range(400):
        telemetry(run, step, process_rss_bytes=2**30 + step * 2**21, ram_used_bytes=2**32, ram_usage_percent=50.0)
    found = alerts(run)["memory_growth"]
    left = next(one for one in found.evidence if one.kind == "forecast")
    assert left.observed_value == pytest.approx(2**32 / 2**21, rel=0.25)


def test_memory_that_settles_is_no_leak(run: MemoryRunHandle) -> None:
    """Growth at the start is caches that fill."""
    for step in range(400):
        telemetry(run, step, process_rss_bytes=2**30 + min(step, 50) * 2**22)
    assert alerts(run) == {}


def test_an_idle_gpu(run: MemoryRunHandle) -> None:
    """95 % of the samples below 70 %."""
    for step in range(100):
        telemetry(run, step, gpu_index=1, gpu_utilization_percent=35.0 + step % 20)
    assert alerts(run)["gpu_underutilised"].subject == "GPU 1 of rank 0"


def test_a_changed_mix_of_classes(run: MemoryRunHandle) -> None:
    """Shuffled at first, one class only later."""
    rng = random.Random(3)
    for step in range(200):
        kinds = [str(rng.randrange(4)) for _ in range(32)] if step < 100 else ["2"] * 32
        batch(run, step, 1.0, class_counts={kind: kinds.count(kind) for kind in set(kinds)})
    assert alerts(run)["label_skew"].subject == "class 2"


def test_a_shuffled_mix_of_classes_is_not_skewed(run: MemoryRunHandle) -> None:
    """Chance alone does not make an alert."""
    rng = random.Random(4)
    for step in range(2000):
        kinds = [str(min(rng.randrange(6), 3)) for _ in range(8)]
        batch(run, step, 1.0, class_counts={kind: kinds.count(kind) for kind in set(kinds)})
    assert alerts(run) == {}


def test_a_corrupt_shard_is_named(run: MemoryRunHandle) -> None:
    """One of ten shards does three times worse while the loss falls."""
    rng = random.Random(5)
    for step, value in enumerate(falling(600, noise=0.2)):
        shard = rng.randrange(10)
        batch(run, step, value * (3.0 if shard == 7 else 1.0), metadata={"shard": shard})
    found = analyzed(run).alerts
    assert [(alert.rule_id, alert.subject) for alert in found] == [("dead_shard", "shard 7")]


def test_training_data_that_do_worse_in_eval_mode(run: MemoryRunHandle) -> None:
    """Batch normalization gone wrong: the same data, twice the loss."""
    for step, value in enumerate(falling()):
        run.log_values({"train/loss": value}, step=step)
        if step % 20 == 19:
            run.log_values({"train_eval/loss": 2.5 * value}, step=step)
    assert alerts(run)["train_eval_mismatch"].severity in ("warning", "error")


def test_a_silenced_rule_does_not_speak(run: MemoryRunHandle) -> None:
    """What somebody does not want to hear of is not even looked at."""
    losses(run, [2.3] * 300)
    assert "no_learning" not in alerts(run, silenced_rules=("no_learning",))


def test_every_alert_says_all_that_it_should(run: MemoryRunHandle) -> None:
    """Where, since when, fact, inference, evidence with numbers, consequence, actions, and what would clear it."""
    probed(run, falling(), b={"grad": 0.0, "update": 0.0})
    evaluated(run, RISING)
    found = analyzed(run).alerts
    assert len(found) >= 2
    for alert in found:
        assert alert.subject
        assert alert.step_start is not None
        assert alert.summary == f"{alert.fact} {alert.inference}"
        assert any(one.observed_value is not None for one in alert.evidence)
        assert alert.consequence
        assert 1 <= len(alert.actions) <= 3
        assert alert.clears
