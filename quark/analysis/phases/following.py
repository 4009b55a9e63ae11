"""Follows the phases of a run while it trains: looked for anew as the run grows, written down when they change."""

from collections.abc import Callable
from typing import Any

from ...records.analysis import PhaseRecord
from ...records.naming import NONFINITE, nonfinite_name
from ...records.thresholds import PhaseAnalyzerConfig
from .. import roles
from ..frames import Frame
from ..roles import role_of
from ..subject import StoredRun
from .analyzer import PhaseAnalysisResult, Span, phases_of, result_of
from .course import Chosen, Courses, chosen, nonfinite_steps
from .folding import Fold

FIRST = 12
"""Values of the loss from which phases are looked for."""

GROWTH, MORE = 1 / 8, 4
"""By which share, and how many values at least, a run grows between two looks: phases last tenths of a run."""

MOVED = 1 / 20
"""Share of the run by which a bound must move for the phases to be written again."""

MOST_METRICS = 64
"""Metrics that are followed at most."""

MOST_OTHERS = 10_000
"""Metrics at most of which it is remembered that they are of no use."""

_LOSSES = (roles.LOSS, roles.VALIDATION_LOSS)
_ACCURACIES = (roles.ACCURACY, roles.VALIDATION_ACCURACY)


class PhaseFollower:
    """The phases of a run that goes on, in memory that does not grow with it.

    Args:
        config: limits, names of metrics, and whether phases that were written before go.

    Attributes:
        spans: the phases at the last look.
        written: the phases that were written last.
    """

    def __init__(self, config: PhaseAnalyzerConfig) -> None:
        self._config = config
        self._named = {
            **dict.fromkeys((*config.train_loss_metric_keys, *config.val_loss_metric_keys), False),
            **dict.fromkeys((*config.train_accuracy_metric_keys, *config.val_accuracy_metric_keys), True),
        }
        self._folds: dict[str, Fold] = {}
        self._others: set[str] = set()
        self._rank: int | None = None
        self._chosen: Chosen | None = None
        self._main: Fold | None = None
        self._next = 0
        self._broken = False
        self._provisional = False
        self.spans: list[Span] = []
        self.written: list[Span] = []

    def feed(self, frame: Frame) -> None:
        """Take what a process recorded of a step; the process that has a loss first is followed."""
        if self._rank is not None and frame.rank != self._rank:
            return
        for key, value in frame.values.items():
            fold = self._folds.get(key) or self._begun(key, frame.rank)
            if fold is not None:
                fold.add(value, frame.step, frame.epoch)
        for event in frame.events:
            if event.event_type == NONFINITE:
                key = nonfinite_name(event.payload)
                fold = self._folds.get(key) or self._begun(key, frame.rank)
                if fold is not None:
                    fold.break_off(frame.step)

    def catch_up(self, run: StoredRun, *, before: int) -> None:
        """Take what attempts before this one recorded."""
        for key in run.keys():  # noqa: SIM118  it is no dictionary
            if self._accuracy(key) is None:
                continue
            series = run.series(key)
            rank = self._rank if self._rank is not None or not len(series) else int(series.ranks[0])
            kept = (series.attempts < before) & (series.ranks == rank)
            fold = self._begun(key, rank or 0) if kept.any() else None
            if fold is not None:
                steps, epochs, values = (getattr(series, name)[kept].tolist() for name in ("steps", "epochs", "values"))
                for step, epoch, value in zip(steps, epochs, values, strict=True):
                    fold.add(value, None if step < 0 else step, None if epoch < 0 else epoch)
        for key, steps in nonfinite_steps(run).items():
            for step in steps if key in self._folds else ():
                self._folds[key].break_off(step)

    def _accuracy(self, key: str) -> bool | None:
        """Whether a metric is an accuracy or a loss; None for any other."""
        role = (role_of(key) or ("", 0))[0]
        return self._named.get(key, True if role in _ACCURACIES else False if role in _LOSSES else None)

    def _begun(self, key: str, rank: int) -> Fold | None:
        """The course of a metric that was not seen before; None if it is of no use for phases."""
        if key in self._others:
            return None
        accuracy = self._accuracy(key)
        if accuracy is None or len(self._folds) >= MOST_METRICS:
            if len(self._others) < MOST_OTHERS:
                self._others.add(key)
            return None
        self._rank = rank
        fold = self._folds[key] = Fold(key, accuracy=accuracy)
        before = self._main
        self._chosen = chosen(list(self._folds), self._config)
        self._main = None if self._chosen is None else self._folds[self._chosen.main]
        if self._main is not before:
            self._next = FIRST
        return fold

    @property
    def due(self) -> bool:
        """Whether the run has grown enough since the last look, or has just broken off."""
        main = self._main
        return main is not None and (main.points >= self._next or (main.broken is not None and not self._broken))

    def look(self) -> None:
        """Look for the phases of all that was fed."""
        main, taken = self._main, self._chosen
        if main is None or taken is None:
            return
        self._next = max(main.points + max(int(main.points * GROWTH), MORE), FIRST)
        self._broken = main.broken is not None
        beside = None if taken.beside is None else self._folds[taken.beside]
        courses = Courses(main.curve(), None if beside is None else beside.curve(), taken.main, main.broken)
        self.spans = phases_of(courses, self._config.thresholds)

    def news(self, *, ended: bool) -> bool:
        """Whether the phases are others than those that were written; at the end, in any detail."""
        now, before = self.spans, self.written
        if ended:
            return self._provisional or _bounds(now) != _bounds(before)
        if not self._config.replace_existing_outputs:
            return False  # what was written could not be taken back
        if [one.name for one in now] != [one.name for one in before]:
            return True
        room = MOVED * (now[-1].step_end - now[0].step_start + 1) if now else 0.0
        return any(abs(one.step_start - old.step_start) > room for one, old in zip(now, before, strict=True))

    def result(self, emit: Any, *, going: bool) -> PhaseAnalysisResult:
        """The phases of the last look as records."""
        return result_of(self.spans, emit, going=going)

    def write(self, emit: Any, discard: Callable[[str], Any], *, going: bool) -> PhaseAnalysisResult:
        """The same, to be kept: earlier ones are discarded unless they are to stay."""
        if self._config.replace_existing_outputs:
            discard(PhaseRecord.kind)
        made = self.result(emit, going=going)
        self.written, self._provisional = self.spans, made.provisional
        return made


def _bounds(spans: list[Span]) -> list[tuple[str, int, int]]:
    return [(one.name, one.step_start, one.step_end) for one in spans]
