"""ComparisonEngine: one run beside another, or many beside many."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from ...errors import WrongTypeError
from ...records.base import format_timestamp
from ...records.configs import ComparisonEngineConfig
from ...records.grammar import shown
from .group import GroupComparisonResult, group_result
from .metrics import metric_diffs
from .parts import alert_diff, config_diffs, layer_diffs, phase_diffs
from .result import RunComparisonResult
from .sides import Side, side_of


class ComparisonEngine:
    """Tells what differs between runs: metrics, alerts, phases, layers and configuration. Nothing is written.

    Args:
        session: the primary run: a TrainingSession, a RunContext, or the RunView of a stored run.
        config: targets whose first step is compared; none if omitted.

    Raises:
        WrongTypeError: an argument is of a wrong type.
    """

    __module__ = "quark"

    def __init__(self, session: Any, *, config: ComparisonEngineConfig | None = None) -> None:
        self._config = _checked(config)
        if isinstance(session, str):
            raise WrongTypeError(f"the primary run must be a TrainingSession, RunContext or RunView, got {session!r}")
        self._primary = session
        side_of(session).close()

    def compare(self, other: Any, *, baseline: bool = False) -> RunComparisonResult:
        """The primary run beside another, as both are recorded by now.

        Args:
            other: a TrainingSession, a RunContext, a RunView, or the id of a run of the primary's store.
            baseline: whether the other one is the baseline; it changes the result's ``mode`` only.

        Raises:
            RunNotFoundError: the store has no run of this id.
            WrongTypeError: ``other`` is something else.
        """
        with ExitStack() as opened:
            primary = side_of(self._primary)
            opened.callback(primary.close)
            reference = side_of(other, primary)
            opened.callback(reference.close)
            return _compared(primary, reference, baseline, self._config)

    def compare_to_baseline(self, baseline_run: Any) -> RunComparisonResult:
        """The primary run beside its baseline; see ``compare``."""
        return self.compare(baseline_run, baseline=True)

    @classmethod
    def compare_runs(
        cls, primary: Any, reference: Any, *, baseline: bool = False, config: ComparisonEngineConfig | None = None
    ) -> RunComparisonResult:
        """Two runs in one call; see ``compare``."""
        return cls(primary, config=config).compare(reference, baseline=baseline)

    @staticmethod
    def compare_group(
        runs: Sequence[Any], baselines: Sequence[Any], *, pair_by: str | None = "seed", confidence: float = 0.95,
        seed: int = 0,
    ) -> GroupComparisonResult:  # fmt: skip
        """Several runs of one setting beside several of another: mean differences of final levels with intervals.

        Args:
            runs, baselines: sessions, contexts, views, or ids of runs of the first run's store.
            pair_by: dotted path of the setting whose equal values pair the runs, as seeds do; None: not paired. They
                are not paired either if a run lacks it, a value comes twice or has no partner.
            confidence: of each interval.
            seed: of the bootstrap; equal seeds give equal intervals.

        Raises:
            ConfigurationError: a group is empty, the confidence is not between 0 and 1, or the seed is below zero.
            RunNotFoundError, WrongTypeError: as of ``compare``.
        """
        sides: list[list[Side]] = []
        first: Side | None = None
        with ExitStack() as opened:
            for group in (runs, baselines):
                if isinstance(group, str) or not isinstance(group, Sequence):
                    raise WrongTypeError(f"compare_group takes two lists of runs, got {shown(group)}")
                sides.append([])
                for target in group:
                    side = side_of(target, first)
                    opened.callback(side.close)
                    sides[-1].append(side)
                    first = first or side
            return group_result(sides[0], sides[1], pair_by, confidence, seed)


def _compared(primary: Side, reference: Side, baseline: bool, config: ComparisonEngineConfig) -> RunComparisonResult:
    return RunComparisonResult(
        generated_at=format_timestamp(time.time_ns()),
        mode="baseline" if baseline else "pairwise",
        primary=primary.record,
        reference=reference.record,
        metric_diffs=metric_diffs(primary, reference, config.metric_targets),
        alert_diff=alert_diff(primary, reference),
        phase_diffs=phase_diffs(primary, reference),
        layer_summary_diffs=layer_diffs(primary, reference),
        config_diffs=config_diffs(primary, reference),
    )


def _checked(config: Any) -> ComparisonEngineConfig:
    if config is None:
        return ComparisonEngineConfig()
    if not isinstance(config, ComparisonEngineConfig):
        raise WrongTypeError(f"config must be a ComparisonEngineConfig, got {shown(config)}")
    return config
