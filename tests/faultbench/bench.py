"""Runs scenarios, asks the rules, and counts how right they were."""

import random
import statistics
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch

import quark
from quark.analysis.rules import Finding
from quark.analysis.stored import analyze_stored
from quark.analysis.subject import Subject
from quark.records.thresholds import AnalyzerEngineConfig

from .scenarios import FAULTS, HEALTHY, Scenario
from .training import Outcome, Plan, came_about, train

DYNAMICS = frozenset((
    "exploding_gradients", "vanishing_gradients", "stagnant_layers", "activation_collapse", "overfitting_onset",
    "nonfinite_values", "loss_spike", "lr_too_high", "lr_too_low", "no_learning", "parameters_not_optimized",
    "train_eval_mismatch",
))  # fmt: skip
"""The rules about the training itself; the machine's are tested with times that are known."""

EVALUATED = frozenset(("overfitting_onset", "train_eval_mismatch"))
"""The rules that look at evaluations: their delay is counted in these."""


@dataclass
class Case:
    """One run and what was said of it: alerts of at least warning, each rule with the step at which it spoke."""

    name: str
    seed: int
    plan: Plan
    valid: bool
    said: dict[str, int]
    first: dict[str, Finding] = field(default_factory=dict)

    @property
    def right(self) -> set[str]:
        """Rules that told the truth."""
        return set(self.said) & (self.plan.expected | self.plan.accepted)

    @property
    def wrong(self) -> set[str]:
        """Rules that did not."""
        return set(self.said) - self.plan.expected - self.plan.accepted

    @property
    def found(self) -> bool:
        """Whether the fault was named."""
        return bool(set(self.said) & self.plan.expected)

    @property
    def delay(self) -> float | None:
        """Probes (for what evaluations tell: evaluations) from the onset to the first alert that names the fault."""
        steps = [self.said[rule] for rule in self.plan.expected if rule in self.said]
        if not steps:
            return None
        cadence = self.plan.evaluate if self.plan.expected & EVALUATED else self.plan.every
        return max(0, min(steps) - self.plan.onset) / cadence


def run_case(scenario: Scenario, seed: int, directory: Path) -> Case:
    """Train a scenario as the seed perturbs it, and ask the rules."""
    rng = random.Random(f"{scenario.__name__}-{seed}")
    torch.manual_seed(rng.randrange(2**31))
    plan = scenario(rng)
    outcome = train(plan, directory)
    return judged(scenario.__name__, seed, plan, outcome, directory)


def judged(name: str, seed: int, plan: Plan, outcome: Outcome, directory: Path) -> Case:
    """Ask the rules about a recorded run, and hindsight about its fault."""
    with quark.open(directory) as store:
        _, findings = analyze_stored(Subject(store.run(outcome.run_id)).run(), AnalyzerEngineConfig())
    said: dict[str, int] = {}
    first: dict[str, Finding] = {}
    for finding in findings:
        if finding.rule_id in DYNAMICS and finding.severity != "info" and finding.rule_id not in said:
            said[finding.rule_id] = finding.step_end or 0
            first[finding.rule_id] = finding
    case = Case(name, seed, plan, came_about(plan, outcome), said, first)
    if "overfitting_onset" in plan.expected and outcome.validation:
        plan.onset = (_onset(outcome.validation) + 1) * plan.evaluate
    return case


def _onset(validation: list[float]) -> int:
    """The first evaluation from which on the loss stays more than a tenth above its best so far."""
    best = min(range(len(validation)), key=lambda at: validation[at])
    below = [at for at in range(best, len(validation)) if validation[at] <= 1.1 * validation[best]]
    return min(below[-1] + 1, len(validation) - 1)


def run_all(seeds: Iterable[int], scenarios: Iterable[Scenario] = (*FAULTS, *HEALTHY)) -> list[Case]:
    """Every scenario with every seed. One thread: what is measured is the rules, not the machine."""
    chosen = tuple(scenarios)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as directory:
            return [
                run_case(scenario, seed, Path(directory, f"{scenario.__name__}-{seed}"))
                for seed in seeds for scenario in chosen
            ]  # fmt: skip
    finally:
        torch.set_num_threads(threads)


@dataclass
class Score:
    """The counts of the runs whose fault came about, and of the healthy ones that did learn."""

    faulty: int
    found: int
    right: int
    wrong: int
    healthy: int
    false_alarms: int
    delays: list[float]
    overfitting_delays: list[float]

    @property
    def precision(self) -> float:
        """Share of the alerts that told the truth."""
        return self.right / max(self.right + self.wrong, 1)

    @property
    def recall(self) -> float:
        """Share of the faults that were named."""
        return self.found / max(self.faulty, 1)

    @property
    def false_alarm_rate(self) -> float:
        """Share of the healthy runs with an alert."""
        return self.false_alarms / max(self.healthy, 1)

    @property
    def delay(self) -> float:
        """Median delay in probes."""
        return statistics.median(self.delays) if self.delays else 0.0


def score(cases: Iterable[Case]) -> Score:
    """Count."""
    valid = [case for case in cases if case.valid]
    faulty = [case for case in valid if case.plan.expected]
    healthy = [case for case in valid if not case.plan.expected]
    overfit = [case for case in faulty if "overfitting_onset" in case.plan.expected]
    return Score(
        faulty=len(faulty), found=sum(case.found for case in faulty), right=sum(len(case.right) for case in valid),
        wrong=sum(len(case.wrong) for case in valid), healthy=len(healthy),
        false_alarms=sum(bool(case.wrong) for case in healthy),
        delays=[case.delay for case in faulty if case.delay is not None and not case.plan.expected & EVALUATED],
        overfitting_delays=[case.delay for case in overfit if case.delay is not None],
    )  # fmt: skip
