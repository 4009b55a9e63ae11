"""How one side of the training does, as a score: what its alerts cost, and nothing where nothing could be judged."""

from collections.abc import Sequence
from typing import Any, get_args

from ..records.analysis import AlertRecord
from ..records.literals import AlertCategory
from .rules import RULES, Verdict
from .rules.base import SEVERITIES, evidence

PENALTY = {"info": 0.0, "warning": 15.0, "error": 35.0, "critical": 60.0}
"""What the worst alert of a rule takes from the score of its category."""

_STATUS = ((85.0, "healthy"), (65.0, "watch"), (40.0, "degraded"))
_SCORED = {rule.name for rule in RULES if rule.scored}


def status_of_score(score: float) -> str:
    """The score in a word."""
    return next((word for least, word in _STATUS if score >= least), "critical")


def health_scores(verdicts: Sequence[Verdict], alerts: Sequence[AlertRecord]) -> list[dict[str, Any]]:
    """The fields of a HealthScoreRecord for every category that had data, and for the whole.

    A category starts at 100 and each of its rules takes what its most severe alert costs. The whole is the mean of
    the categories, and at most 20 above the lowest.
    """
    made: list[dict[str, Any]] = []
    for category in get_args(AlertCategory):
        judged = [v for v in verdicts if v.category == category and v.abstained is None and v.rule_id in _SCORED]
        own = [alert for alert in alerts if alert.category == category]
        if not judged and not own:
            continue
        worst: dict[str, AlertRecord] = {}
        for alert in own:
            held = worst.get(alert.rule_id)
            if held is None or SEVERITIES.index(alert.severity) > SEVERITIES.index(held.severity):
                worst[alert.rule_id] = alert
        score = max(0.0, 100.0 - sum(PENALTY[alert.severity] for alert in worst.values()))
        reasons = [
            evidence("alert", alert.rule_id, f"{alert.severity}: {alert.title}", PENALTY[alert.severity], None,
                     alert.step_start, alert.step_end)
            for alert in worst.values()
        ]  # fmt: skip
        reasons.append(evidence("rules", category, f"{len(judged)} rules could judge", float(len(judged))))
        made.append(_score(category, category, score, reasons, [a.id for a in worst.values() if PENALTY[a.severity]]))
    if made:
        scores = [one["score"] for one in made]
        whole = min(sum(scores) / len(scores), min(scores) + 20.0)
        reasons = [evidence("score", one["score_key"], one["status"], one["score"]) for one in made]
        ids = [name for one in made for name in one["contributing_alert_ids"]]
        made.insert(0, _score("overall", None, whole, reasons, ids))
    return made


def _score(key: str, category: str | None, score: float, reasons: list[Any], ids: list[str]) -> dict[str, Any]:
    return {
        "score_key": key, "category": category, "score": round(score, 1), "status": status_of_score(score),
        "evidence": tuple(reasons), "contributing_alert_ids": tuple(ids),
    }  # fmt: skip
