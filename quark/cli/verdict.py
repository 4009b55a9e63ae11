"""What an analysis said of a run, or that none has looked at it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .output import SEVERITIES, text

if TYPE_CHECKING:
    from rich.console import Console

    from ..analysis.verdict import Verdict
    from ..reading import RunView

SCORES = {"healthy": "green", "watch": "yellow", "degraded": "red", "critical": "bold red"}


def verdict_of(view: "RunView") -> dict[str, Any] | None:
    """The verdict as JSON values; None where no analysis was recorded."""
    verdict = view.verdict()
    return None if verdict is None else verdict.to_dict()


def print_verdict(view: "RunView", out: "Console", address: str) -> None:
    """The verdict in a sentence, and the health below it; ``address``: the run as it is to be typed."""
    verdict = view.verdict()
    if verdict is None:
        out.print(text(f"health: not analyzed yet: quark analyze {address}", "yellow", 2000), soft_wrap=True)
        return
    print_sentence(verdict, out)
    print_roles(view.roles(), out)
    if verdict.status == "not analyzed":
        out.print(text(f"health: not analyzed: quark analyze {address}", "yellow", 2000), soft_wrap=True)
    elif verdict.score is None:
        out.print(text(f"health: {verdict.status}", SCORES.get(verdict.status, "yellow")), soft_wrap=True)
    else:
        words = f"health: {verdict.status} ({verdict.score:.0f} of 100)"
        out.print(text(words, SCORES.get(verdict.status, "")), soft_wrap=True)


def print_sentence(verdict: "Verdict", out: "Console") -> None:
    """The sentence, in the colour of its severity."""
    out.print(text(verdict.text, SEVERITIES.get(verdict.severity or "", ""), 2000), soft_wrap=True)


def print_roles(roles: Mapping[str, str], out: "Console") -> None:
    """Which metric of the user's was taken for what, on one line."""
    own = [f"{role.replace('_', ' ')}: {key}" for role, key in roles.items() if not key.startswith("system/")]
    if own:
        out.print(text(f"roles of metrics: {', '.join(own)}", "dim", 2000), soft_wrap=True)
