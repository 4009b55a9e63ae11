"""What an analysis said of a run's health, or that none has looked at it."""

from typing import TYPE_CHECKING, Any

from .analyze import SCORES
from .output import text

if TYPE_CHECKING:
    from rich.console import Console

    from ..reading import RunView


def verdict_of(view: "RunView") -> dict[str, Any] | None:
    """The overall health that was recorded last, with the number of alerts; None where no analysis was recorded."""
    overall = view.health_scores(score_key="overall")
    if not overall:
        return None
    return {"status": overall[-1].status, "score": overall[-1].score, "alerts": len(view.alerts())}


def print_verdict(view: "RunView", out: "Console", address: str) -> None:
    """The verdict on one line; ``address``: the run as it is to be typed."""
    verdict = verdict_of(view)
    if verdict is None:
        words = text(f"health: not analyzed yet: quark analyze {address}", "yellow", 2000)
    else:
        words = text(f"health: {verdict['status']} ({verdict['score']:.0f} of 100)", SCORES[verdict["status"]])
    out.print(words, soft_wrap=True)
