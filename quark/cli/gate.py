"""The option ``--fail-on``: a command ends with exit code 3 where a run has findings, so that CI can gate on it."""

import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..reading.findings import Finding

FINDINGS = 3
"""The exit code of a command that did what was asked and found something."""


class Level(StrEnum):
    """The severities that a check can fail on."""

    warning = "warning"
    error = "error"
    critical = "critical"


FailOn = Annotated[
    Level | None,
    typer.Option(
        "--fail-on", show_default=False,
        help="Exit with code 3 if there is an alert of this severity or a worse one; a failed run counts as an error.",
    ),
]  # fmt: skip


def gated(level: Level | None, findings: "Sequence[Finding]") -> dict[str, Any]:
    """What ``--fail-on`` adds to the JSON document of a command."""
    return {} if level is None else {"fail_on": level.value, "findings": [one.to_dict() for one in findings]}


def leave(level: Level | None, findings: "Sequence[Finding]", *, as_json: bool) -> None:
    """End the command with exit code 3 if there are findings, after naming them on standard error."""
    if level is None or not findings:
        return
    if not as_json:
        from ..sinks.wording import plain

        print(f"quark: --fail-on {level.value}: {len(findings)} found", file=sys.stderr)
        for one in findings:
            print(plain(f"- {one.text}"), file=sys.stderr)
    raise typer.Exit(FINDINGS)
