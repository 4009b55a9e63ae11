"""Finds the curves that phases are read from among the metrics of a run."""

from dataclasses import dataclass
from typing import Any

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
    nonfinite = _nonfinite(run)
    keys = [*run.keys(), *nonfinite]
    guessed = Roles(AnalyzerEngineConfig())
    for key in keys:
        guessed.of(key)

    def pick(named: tuple[str, ...], role: str) -> str | None:
        return next((key for key in named if key in keys), None) or guessed.key(role)

    known = set(run.keys())
    for accuracy, train, validation in (
        (False, pick(config.train_loss_metric_keys, roles.LOSS),
         pick(config.val_loss_metric_keys, roles.VALIDATION_LOSS)),
        (True, pick(config.train_accuracy_metric_keys, roles.ACCURACY),
         pick(config.val_accuracy_metric_keys, roles.VALIDATION_ACCURACY)),
    ):  # fmt: skip
        main = train or validation
        if main is None:
            continue
        curve = curve_of(run.series(main), accuracy=accuracy) if main in known else None
        beside = validation if validation != main and validation in known else None
        other = curve_of(run.series(beside), accuracy=accuracy) if beside is not None else None
        return Courses(curve, other, main, _broken(curve, nonfinite.get(main, [])))
    return Courses(None, None, "", None)


def _nonfinite(run: StoredRun) -> dict[str, list[int]]:
    """The steps at which metrics were not finite, by key; a value without a step is of the latest step before."""
    made: dict[str, list[int]] = {}
    for record in run.records("event"):
        event: Any = record
        if event.event_type == "metric_nonfinite" and "key" in event.payload:
            made.setdefault(str(event.payload["key"]), []).append(-1 if event.step is None else event.step)
    return made


def _broken(curve: Curve | None, steps: list[int]) -> tuple[int, int] | None:
    last = -1 if curve is None else int(curve.last[-1])
    after = [step for step in steps if step > last]
    if after:
        return min(after), max(after)
    return (0, 0) if steps and curve is None else None
