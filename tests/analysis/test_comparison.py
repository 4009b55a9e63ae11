"""ComparisonEngine: differences of two runs that are what they say, on any records, and never more than they show."""

import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import quark
from quark import AlertRecord, ComparisonEngine, ComparisonEngineConfig, EvidenceRecord, MetricTargetSpec, PhaseAnalyzer
from quark.analysis.comparison.quantiles import normal_tail, t_quantile
from quark.analysis.comparison.resampling import bootstrap_interval
from quark.errors import ConfigurationError, RunNotFoundError, WrongTypeError
from quark.testing import MemoryRunHandle

from .runs import activation, falling, losses, made

EVIDENCE = (EvidenceRecord(kind="metric", source="train/loss", summary="it rose"),)


def diff_of(primary: Any, reference: Any, key: str = "train/loss", **config: Any) -> Any:
    """The difference in one metric."""
    found = ComparisonEngine.compare_runs(primary, reference, config=ComparisonEngineConfig(**config)).metric_diffs
    return next(diff for diff in found if diff.metric_key == key)


def of(values: list[float], *, every: int = 1, key: str = "train/loss") -> MemoryRunHandle:
    """A run with one metric."""
    return written([(n * every, value) for n, value in enumerate(values)], key)


def written(points: list[tuple[int | None, float]], key: str = "train/loss") -> MemoryRunHandle:
    """A run with these points."""
    run = MemoryRunHandle()
    for step, value in points:
        run.log_values({key: value}, step=step)
    return run


def alert(run: MemoryRunHandle, rule: str, severity: str, subject: str | None = None) -> None:
    """An alert, as an analysis keeps it."""
    run.emit(AlertRecord, {
        "rule_id": rule, "category": "optimization", "severity": severity, "title": rule, "summary": "", "fact": "",
        "inference": "", "evidence": EVIDENCE, "subject": subject, "step_start": 3,
    })  # fmt: skip


def test_last_values_and_means_are_subtracted() -> None:
    """Primary minus reference, and the share of the reference."""
    diff = diff_of(of([4.0, 3.0]), of([4.0, 2.0]))
    assert (diff.delta_last, diff.delta_mean, diff.relative_delta_last) == (1.0, 0.5, 0.5)
    assert (diff.primary.count, diff.primary.first, diff.primary.min, diff.primary.last_step) == (2, 4.0, 3.0, 1)
    assert diff_of(of([1.0]), of([0.0])).relative_delta_last is None


def test_runs_of_other_length_and_cadence_meet_at_common_steps() -> None:
    """A run that went on longer is compared where the shorter one ended."""
    diff = diff_of(of([10.0 - n for n in range(10)]), of([9.0 - n for n in range(0, 6, 2)], every=2))
    assert (diff.common_steps, diff.last_common_step) == (3, 4)
    assert (diff.delta_last_common, diff.delta_mean_common, diff.delta_last) == (1.0, 1.0, -4.0)


def test_steps_may_be_unordered_and_repeated() -> None:
    """The order is that of the steps, and the last value of a step counts."""

    diff = diff_of(written([(5, 1.0), (1, 3.0), (5, 2.0)]), of([3.0]))
    assert (diff.primary.first, diff.primary.last, diff.primary.last_step, diff.primary.count) == (3.0, 2.0, 5, 2)


def test_metrics_of_one_run_only_are_named() -> None:
    """Nothing is subtracted from nothing."""
    diff = diff_of(of([1.0], key="extra"), of([1.0]), "extra")
    assert (diff.only_in, diff.reference, diff.delta_last) == ("primary", None, None)
    assert diff_of(of([1.0], key="extra"), of([1.0])).only_in == "reference"


def test_a_difference_within_the_runs_own_noise_says_so() -> None:
    """Two values of the same scatter differ by it; twice that is the band."""
    rng = random.Random(1)

    def noisy(level: float) -> MemoryRunHandle:
        return of([level + rng.gauss(0, 0.1) for _ in range(500)])

    near, far = diff_of(noisy(1.0), noisy(1.0)), diff_of(noisy(1.0), noisy(2.0))
    assert 0.2 < near.noise_band < 0.37  # 2 x sqrt(2) x 0.1 = 0.28
    assert far.within_noise is False
    inside = [diff_of(noisy(1.0), noisy(1.0)).within_noise for _ in range(60)]
    assert sum(inside) >= 50  # 95 of 100
    assert diff_of(of([1.0] * 7), of([1.0] * 7)).noise_band is None


def test_a_trend_is_no_noise() -> None:
    """What lies on a line does not scatter."""
    band = diff_of(of([5.0 - 0.01 * n for n in range(200)]), of([5.0] * 200)).noise_band
    assert band == pytest.approx(0.0, abs=1e-9)


def test_the_first_step_at_a_target_is_compared() -> None:
    """Rising to it or falling to it; never is None, and so is the difference to never."""
    slow, fast = of([0.1 * n for n in range(11)]), of([0.2 * n for n in range(11)])
    target = MetricTargetSpec("train/loss", 0.79, "at_least")
    found = diff_of(slow, fast, metric_targets=(target,)).time_to_target_step
    assert (found.primary, found.reference, found.delta) == (8, 4, 4)
    never = diff_of(slow, fast, metric_targets=(MetricTargetSpec("train/loss", 1.5, "at_least"),)).time_to_target_step
    assert (never.primary, never.reference, never.delta) == (None, 8, None)
    down = diff_of(slow, fast, metric_targets=(MetricTargetSpec("train/loss", 0.0, "at_most"),)).time_to_target_step
    assert (down.primary, down.delta) == (0, 0)
    missing = MetricTargetSpec("val/loss", 0.5, "at_most")
    assert diff_of(slow, fast, "val/loss", metric_targets=(missing,)).time_to_target_step.primary is None


def test_alerts_are_the_same_by_rule_and_subject() -> None:
    """Added, removed, and changed in severity; a run that nobody analyzed is named."""
    one, other = MemoryRunHandle(), MemoryRunHandle("run-2")
    for run, severity in ((one, "critical"), (other, "warning")):
        alert(run, "exploding_gradients", severity, "fc1")
    alert(one, "exploding_gradients", "error", "fc2")
    alert(other, "loss_spike", "warning")
    found = ComparisonEngine(one).compare(other).alert_diff
    assert [(mark.rule_id, mark.subject) for mark in found.added] == [("exploding_gradients", "fc2")]
    assert [mark.rule_id for mark in found.removed] == ["loss_spike"]
    assert [(c.reference, c.primary) for c in found.severity_changed] == [("warning", "critical")]
    assert found.counts_by_severity == {"primary": {"error": 1, "critical": 1}, "reference": {"warning": 2}}
    assert found.not_analyzed == ()
    assert ComparisonEngine(one).compare(MemoryRunHandle("run-3")).alert_diff.not_analyzed == ("reference",)


def test_phases_are_compared_whether_or_not_they_were_kept() -> None:
    """Kept phases and those that are found now give the same answer."""
    one = made(lambda run: losses(run, falling(300)))
    other = made(lambda run: losses(run, [2.0] * 300))
    found = {diff.phase_name: diff for diff in ComparisonEngine(one).compare(other).phase_diffs}
    assert found["rapid_learning"].primary.present
    assert not found["rapid_learning"].reference.present
    assert found["rapid_learning"].delta_start is None
    assert found["stagnation"].reference.duration == 300
    PhaseAnalyzer(one).analyze()
    PhaseAnalyzer(one).analyze(replace_existing=False)
    assert {diff.phase_name: diff for diff in ComparisonEngine(one).compare(other).phase_diffs} == found


def test_layers_are_compared_at_common_steps() -> None:
    """A layer that was looked at more often is compared where both were."""

    def layers(norms: dict[int, float], name: str = "fc1") -> MemoryRunHandle:
        run = MemoryRunHandle()
        for step, norm in norms.items():
            activation(run, name, step, norm=norm)
        return run

    found = ComparisonEngine(layers({0: 1.0, 1: 9.0, 2: 3.0})).compare(layers({0: 1.0, 2: 1.0})).layer_summary_diffs
    assert (found[0].common_steps, found[0].to_dict()["primary"]["norm"], found[0].deltas["norm"]) == (2, 2.0, 1.0)
    apart = ComparisonEngine(layers({0: 1.0})).compare(layers({0: 1.0}, "fc2")).layer_summary_diffs
    assert [(diff.module_name, diff.only_in) for diff in apart] == [("fc1", "primary"), ("fc2", "reference")]
    never = ComparisonEngine(layers({0: 4.0})).compare(layers({1: 1.0})).layer_summary_diffs[0]
    assert (never.common_steps, never.deltas["norm"]) == (0, 3.0)


def recorded(place: Path, level: float, **config: Any) -> quark.TrainingSession:
    """A run in a store, ended."""
    with quark.start_run(project="compare", storage_dir=place, config=config) as session:
        for step in range(40):
            session.log({"train/loss": level + 1.0 / (step + 1)}, step=step)
    return session


def test_runs_are_named_in_every_documented_way(tmp_path: Path) -> None:
    """A session, its context, its id beside a session, a stored run: all give the same answer."""
    candidate, baseline = recorded(tmp_path, 0.5, lr=0.1, net={"d": 2}), recorded(tmp_path, 1.0, lr=0.2, net={"d": 2})
    with quark.open(tmp_path) as store:
        view, other = store.run(candidate.run_id), store.run(baseline.run_id)
        answers = [
            ComparisonEngine(candidate).compare_to_baseline(baseline.run_id),
            ComparisonEngine(candidate.context).compare_to_baseline(baseline.context),
            ComparisonEngine.compare_runs(candidate, baseline, baseline=True),
            ComparisonEngine(view).compare(other, baseline=True),
        ]
    for answer in answers:
        plain = answer.to_dict()
        assert (plain["mode"], plain["schema_version"]) == ("baseline", 1)
        assert (plain["primary"]["id"], plain["reference"]["id"]) == (candidate.run_id, baseline.run_id)
        assert [diff["delta_last"] for diff in plain["metric_diffs"]] == [pytest.approx(-0.5)]
        assert plain["config_diffs"] == [{"key": "lr", "only_in": None, "primary": 0.1, "reference": 0.2}]
        assert "signific" not in str(plain)
    assert ComparisonEngine(candidate).compare(baseline).mode == "pairwise"


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    """The error says what was given and what to give."""
    run = MemoryRunHandle()
    with pytest.raises(RunNotFoundError):
        ComparisonEngine(run).compare("no-such-run")
    with pytest.raises(WrongTypeError, match="RunView"):
        ComparisonEngine("run-1")
    with pytest.raises(WrongTypeError, match="got 3"):
        ComparisonEngine(run).compare(3)
    with pytest.raises(WrongTypeError, match="ComparisonEngineConfig"):
        ComparisonEngine(run, config=3)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="one run at least"):
        ComparisonEngine.compare_group([], [run])
    with pytest.raises(ConfigurationError, match="confidence"):
        ComparisonEngine.compare_group([run], [run], confidence=95)


def test_paired_seeds_give_the_interval_of_their_differences(tmp_path: Path) -> None:
    """What the seeds share cancels: the paired interval is that of Student's t over the differences."""
    seeds, shared = range(4), [0.0, 1.0, 2.0, 3.0]
    ours = [recorded(tmp_path, 1.0 + shared[seed] + 0.01 * seed, seed=seed) for seed in seeds]
    theirs = [recorded(tmp_path, 1.2 + shared[seed], seed=seed) for seed in seeds]
    paired = ComparisonEngine.compare_group(ours, [session.run_id for session in theirs])
    found = paired.metric_diffs[0]
    assert (paired.paired_by, found.method, found.excludes_zero) == ("seed", "paired t", True)
    assert found.delta == pytest.approx(-0.185)
    half = 3.182446 * math.sqrt(sum((0.01 * seed - 0.015) ** 2 for seed in seeds) / 3 / 4)
    assert found.low is not None
    assert found.low == pytest.approx(-0.185 - half, rel=1e-4)
    assert found.high == pytest.approx(-0.185 + half, rel=1e-3)
    loose = ComparisonEngine.compare_group(ours, theirs, pair_by=None).metric_diffs[0]
    assert (loose.method, loose.excludes_zero) == ("Welch t", False)
    single = ComparisonEngine.compare_group(ours, theirs[:1]).metric_diffs[0]
    assert (single.low, single.excludes_zero) == (None, None)
    assert single.method.startswith("no interval")


@pytest.mark.parametrize(
    ("freedom", "wanted"), [(1, 12.7062), (2, 4.30265), (4, 2.776445), (9.5, 2.24430), (200, 1.971896)]
)
def test_quantiles_are_those_of_the_tables(freedom: float, wanted: float) -> None:
    """Student's t at .975, as printed in tables."""
    assert t_quantile(0.975, freedom) == pytest.approx(wanted, rel=2e-4)


def test_welch_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Of 400 intervals over three seeds and four, about 95 of 100 hold the true difference."""
    rng = random.Random(5)
    from quark.analysis.comparison.group import _half_welch

    hits = 0
    for _ in range(400):
        ones, others = [rng.gauss(0, 1) for _ in range(3)], [rng.gauss(0, 2) for _ in range(4)]
        hits += abs(sum(ones) / 3 - sum(others) / 4) <= _half_welch(ones, others, 0.95)
    assert 0.92 <= hits / 400 <= 0.99


def test_bootstrap_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Of 400 intervals about 95 of 100 hold the truth, over skewed levels and over pairs; about 90 beside a single run.

    The logarithms of the levels are normal: a mean of ten such is not, which is what a bootstrap is for.
    """
    rng = random.Random(7)
    skewed = paired = sided = 0
    for trial in range(400):
        ones, others = ([rng.lognormvariate(0, 0.5) + shift for _ in range(10)] for shift in (0.3, 0.0))
        low, high = bootstrap_interval(ones, others, 0.95, [trial], 1000) or (0.0, 0.0)
        skewed += low <= 0.3 <= high
        low, high = bootstrap_interval([rng.gauss(2, 1) for _ in range(8)], None, 0.95, [trial], 1000) or (0.0, 0.0)
        paired += low <= 2 <= high
        low, high = bootstrap_interval([rng.lognormvariate(0, 0.5)], others, 0.95, [trial], 1000) or (0.0, 0.0)
        sided += low <= 0.0 <= high
    assert 0.93 <= skewed / 400 <= 0.98
    assert 0.91 <= paired / 400 <= 0.98
    assert 0.86 <= sided / 400 <= 0.96


def test_a_bootstrap_is_drawn_from_the_seed_and_the_metric_alone() -> None:
    """The same runs and seed give the same interval, whatever else was recorded; another seed another one."""
    rng = random.Random(2)

    def run(shift: float, **more: float) -> MemoryRunHandle:
        made = MemoryRunHandle()
        for step in range(20):
            made.log_values({"train/loss": shift, **more}, step=step)
        return made

    levels = [[rng.gauss(shift, 0.1) for _ in range(5)] for shift in (1.0, 2.0)]
    plain = [[run(level) for level in group] for group in levels]
    more = [[run(level, other=level) for level in group] for group in levels]

    def interval(groups: list[list[MemoryRunHandle]], seed: int = 0) -> tuple[Any, Any]:
        found = ComparisonEngine.compare_group(*groups, seed=seed)
        assert (found.seed, found.resamples) == (seed, 10_000)
        diff = next(diff for diff in found.metric_diffs if diff.metric_key == "train/loss")
        assert (diff.method, diff.excludes_zero) == ("Welch t", True)
        return diff.bootstrap_low, diff.bootstrap_high

    low, high = interval(plain)
    welch = ComparisonEngine.compare_group(*plain).metric_diffs[0]
    assert low == pytest.approx(welch.low, abs=0.05)
    assert high == pytest.approx(welch.high, abs=0.05)
    assert interval(more) == (low, high) == interval(plain)
    assert interval(plain, 1) != (low, high)
    single = ComparisonEngine.compare_group(plain[0], plain[1][:1]).metric_diffs[0]
    assert single.low is None
    assert single.bootstrap_low is not None
    assert single.bootstrap_low < -0.5
    alone = ComparisonEngine.compare_group(plain[0][:1], plain[1][:1]).metric_diffs[0]
    assert (alone.bootstrap_low, alone.bootstrap_high) == (None, None)
    for bad in (-1, 0.5, True):
        with pytest.raises(ConfigurationError, match="seed"):
            interval(plain, bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [2, 3, 5, 40])
def test_a_bootstrap_is_an_average_of_what_was_seen(count: int) -> None:
    """It never goes beyond the extremes that were seen, is exact where nothing varies, and grows with confidence."""
    rng = random.Random(count)
    values = [rng.gauss(0, 1) for _ in range(count)]
    low, high = bootstrap_interval(values, None, 0.95, [0]) or (0.0, 0.0)
    assert min(values) - 1e-12 <= low < sum(values) / count < high <= max(values) + 1e-12
    near = bootstrap_interval(values, None, 0.5, [0]) or (0.0, 0.0)
    assert low <= near[0] <= near[1] <= high
    assert bootstrap_interval([3.0] * count, [1.0] * count, 0.95, [0]) == (2.0, 2.0)
    assert normal_tail(1.959964) == pytest.approx(0.025, rel=1e-5)


FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, 1e-30, 1e30, 1.7e308, -1.7e308])
POINTS = st.lists(st.tuples(st.integers(0, 30) | st.none(), FLOATS), max_size=40)


@given(POINTS, POINTS)
def test_no_records_break_it(one: list[tuple[int | None, float]], other: list[tuple[int | None, float]]) -> None:
    """Empty, one point, constant, unordered, repeated, huge: an answer whose numbers are finite or None."""

    target = MetricTargetSpec("train/loss", 0.0, "at_most")
    runs = written(one), written(other)
    result = ComparisonEngine.compare_runs(*runs, config=ComparisonEngineConfig(metric_targets=(target,)))
    group = ComparisonEngine.compare_group([runs[0]] * 2, [runs[1]] * 2)
    for document in (result.to_dict()["metric_diffs"], group.to_dict()["metric_diffs"]):
        for diff in document:
            numbers = [value for value in diff.values() if isinstance(value, float)]
            assert all(math.isfinite(number) for number in numbers)
