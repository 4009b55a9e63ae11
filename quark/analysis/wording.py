"""An alert as a record: the finding of a rule with its words put together."""

from typing import Any

from .rules import Finding


def alert_fields(finding: Finding) -> dict[str, Any]:
    """The fields of an AlertRecord."""
    return {
        "rule_id": finding.rule_id, "category": finding.category, "severity": finding.severity,
        "title": finding.title, "summary": f"{finding.fact} {finding.inference}", "fact": finding.fact,
        "inference": finding.inference, "evidence": finding.evidence, "step_start": finding.step_start,
        "step_end": finding.step_end, "subject": finding.subject, "consequence": finding.consequence,
        "actions": finding.actions, "clears": finding.clears,
    }  # fmt: skip
