"""PhaseAnalyzer: phases by their truth, kept and replaced, asked while the run goes on, and of hopeless curves."""

import math
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import quark
from quark import PhaseAnalyzer, PhaseAnalyzerConfig, PhaseAnalyzerThresholds, PhaseRecord
from quark.errors import SchemaValidationError, WrongTypeError
from quark.testing import MemoryRunHandle

from .runs import event, losses, made


def pieces(*parts: tuple[int, float], noise: float = 0.02, seed: int = 0) -> list[float]:
    """A loss of straight pieces in the logarithm: (points, change per point)."""
    rng, level, values = random.Random(seed), 0.0, []
    for count, slope in parts:
        for _ in range(count):
            level += slope
            values.append(math.exp(level + rng.gauss(0, noise)))
    return values


def names(run: Any, **config: Any) -> list[str]:
    """The names of a run's phases."""
    return [phase.phase_name for phase in PhaseAnalyzer(run, config=PhaseAnalyzerConfig(**config)).analyze().phases]


def of(values: list[float], **more: Any) -> list[str]:
    """The phases of a loss."""
    return names(made(lambda run: losses(run, values, **more)))


FAST_SLOW_NOT = pieces((60, -0.04), (60, -0.006), (60, 0.0))


def test_a_loss_that_falls_fast_then_slowly_then_not_has_three_phases() -> None:
    """The bounds are where the slope changed, and the phases cover the run without overlap."""
    run = made(lambda run: losses(run, FAST_SLOW_NOT))
    phases = PhaseAnalyzer(run).analyze().phases
    assert [phase.phase_name for phase in phases] == ["rapid_learning", "stabilization", "stagnation"]
    assert phases[0].step_start == 0
    assert abs(phases[1].step_start - 60) <= 8
    assert abs(phases[2].step_start - 120) <= 20
    assert all(later.step_start > one.step_end for one, later in pairwise(phases))
    assert phases[-1].step_end == 179
    assert phases[0].evidence[0].source == "train/loss"


@pytest.mark.parametrize("repeat", [7, 50])
def test_how_often_the_loss_is_logged_does_not_matter(repeat: int) -> None:
    """The same course logged many times as often has the same phases."""
    often = pieces((60 * repeat, -0.04 / repeat), (60 * repeat, -0.006 / repeat), (60 * repeat, 0.0))
    assert of(often) == of(FAST_SLOW_NOT)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e6, 1e30])
def test_the_scale_of_the_loss_does_not_matter(scale: float) -> None:
    """A sum loss and a mean loss have the same phases."""
    assert of([value * scale for value in FAST_SLOW_NOT]) == of(FAST_SLOW_NOT)


def test_a_plateau_before_learning_is_initialization() -> None:
    """A short flat beginning before the loss falls is adaptation; a long one is stagnation."""
    assert of(pieces((20, 0.0), (100, -0.04), (60, 0.0)))[0] == "initialization_adaptation"
    assert of(pieces((80, 0.0), (100, -0.04)))[:2] == ["stagnation", "rapid_learning"]


def test_a_loss_that_runs_away_diverges_from_there_on() -> None:
    """It is divergence while the loss rises, and while it stays up there."""
    run = made(lambda run: losses(run, pieces((80, -0.03), (30, 0.08), (40, 0.0))))
    last = PhaseAnalyzer(run).analyze().phases[-1]
    assert (last.phase_name, last.step_end) == ("divergence", 149)
    assert abs(last.step_start - 80) <= 6


def test_a_loss_that_rises_by_less_than_the_limit_does_not_diverge() -> None:
    """The distance from the best value counts, and the limit can be moved."""
    run = made(lambda run: losses(run, pieces((80, -0.03), (80, 0.002))))
    assert "divergence" not in names(run)
    low = PhaseAnalyzerThresholds(divergence_from_best_ratio=0.1, divergence_min_relative_regression=0.1)
    assert names(run, thresholds=low)[-1] == "divergence"


def single_errors(rng: random.Random, step: int) -> float:
    """Losses of one sample each: squares of errors that shrink."""
    return (3 * math.exp(-0.05 * step) * rng.gauss(0, 1)) ** 2 + rng.gauss(0, 0.1) ** 2


def outliers(rng: random.Random, step: int) -> float:
    """Noise with heavy tails around a fall to a floor."""
    away = rng.expovariate(1 / 0.3) * rng.choice([-1, 1])
    return math.exp(math.log(math.exp(-step / 70) + 0.1) + away)


def growing_noise(rng: random.Random, step: int) -> float:
    """The loss falls to far below a noise that grows in proportion to it."""
    return math.exp(-step / 30 + rng.gauss(0, 0.05 + step / 400))


@pytest.mark.parametrize("loss", [single_errors, outliers, growing_noise])
def test_noise_however_wild_is_no_divergence(loss: Any) -> None:
    """A line that ends low by chance is no best value, and a mean that rises by chance no rise: at most 1 run in 50."""
    diverged = 0
    for seed in range(50):
        rng = random.Random(seed)
        diverged += "divergence" in of([loss(rng, step) for step in range(400)])
    assert diverged <= 1


def test_a_mean_of_logarithms_that_rises_alone_is_no_divergence() -> None:
    """Losses of nearly 0 and nearly 2 by turns and then of 1: the logarithm rises on average, the loss does not."""
    rng = random.Random(0)
    turns = [1.98 if step % 2 else 0.02 for step in range(100)] + [1.0] * 100
    values = [value * math.exp(rng.gauss(0, 0.05)) for value in turns]
    assert "divergence" not in of(values)


def test_losses_that_end_in_nan_diverge() -> None:
    """Metrics hold finite values only; what was not is an event, and ends the run in divergence."""

    def write(run: MemoryRunHandle) -> None:
        losses(run, pieces((80, -0.03)))
        for step in range(80, 90):
            event(run, "metric_nonfinite", step, key="train/loss", value="nan")

    last = PhaseAnalyzer(made(write)).analyze().phases[-1]
    assert (last.phase_name, last.step_start, last.step_end) == ("divergence", 80, 89)


def test_a_run_whose_loss_was_never_finite_is_divergence() -> None:
    """There is no curve, and yet there is something to say."""
    run = MemoryRunHandle()
    for step in range(5):
        event(run, "metric_nonfinite", step, key="train/loss")
    assert names(run) == ["divergence"]


def with_validation(held: list[float], train: list[float]) -> MemoryRunHandle:
    """Training at every step, validation at evenly spread ones."""

    def write(run: MemoryRunHandle) -> None:
        losses(run, train)
        for number, value in enumerate(held):
            run.log_values({"val/loss": value}, step=(number + 1) * len(train) // len(held) - 1)

    return made(write)


@pytest.mark.parametrize("count", [8, 40])
def test_validation_that_turns_while_training_goes_on_is_overfitting(count: int) -> None:
    """From the turn on, whether there are many evaluations or few."""
    half = count // 2
    held = pieces((half, -1.0 / half), (half, 1.0 / half), noise=0.001)
    run = with_validation([value * 1.5 for value in held], pieces((400, -0.006)))
    phases = PhaseAnalyzer(run).analyze().phases
    assert [phase.phase_name for phase in phases] == ["rapid_learning", "overfitting_onset"]
    assert abs(phases[1].step_start - 200) <= 60


def test_validation_that_turns_with_training_is_not_overfitting() -> None:
    """Both rise: that is no sign of a model that learns by heart."""
    held = pieces((20, -0.03), (20, 0.01), noise=0.002)
    assert "overfitting_onset" not in names(with_validation(held, pieces((200, -0.003), (200, 0.0005))))


def test_a_fall_to_a_floor_ends_where_the_slope_ends() -> None:
    """An exponential and a floor: the last phase begins where less than 1 % a tenth is left, give or take 1/20."""
    rng = random.Random(1)
    clean = [math.exp(-8 * step / 2000) + 0.1 for step in range(2000)]
    run = made(lambda run: losses(run, [value * math.exp(rng.gauss(0, 0.03)) for value in clean]))
    phases = PhaseAnalyzer(run).analyze().phases
    assert [phase.phase_name for phase in phases] == ["rapid_learning", "stabilization", "stagnation"]
    slow = next(step for step in range(1999) if math.log(clean[step] / clean[step + 1]) * 200 < -math.log(0.99))
    assert abs(phases[2].step_start - slow) <= 100


def test_losses_below_zero_and_at_zero_have_phases() -> None:
    """A likelihood that falls through zero and a loss that reaches it are read on another scale."""
    falling = [3.0 - 0.1 * step for step in range(60)] + [-3.0] * 60
    assert of(falling)[0] in ("rapid_learning", "stabilization")
    assert of(falling)[-1] == "stagnation"
    assert of([max(1.0 - step / 50, 0.0) for step in range(100)])[-1] == "stagnation"


def test_an_accuracy_serves_where_there_is_no_loss() -> None:
    """The distance from the best accuracy is the loss, in shares and in percent."""
    for whole in (1.0, 100.0):
        run = made(lambda run, whole=whole: losses(run, [whole * (1 - v) for v in FAST_SLOW_NOT], "train/accuracy"))
        assert names(run) == ["rapid_learning", "stabilization", "stagnation"]


def test_configured_names_come_first() -> None:
    """A metric that is named is taken before one that looks like a loss."""

    def write(run: MemoryRunHandle) -> None:
        losses(run, [1.0] * 100)
        losses(run, pieces((100, -0.03)), "objective/train_ce")

    assert names(made(write)) == ["stagnation"]
    assert names(made(write), train_loss_metric_keys=("objective/train_ce",)) == ["rapid_learning"]


def test_a_run_without_a_loss_says_so() -> None:
    """No phases, and the reason."""
    result = PhaseAnalyzer(MemoryRunHandle()).analyze()
    assert result.phases == ()
    assert result.abstention is not None
    assert "loss" in result.abstention


def test_the_last_phase_of_a_run_that_goes_on_is_provisional_while_it_is_young() -> None:
    """Two points after ninety blocks of something else can still be anything."""

    def write(run: MemoryRunHandle) -> None:
        losses(run, pieces((90, -0.03)))
        for step in (90, 91):
            event(run, "metric_nonfinite", step, key="train/loss")

    assert not PhaseAnalyzer(made(write)).analyze().provisional  # what is not finite is certain
    few = PhaseAnalyzer(made(lambda run: losses(run, [2.0, 1.0]))).analyze()
    assert few.provisional
    assert "young" in few.phases[-1].summary


def test_phases_that_were_said_do_not_flicker() -> None:
    """Asked after every tenth of the run, the phases before the last one stay where they were."""
    values = pieces((300, -0.012), (300, 0.0))
    starts = []
    for length in range(420, 601, 30):
        phases = PhaseAnalyzer(made(lambda run, length=length: losses(run, values[:length]))).analyze().phases
        assert [phase.phase_name for phase in phases] == ["rapid_learning", "stagnation"]
        starts.append(phases[1].step_start)
    assert max(starts) - min(starts) <= 45


def test_a_new_analysis_replaces_the_one_before_in_the_store(tmp_path: Path) -> None:
    """A session keeps the phases; appending is a choice; a stored run gets an answer and keeps nothing."""
    with quark.start_run(project="phases", storage_dir=tmp_path) as session:
        for step, value in enumerate(FAST_SLOW_NOT):
            session.log({"train/loss": value}, step=step)
        analyzer = PhaseAnalyzer(session)
        first = analyzer.analyze()
        analyzer.analyze()
        assert [phase.phase_name for phase in analyzer.read_phases()] == [p.phase_name for p in first.phases]
        assert analyzer.read_phases(phase_name="stagnation", limit=1)[0].step_end == 179
        assert analyzer.read_phases(step_min=1)[0].phase_name == "stabilization"
        analyzer.analyze(replace_existing=False)
        assert len(analyzer.read_phases()) == 2 * len(first.phases)
        with pytest.raises(SchemaValidationError):
            analyzer.read_phases(phase_name="overfiting")
    with quark.open(tmp_path) as store:
        view = store.run(session.run_id)
        again = PhaseAnalyzer(view)
        assert [phase.phase_name for phase in again.analyze().phases] == [p.phase_name for p in first.phases]
        assert not again.analyze().provisional
        assert len(again.read_phases()) == len(view.phases()) == 2 * len(first.phases)


def test_arguments_of_a_wrong_type_are_refused() -> None:
    """The error names what was given."""
    with pytest.raises(WrongTypeError, match="TrainingSession"):
        PhaseAnalyzer("run-1")
    with pytest.raises(WrongTypeError, match="PhaseAnalyzerConfig"):
        PhaseAnalyzer(MemoryRunHandle(), config=PhaseAnalyzerThresholds())  # type: ignore[arg-type]


FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, 1e-30, 1e30, -1e30, 1.0, 1e308])


@given(st.lists(st.tuples(st.integers(0, 60) | st.none(), FLOATS, st.none() | FLOATS), max_size=150))
def test_no_curve_breaks_it(points: list[tuple[int | None, float, float | None]]) -> None:
    """Unordered and repeated steps, none at all, one point, constants, huge and tiny: phases in order, or none."""

    def write(run: MemoryRunHandle) -> None:
        for step, value, held in points:
            run.log_values({"train/loss": value, **({} if held is None else {"val/loss": held})}, step=step)

    run = made(write)
    phases = PhaseAnalyzer(run).analyze().phases
    assert bool(phases) == bool(points)
    assert all(phase.step_start <= phase.step_end for phase in phases)
    assert all(one.step_end < later.step_start for one, later in pairwise(phases))
    assert len(run.records(PhaseRecord)) == len(phases)
