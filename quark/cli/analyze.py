"""`quark analyze`: what is or was wrong with a recorded run."""

from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from ..records.literals import ScoreKey
from .gate import FailOn, gated, leave
from .options import AsJson, RunId, ServiceUrl, StorageDir
from .output import SEVERITIES, console, print_json, table, text
from .verdict import SCORES, print_roles, print_sentence

if TYPE_CHECKING:
    from rich.console import Console

    from ..analysis.engine import AnalyzerResult
    from ..reading import RunView


def analyze(
    run: RunId = None,
    storage_dir: StorageDir = None,
    url: ServiceUrl = None,
    absolute: Annotated[
        bool, typer.Option("--absolute", help="Take the documented limits literally, whatever speaks against it.")
    ] = False,
    silence: Annotated[
        list[str] | None, typer.Option("--silence", metavar="RULE", help="A rule that does not speak; may be repeated.")
    ] = None,
    abstained: Annotated[bool, typer.Option("--abstained", help="Also what could not be judged, and why.")] = False,
    fail_on: FailOn = None,
    as_json: AsJson = False,
) -> None:
    """Analyze a run: its alerts with their evidence, and health scores. Nothing is written to it."""
    from ..analysis.engine import AnalyzerEngine
    from ..reading.findings import findings_of
    from ..records.thresholds import AnalyzerEngineConfig
    from .choosing import chosen, opened

    config = AnalyzerEngineConfig(
        mode="absolute" if absolute else "adaptive", silenced_rules=tuple(silence or ())
    )  # fmt: skip
    with opened(storage_dir, url) as store:
        view = chosen(store, run)
        result = AnalyzerEngine(view, config=config).analyze()
        found = [] if fail_on is None else findings_of(view, result.alerts, fail_on)
        if as_json:
            print_json({"run": view.id, **_document(result), **gated(fail_on, found)})
        else:
            _print(view, result, console(), abstained)
    leave(fail_on, found, as_json=as_json)


def _document(result: "AnalyzerResult") -> dict[str, Any]:
    """The result without the fields that only records of a journal have."""
    plain = result.to_dict()
    for record in (*plain["alerts"], *plain["health_scores"]):
        for name in ("sequence", "timestamp", "schema_version", "run_id"):
            del record[name]
    return plain


def _print_scores(result: "AnalyzerResult", out: "Console") -> None:
    """A row for each score, and for what has none."""
    rows = {score.score_key: (f"{score.score:.0f}", score.status) for score in result.health_scores}
    scores = table("health", "score", "", right=("score",))
    for key in get_args(ScoreKey):
        score, status = rows.get(key, ("", "unknown"))
        scores.add_row(text(key), text(score), text(status, SCORES.get(status, "yellow")))
    out.print(scores)


def _print(view: "RunView", result: "AnalyzerResult", out: "Console", abstained: bool) -> None:
    from ..analysis.verdict import by_consequence

    count = len(result.alerts)
    out.print(text(f"{view.name or view.id}: {count} alert{'' if count == 1 else 's'}", "bold"))
    print_sentence(result.verdict, out)
    print_roles(result.roles, out)
    _print_scores(result, out)
    for alert in by_consequence(result.alerts):
        at = "" if alert.step_start is None else f", since step {alert.step_start}"
        out.print()
        out.print(text(f"{alert.severity}: {alert.title}", SEVERITIES.get(alert.severity, "")), soft_wrap=True)
        out.print(text(f"  {alert.rule_id}{at}", "dim"), soft_wrap=True)
        for line in (alert.fact, alert.inference, alert.consequence, *(f"- {action}" for action in alert.actions)):
            out.print(text(f"  {line}"), soft_wrap=True)
    if abstained:
        out.print()
        for rule, reason in result.abstentions.items():
            out.print(text(f"{rule} could not judge: {reason}", "dim"), soft_wrap=True)
