"""Finds the curves that phases are read from among the metrics of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...records.naming import NONFINITE, nonfinite_name
from ...records.thresholds import AnalyzerEngineConfig, PhaseAnalyzerConfig
from .. import roles
from ..roles import Roles
from ..subject import StoredRun
from .curve import Curve, curve_of


@dataclass(frozen=True, slots=True)
class Courses:
    """The curves of a run.

    Attributes:
        main: of training, or of validation if training has none; None if neither is there.
        validation: beside ``main``, of the same kind (loss or accuracy).
        key: of the metric that is ``main``, even if it was never finite.
        broken: steps of the last stretch in which it was not finite, if it ended so.
    """

    main: Curve | None
    validation: Curve | None
    key: str
    broken: tuple[int, int] | None


def courses_of(run: StoredRun, config: PhaseAnalyzerConfig) -> Courses:
    """The curves of a run: metrics that are configured come first, then those whose names say what they are."""
    nonfinite = nonfinite_steps(run)
    known = run.keys()
    taken = chosen([*known, *nonfinite], config)
    if taken is None:
        return Courses(None, None, "", None)
    curve = curve_of(run.series(taken.main), accuracy=taken.accuracy) if taken.main in known else None
    beside = taken.beside if taken.beside in known else None
    other = None if beside is None else curve_of(run.series(beside), accuracy=taken.accuracy)
    return Courses(curve, other, taken.main, _broken(curve, nonfinite.get(taken.main, [])))


@dataclass(frozen=True, slots=True)
class Chosen:
    """The metrics that phases are read from: ``main``, and of validation ``beside`` it; losses or accuracies."""

    main: str
    beside: str | None
    accuracy: bool


def chosen(keys: Sequence[str], config: PhaseAnalyzerConfig) -> Chosen | None:
    """Which of these metrics phases are read from; None if there are neither losses nor accuracies."""
    guessed = Roles(AnalyzerEngineConfig())
    for key in keys:
        guessed.of(key)

    def pick(named: tuple[str, ...], role: str) -> str | None:
        return next((key for key in named if key in keys), None) or guessed.key(role)

    for accuracy, train, validation in (
        (False, pick(config.train_loss_metric_keys, roles.LOSS),
         pick(config.val_loss_metric_keys, roles.VALIDATION_LOSS)),
        (True, pick(config.train_accuracy_metric_keys, roles.ACCURACY),
         pick(config.val_accuracy_metric_keys, roles.VALIDATION_ACCURACY)),
    ):  # fmt: skip
        main = train or validation
        if main is not None:
            return Chosen(main, validation if validation != main else None, accuracy)
    return None


def nonfinite_steps(run: StoredRun) -> dict[str, list[int]]:
    """The steps at which metrics were not finite, by key; -1 for a value without a step."""
    made: dict[str, list[int]] = {}
    for record in run.records("event"):
        event: Any = record
        if event.event_type == NONFINITE and "key" in event.payload:
            made.setdefault(nonfinite_name(event.payload), []).append(-1 if event.step is None else event.step)
    return made


def _broken(curve: Curve | None, steps: list[int]) -> tuple[int, int] | None:
    last = -1 if curve is None else int(curve.last[-1])
    after = [step for step in steps if step > last]
    if after:
        return min(after), max(after)
    return (0, 0) if steps and curve is None else None
