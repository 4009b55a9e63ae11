"""How each side of the training does, as a score: what its alerts cost; unknown where nothing could be judged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from ..records.analysis import AlertRecord
from ..records.literals import AlertCategory, AlertSeverity
from .rules import RULES, RuleOutcome
from .rules.base import evidence

PENALTY = {"info": 0.0, "warning": 15.0, "error": 35.0, "critical": 60.0}
"""What the worst alert of a rule takes from the score of its category."""

HIGHEST = {"info": 100.0, "warning": 84.0, "error": 64.0, "critical": 39.0}
"""The highest score of a category beside an alert, and of the whole beside one that is not about the runtime."""

_CATEGORIES = get_args(AlertCategory)
_SEVERITIES = get_args(AlertSeverity)
_STATUS = ((85.0, "healthy"), (65.0, "watch"), (40.0, "degraded"))
_SCORED = {rule.name for rule in RULES if rule.scored}
_NEEDS = {rule.name: rule.needs for rule in RULES}


@dataclass(frozen=True, slots=True)
class Health:
    """The scores of a run.

    Attributes:
        scores: fields of a HealthScoreRecord: the whole first, then the categories; only what is known.
        unknown: what has no score, ``overall`` or a category, each with the reason.
    """

    scores: list[dict[str, Any]]
    unknown: dict[str, str]


def status_of_score(score: float) -> str:
    """The score in a word."""
    return next((word for least, word in _STATUS if score >= least), "critical")


def health_of(outcomes: Sequence[RuleOutcome], alerts: Sequence[AlertRecord], no_progress: str | None = None) -> Health:
    """The health of a run by its rules and their alerts; a further alert never raises a score.

    A category is scored if one of its rules could judge, or if it has an alert of at least a warning; optimization only
    if the training made progress, since the absence of alerts says little about a loss that is not known or that has
    not fallen. A category starts at 100, each of its rules takes the penalty of its worst alert, and the worst alert
    of all bounds it. The whole is the mean of the categories that could be judged, at most 20 above the lowest score,
    and bounded by the worst alert that is not about the runtime. It is unknown while optimization is, unless there is
    such an alert.

    Args:
        no_progress: why it is not known that the training made progress; None if it did.
    """
    harmful = [alert for alert in alerts if PENALTY[alert.severity] and alert.category != "runtime"]
    judged: dict[str, int] = dict.fromkeys(_CATEGORIES, 0)
    for outcome in outcomes:
        judged[outcome.category] += outcome.abstained is None and outcome.rule_id in _SCORED
    if no_progress is not None:
        judged["optimization"] = 0
    unknown, made = {}, []
    for category in _CATEGORIES:
        own = [alert for alert in alerts if alert.category == category]
        if judged[category] or any(PENALTY[alert.severity] for alert in own):
            made.append(_category(category, own, judged[category]))
        else:
            unknown[category] = _reason(category, outcomes, no_progress)
    if not made or ("optimization" in unknown and not harmful):
        return Health(made, {"overall": unknown.get("optimization", "nothing could be judged"), **unknown})
    scores = [one["score"] for one in made]
    known = [one["score"] for one in made if judged[one["category"]]] or [min(scores)]
    whole = min(sum(known) / len(known), min(scores) + 20.0, _highest(harmful))
    reasons = [evidence("score", one["score_key"], one["status"], one["score"]) for one in made]
    ids = [name for one in made for name in one["contributing_alert_ids"]]
    return Health([_score("overall", None, whole, reasons, ids), *made], unknown)


def _category(category: str, alerts: Sequence[AlertRecord], judged: int) -> dict[str, Any]:
    worst: dict[str, AlertRecord] = {}
    for alert in alerts:
        held = worst.get(alert.rule_id)
        if held is None or _SEVERITIES.index(alert.severity) > _SEVERITIES.index(held.severity):
            worst[alert.rule_id] = alert
    score = max(0.0, min(100.0 - sum(PENALTY[alert.severity] for alert in worst.values()), _highest(alerts)))
    reasons = [
        evidence("alert", alert.rule_id, f"{alert.severity}: {alert.title}", PENALTY[alert.severity], None,
                 alert.step_start, alert.step_end)
        for alert in worst.values()
    ]  # fmt: skip
    reasons.append(evidence("rules", category, f"{judged} rules could judge", float(judged)))
    return _score(category, category, score, reasons, [a.id for a in worst.values() if PENALTY[a.severity]])


def _highest(alerts: Sequence[AlertRecord]) -> float:
    return min((HIGHEST[alert.severity] for alert in alerts), default=100.0)


def _reason(category: str, outcomes: Sequence[RuleOutcome], no_progress: str | None) -> str:
    """Why a category has no score."""
    if category == "optimization" and no_progress is not None:
        return no_progress
    needed = [_NEEDS[one.rule_id] for one in outcomes if one.category == category and one.rule_id in _SCORED]
    return f"none of its rules could judge: the first needs {needed[0]}" if needed else "none of its rules could judge"


def _score(key: str, category: str | None, score: float, reasons: list[Any], ids: list[str]) -> dict[str, Any]:
    return {
        "score_key": key, "category": category, "score": round(score, 1), "status": status_of_score(round(score, 1)),
        "evidence": tuple(reasons), "contributing_alert_ids": tuple(ids),
    }  # fmt: skip
