"""PhaseAnalyzer: a recorded run as a row of phases that are kept with it."""

import math
from dataclasses import dataclass, replace
from typing import Any

from ...core.reader import RecordFilter
from ...errors import WrongTypeError
from ...records.analysis import EvidenceRecord, PhaseRecord
from ...records.base import Document
from ...records.grammar import one_of, shown
from ...records.literals import PHASE_NAMES
from ...records.thresholds import PhaseAnalyzerConfig, PhaseAnalyzerThresholds
from ..subject import Subject
from .bending import fit
from .course import Courses, courses_of
from .curve import Curve
from .naming import Departure, Stretch, departures, named

DISPLAY: dict[str, str] = {
    "initialization_adaptation": "Initialization", "rapid_learning": "Rapid learning",
    "stabilization": "Stabilization", "stagnation": "Stagnation", "overfitting_onset": "Overfitting",
    "divergence": "Divergence",
}  # fmt: skip
MEANINGS: dict[str, str] = {
    "initialization_adaptation": "the start, before anything was learned",
    "rapid_learning": "the loss falls fast", "stabilization": "the loss falls slowly",
    "stagnation": "the loss does not fall", "overfitting_onset": "validation worsens while training improves",
    "divergence": "the loss ran away from the best that was reached",
}  # fmt: skip
SETTLED = 3
"""Blocks from which the last phase of a run that goes on is no longer provisional."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhaseAnalysisResult(Document):
    """The phases of a run.

    Attributes:
        phases: in the order of their steps; they follow each other without overlap.
        provisional: whether the run goes on and its last phase is too young to be certain of.
        abstention: why there are no phases; None if there are.
    """

    phases: tuple[PhaseRecord, ...] = ()
    provisional: bool = False
    abstention: str | None = None


PhaseAnalysisResult.__module__ = "quark"


class PhaseAnalyzer:
    """Divides a run into phases: rapid learning, stabilization, stagnation, overfitting onset, divergence.

    It reads the training loss, or the training accuracy if there is no loss, and the validation loss or accuracy
    beside it. It can be asked while the run goes on, as often as one likes, and sees the same either way.

    Args:
        session: a TrainingSession, or the RunContext of one; or the RunView of a stored run, whose phases are then
            returned and not kept.
        config: limits, names of metrics and what happens to earlier outputs; the defaults if omitted.

    Raises:
        WrongTypeError: an argument is of a wrong type.
    """

    __module__ = "quark"

    def __init__(self, session: Any, *, config: PhaseAnalyzerConfig | None = None) -> None:
        self._subject = Subject(session)
        if config is not None and not isinstance(config, PhaseAnalyzerConfig):
            raise WrongTypeError(f"config must be a PhaseAnalyzerConfig, got {shown(config)}")
        self._config = config or PhaseAnalyzerConfig()

    def analyze(self, *, replace_existing: bool | None = None) -> PhaseAnalysisResult:
        """Divide the run as it is recorded by now, and keep the phases with it.

        Args:
            replace_existing: whether the phases of earlier analyses go; as configured if omitted.

        The phases of a run that has ended are returned and not kept: it takes no more records.
        """
        subject = self._subject
        going = subject.going
        spans = phases_of(courses_of(subject.run(), self._config), self._config.thresholds)
        return subject.keep(
            PhaseRecord.kind,
            replace=self._config.replace_existing_outputs if replace_existing is None else replace_existing,
            outcome=lambda emit: result_of(spans, emit, going=going),
        )

    def read_phases(
        self, *, phase_name: str | None = None, step: int | None = None, step_min: int | None = None,
        step_max: int | None = None, limit: int | None = None,
    ) -> tuple[PhaseRecord, ...]:  # fmt: skip
        """The run's phases in the order of recording, the first ``limit``; the step of a phase is its first one."""
        where = {} if phase_name is None else {"phase_name": one_of(phase_name, PHASE_NAMES, "phase_name")}
        bounds = RecordFilter(step=step, step_min=step_min, step_max=step_max, limit=limit, where=where)
        found: Any = self._subject.run().records(PhaseRecord.kind, bounds)
        return tuple(found)


def result_of(spans: list["Span"], emit: Any, *, going: bool) -> PhaseAnalysisResult:
    """Phases as records, each made by ``emit(cls, fields, step=)``, of a run that goes on or not."""
    if not spans:
        return PhaseAnalysisResult(abstention="the run has neither a training nor a validation loss or accuracy")
    young = going and spans[-1].blocks < SETTLED
    phases = tuple(
        emit(PhaseRecord, _fields(span, provisional=young and span is spans[-1]), step=span.step_start)
        for span in spans
    )
    return PhaseAnalysisResult(phases=phases, provisional=young)


@dataclass(frozen=True, slots=True)
class Span:
    """A phase before it is a record: name, steps, how many blocks it rests on, and why."""

    name: str
    step_start: int
    step_end: int
    blocks: float
    evidence: EvidenceRecord


def phases_of(courses: Courses, limits: PhaseAnalyzerThresholds) -> list[Span]:
    """The phases of the curves of a run, in the order of their steps."""
    main = courses.main
    spans: list[Span] = []
    if main is not None:
        course = fit(main.levels)
        spans = [_span(main, one, limits) for one in named(main, course, limits)]
        if courses.validation is not None:
            for one in departures(main, course, courses.validation, limits):
                spans = _laid_over(spans, _departure_span(courses.validation, one, limits, main))
    broken = courses.broken
    if broken is not None:
        end = EvidenceRecord(kind="metric", source=courses.key, summary="the loss is not a finite number",
                             step_start=broken[0], step_end=broken[1])  # fmt: skip
        spans.append(Span("divergence", *broken, math.inf, end))
    return _merged(spans)


def _span(curve: Curve, one: Stretch, limits: PhaseAnalyzerThresholds) -> Span:
    wanted = {
        "rapid_learning": limits.rapid_learning_min_relative_change,
        "stabilization": limits.stagnation_max_relative_change,
        "stagnation": limits.stagnation_max_relative_change,
        "divergence": limits.divergence_from_best_ratio,
    }.get(one.name)
    rate = math.expm1(min(one.rate, 700.0))
    unit = "relative change" if curve.positive else "change on the asinh scale"
    shown_rate = rate if curve.positive else one.rate
    first, last = int(curve.first[one.start]), int(curve.last[one.stop - 1])
    evidence = EvidenceRecord(
        kind="metric", source=curve.key, summary=f"{unit} per tenth of the run: {shown_rate:+.3g}",
        observed_value=shown_rate, threshold_value=wanted, step_start=first, step_end=last,
    )  # fmt: skip
    return Span(one.name, first, last, one.stop - one.start, evidence)


def _departure_span(curve: Curve, one: Departure, limits: PhaseAnalyzerThresholds, train: Curve) -> Span:
    first, last = int(curve.first[one.start]), int(curve.last[one.stop - 1])
    end = int(train.last[-1]) if one.stop == len(curve) else last
    evidence = EvidenceRecord(
        kind="metric", source=curve.key,
        summary=f"validation rose by {math.expm1(min(one.regression, 700.0)):.1%} while training fell by "
        f"{-math.expm1(-one.improvement):.1%}",
        observed_value=math.expm1(min(one.gap, 700.0)), threshold_value=limits.overfitting_min_gap,
        step_start=first, step_end=last,
    )  # fmt: skip
    return Span("overfitting_onset", first, max(first, end), one.stop - one.start, evidence)


def _laid_over(spans: list[Span], over: Span) -> list[Span]:
    """A phase takes the steps that it covers from the others, divergence excepted."""
    made: list[Span] = []
    for one in spans:
        if one.name == "divergence" or one.step_end < over.step_start or one.step_start > over.step_end:
            made.append(one)
            continue
        length = max(one.step_end - one.step_start, 1)
        if one.step_start < over.step_start:
            left = (over.step_start - one.step_start) / length * one.blocks
            made.append(replace(one, step_end=over.step_start - 1, blocks=left))
        if one.step_end > over.step_end:
            right = (one.step_end - over.step_end) / length * one.blocks
            made.append(replace(one, step_start=over.step_end + 1, blocks=right))
    taken = next((one.step_start for one in spans if one.name == "divergence" and one.step_start > over.step_start),
                 over.step_end + 1)  # fmt: skip
    made.append(replace(over, step_end=max(over.step_start, min(over.step_end, taken - 1))))
    return sorted(made, key=lambda one: one.step_start)


def _merged(spans: list[Span]) -> list[Span]:
    made: list[Span] = []
    for one in spans:
        if made and made[-1].name == one.name:
            made[-1] = replace(made[-1], step_end=one.step_end, blocks=made[-1].blocks + one.blocks)
        else:
            made.append(one)
    return made


def _fields(span: Span, *, provisional: bool) -> dict[str, Any]:
    young = " It is young: more of the run may change it." if provisional else ""
    summary = f"From step {span.step_start} to {span.step_end} {MEANINGS[span.name]}; {span.evidence.summary}.{young}"
    return {
        "phase_name": span.name, "display_name": DISPLAY[span.name], "summary": summary,
        "step_start": span.step_start, "step_end": span.step_end, "evidence": (span.evidence,),
    }  # fmt: skip
