"""AnalyzerEngine: what is wrong with a recorded run, as alerts and scores that are kept with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.reader import RecordFilter
from ..errors import WrongTypeError
from ..records.analysis import AlertRecord, HealthScoreRecord
from ..records.base import Document
from ..records.event import EventRecord
from ..records.grammar import shown
from ..records.literals import ANALYZED
from ..records.thresholds import AnalyzerEngineConfig
from .analysis import Analysis
from .health import health_of
from .progress import no_progress, progress_words
from .rules.base import alert_fields
from .stored import analyze_stored
from .subject import Subject
from .verdict import UNKNOWN, Verdict, verdict_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnalyzerResult(Document):
    """What an analysis found.

    Attributes:
        alerts: what is or was wrong, in the order of the rules.
        health_scores: the whole first, then the categories that had data.
        abstentions: the rules that could not judge, each with what it lacks.
        verdict: all of it in one sentence.
        unknown: what has no score, ``overall`` or a category, each with the reason.
        roles: which metric was taken for what: ``loss``, ``validation_loss``, ``accuracy``, ``learning_rate``, ...
    """

    alerts: tuple[AlertRecord, ...] = ()
    health_scores: tuple[HealthScoreRecord, ...] = ()
    abstentions: Mapping[str, str] = field(default_factory=dict)
    verdict: Verdict
    unknown: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)


AnalyzerResult.__module__ = "quark"


class AnalyzerEngine:
    """Turns what a run recorded into alerts and health scores.

    Args:
        session: a TrainingSession, or the RunContext of one; or the RunView of a stored run, whose outcome is then
            returned and not kept.
        config: limits, names of metrics and what happens to earlier outputs; the defaults if omitted.

    Raises:
        WrongTypeError: an argument is of a wrong type.
    """

    __module__ = "quark"

    def __init__(self, session: Any, *, config: AnalyzerEngineConfig | None = None) -> None:
        self._subject = Subject(session)
        self._config = checked_config(config)

    def analyze(self, *, replace_existing: bool | None = None) -> AnalyzerResult:
        """Judge the run as it is recorded by now, and keep the outcome with it.

        Args:
            replace_existing: whether the alerts and scores of earlier analyses go; as configured if omitted.

        The outcome for a run that has ended is returned and not kept: it takes no more records.
        """
        analysis, _ = analyze_stored(self._subject.run(), self._config)
        result = self._subject.keep(
            AlertRecord.kind, HealthScoreRecord.kind,
            replace=self._config.replace_existing_outputs if replace_existing is None else replace_existing,
            outcome=lambda emit: result_of(analysis, emit),
        )  # fmt: skip
        self._subject.concluded(result.verdict)
        return result

    def read_alerts(
        self, *, rule_id: str | None = None, category: str | None = None, severity: str | None = None,
        step: int | None = None, step_min: int | None = None, step_max: int | None = None, limit: int | None = None,
    ) -> tuple[AlertRecord, ...]:  # fmt: skip
        """The run's alerts in the order of recording, the first ``limit``; the step of an alert is its onset."""
        where = {"rule_id": rule_id, "category": category, "severity": severity}
        return self._read(AlertRecord, where, RecordFilter(step=step, step_min=step_min, step_max=step_max,
                                                           limit=limit))  # fmt: skip

    def read_health_scores(
        self, *, score_key: str | None = None, category: str | None = None, limit: int | None = None
    ) -> tuple[HealthScoreRecord, ...]:
        """The run's health scores in the order of recording, the first ``limit``."""
        return self._read(HealthScoreRecord, {"score_key": score_key, "category": category}, RecordFilter(limit=limit))

    def _read(self, cls: Any, where: Mapping[str, Any], bounds: RecordFilter) -> tuple[Any, ...]:
        wanted = {name: value for name, value in where.items() if value is not None}
        return tuple(self._subject.run().records(cls.kind, replace(bounds, where=wanted)))


def result_of(analysis: Analysis, emit: Any) -> AnalyzerResult:
    """What the rules say as records, each made by ``emit(cls, fields, step=, epoch=)``."""
    alerts = tuple(
        emit(AlertRecord, alert_fields(finding), step=finding.step_start, epoch=finding.epoch)
        for outcome in analysis.result()
        for finding in outcome.findings
    )
    return concluded(analysis, alerts, emit)


def concluded(analysis: Analysis, alerts: Sequence[AlertRecord], emit: Any) -> AnalyzerResult:
    """The scores and the verdict beside the alerts, recorded by ``emit``."""
    outcomes = analysis.result()
    lacking = no_progress(analysis)
    health = health_of(outcomes, alerts, lacking)
    scores = tuple(emit(HealthScoreRecord, fields) for fields in health.scores)
    overall = next((score for score in scores if score.score_key == "overall"), None)
    verdict = verdict_of(
        alerts, overall.status if overall else UNKNOWN, overall.score if overall else None,
        f"No fault was found: {progress_words(analysis)}." if lacking is None else f"Health unknown: {lacking}.",
    )  # fmt: skip
    roles = analysis.roles.taken()
    payload = {"verdict": verdict.to_dict(), "unknown": health.unknown, "roles": roles}
    emit(EventRecord, {"event_type": ANALYZED, "severity": "info", "payload": payload})
    abstained = {one.rule_id: one.abstained for one in outcomes if one.abstained}
    return AnalyzerResult(
        alerts=tuple(alerts), health_scores=scores, abstentions=abstained, verdict=verdict, unknown=health.unknown,
        roles=roles,
    )  # fmt: skip


def checked_config(config: Any) -> AnalyzerEngineConfig:
    """``config``, or the defaults for None.

    Raises:
        WrongTypeError: it is something else.
    """
    if config is None:
        return AnalyzerEngineConfig()
    if not isinstance(config, AnalyzerEngineConfig):
        raise WrongTypeError(f"config must be an AnalyzerEngineConfig, got {shown(config)}")
    return config
