"""Findings: what is wrong with a run and grave enough to fail a check, such as a step of a CI pipeline."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..analysis.engine import AnalyzerEngine
from ..analysis.rules.base import SEVERITIES
from ..analysis.verdict import NOT_ANALYZED
from ..records.analysis import AlertRecord
from ..records.base import Document
from ..records.grammar import one_of

if TYPE_CHECKING:
    from .view import RunView

FAILED = "run_failed"
"""The rule of the finding that a run failed, whatever its alerts say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Document):
    """One reason to fail a check.

    Attributes:
        rule_id: the rule that raised the alert, or ``run_failed``.
        step_start: where it began; None if that is not known.
    """

    run_id: str
    rule_id: str
    subject: str | None
    severity: str
    title: str
    step_start: int | None

    @property
    def text(self) -> str:
        """It in a few words."""
        about = f" ({self.subject})" if self.subject else ""
        since = "" if self.step_start is None else f" since step {self.step_start}"
        return f"{self.severity}: {self.title}{about}{since}"


def known_alerts(view: "RunView") -> Sequence[AlertRecord]:
    """The alerts that are kept with a run; where no analysis was kept, those that an analysis finds now."""
    kept, verdict = view.alerts(), view.verdict()
    if kept or (verdict is not None and verdict.status != NOT_ANALYZED):
        return kept
    return AnalyzerEngine(view).analyze().alerts


def at_least(alerts: Sequence[AlertRecord], severity: str) -> list[AlertRecord]:
    """The alerts of a severity and of worse ones, the gravest first."""
    level = SEVERITIES.index(one_of(severity, SEVERITIES, "severity"))
    grave = [alert for alert in alerts if SEVERITIES.index(alert.severity) >= level]
    return sorted(grave, key=lambda alert: -SEVERITIES.index(alert.severity))


def findings_of(view: "RunView", alerts: Sequence[AlertRecord], level: str) -> list[Finding]:
    """The alerts of at least the severity ``level``, the gravest first; a run that failed is an error of its own."""
    found = [
        Finding(run_id=view.id, rule_id=alert.rule_id, subject=alert.subject, severity=alert.severity,
                title=alert.title, step_start=alert.step_start)
        for alert in at_least(alerts, level)
    ]  # fmt: skip
    if view.status == "failed" and SEVERITIES.index(level) <= SEVERITIES.index("error"):
        title = f"The run failed ({view.reason or 'error'})"
        found.append(
            Finding(run_id=view.id, rule_id=FAILED, subject=None, severity="error", title=title, step_start=None)
        )
    return sorted(found, key=_rank, reverse=True)


def regressions(view: "RunView", reference: "RunView", level: str) -> list[Finding]:
    """The findings of a run that another run does not have, or has in a lower severity."""
    before: dict[Any, int] = {}
    for one in findings_of(reference, known_alerts(reference), SEVERITIES[0]):
        before.setdefault((one.rule_id, one.subject), _rank(one))  # the gravest comes first
    found = findings_of(view, known_alerts(view), level)
    return [one for one in found if _rank(one) > before.get((one.rule_id, one.subject), -1)]


def _rank(finding: Finding) -> int:
    return SEVERITIES.index(finding.severity)
