"""The verdict on a run: one sentence that says what, since when, why in a number, and what to do first."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from ..records.analysis import AlertRecord
from ..records.base import Document
from ..records.literals import AlertSeverity

_SEVERITIES = get_args(AlertSeverity)
UNKNOWN, NOT_ANALYZED = "unknown", "not analyzed"
STATUSES = ("healthy", "watch", "degraded", "critical", UNKNOWN, NOT_ANALYZED)

_EFFECTS = frozenset(("loss_spike", "no_learning", "plateau", "train_eval_mismatch"))
"""Rules that see what comes of something which another rule may name."""

_SENTENCE_END = re.compile(r"[.;] (?=[A-Z])|\.$")
_OPENING = re.compile(r"(?:After|A|An|At|For|In|It|Most|Of|On|One|Over|The|This|With)\b")
"""First words that are written small in the middle of a sentence; a name is left as it is."""

_WORD = re.compile(r"\w(?:[\w./%-]*\w)?")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3})")
_LITTLE_WORDS = frozenset(("a", "at", "is", "it", "seen", "since", "step", "the", "was", "were"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verdict(Document):
    """What an analysis says of a run as a whole.

    Attributes:
        text: what is wrong, since when, why in a number, and what to do first; or that nothing was found wrong, or why
            that is not known.
        status: the overall health in a word: healthy, watch, degraded, critical; ``unknown`` where too little was
            recorded to judge; ``not analyzed`` where the analysis was broken off.
        score: the overall health from 0 to 100; None where it is unknown.
        severity: of the alert that the text is about; None if there is no such alert.
        step, epoch: where that alert began.
        rule: the rule that raised it.
        alerts: how many alerts there are.
    """

    text: str
    status: str
    score: float | None = None
    severity: AlertSeverity | None = None
    step: int | None = None
    epoch: int | None = None
    rule: str | None = None
    alerts: int = 0


Verdict.__module__ = "quark"


def verdict_of(
    alerts: Sequence[AlertRecord], status: str | None = None, score: float | None = None, otherwise: str = ""
) -> Verdict:
    """The verdict that follows from the alerts, given in the order of the rules, and from the overall health.

    Args:
        status: the overall health; what the alerts suggest if omitted.
        otherwise: the text where no alert is worth a warning.
    """
    leading = leading_alert(alerts)
    known = status or _STATUS_OF[leading.severity if leading else "info"]
    if leading is None:
        text = otherwise or "No fault was found."
        if alerts:
            text += f" Note: {alerts[0].title}{_since(alerts[0])}."
        return Verdict(text=text, status=known, score=score, alerts=len(alerts))
    return Verdict(
        text=alert_sentence(leading), status=known, score=score, severity=leading.severity, step=leading.step_start,
        epoch=leading.epoch, rule=leading.rule_id, alerts=len(alerts),
    )  # fmt: skip


_STATUS_OF = {"info": "healthy", "warning": "watch", "error": "degraded", "critical": "critical"}


def by_consequence(alerts: Sequence[AlertRecord]) -> list[AlertRecord]:
    """Alerts in the order in which they matter.

    What harms the result before what costs time, the worst first, causes before what follows from them; else they stay
    in their order.
    """
    return sorted(alerts, key=_rank)


def _rank(alert: AlertRecord) -> tuple[bool, int, bool]:
    return alert.category == "runtime", -_SEVERITIES.index(alert.severity), alert.rule_id in _EFFECTS


def leading_alert(alerts: Sequence[AlertRecord]) -> AlertRecord | None:
    """The alert that matters most; None if none is at least a warning."""
    return next((alert for alert in by_consequence(alerts) if alert.severity != "info"), None)


def alert_sentence(alert: AlertRecord) -> str:
    """An alert in one sentence, with the first thing to do."""
    text = f"{alert.title}{_since(alert)}"
    fact = _added(alert.fact, text)
    if _OPENING.match(fact):
        fact = fact[0].lower() + fact[1:]
    if fact:
        text += f": {fact}"
    return f"{text}. Try: {alert.actions[0]}" if alert.actions else f"{text}."


def _added(fact: str, said: str) -> str:
    """The first sentence of a fact that says more than what was said already; empty if none does."""
    known = _words(said) | _LITTLE_WORDS
    return next((one.strip() for one in _SENTENCE_END.split(fact) if not _words(one) <= known), "")


def _words(text: str) -> set[str]:
    return set(_WORD.findall(_THOUSANDS.sub("", text.lower())))


def _since(alert: AlertRecord) -> str:
    if alert.step_start is not None:
        when = f"step {alert.step_start:,}"
        return f", seen at {when}" if alert.step_start == alert.step_end else f", since {when}"
    return "" if alert.epoch is None else f", since epoch {alert.epoch:,}"


def verdict_from(payload: Mapping[str, Any]) -> Verdict | None:
    """The verdict that an event holds; None where it holds none, such as an event of the same name by a program."""
    given = payload.get("verdict")
    if not isinstance(given, Mapping) or not isinstance(given.get("text"), str):
        return None
    fields = {name: value for name, value in given.items() if name in Verdict.__slots__ and _fits(name, value)}
    if fields.get("status") not in STATUSES:
        return None
    return Verdict(**fields)


def roles_from(payload: Mapping[str, Any]) -> dict[str, str]:
    """The roles of metrics that an event holds; empty where it holds none."""
    given = payload.get("roles")
    return {str(role): str(key) for role, key in given.items()} if isinstance(given, Mapping) else {}


_TYPES: dict[str, Any] = {
    "text": str, "status": str, "severity": str, "rule": str, "score": int | float, "step": int, "epoch": int,
    "alerts": int,
}  # fmt: skip


def _fits(name: str, value: Any) -> bool:
    return isinstance(value, _TYPES[name]) and (name != "severity" or value in _SEVERITIES)
