"""`quark show`: everything about one run on one screen."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .gate import FailOn, gated, leave
from .options import AsJson, RunId, ServiceUrl, StorageDir
from .output import SEVERITIES, console, counted, cut, print_json, status_text, table, text

if TYPE_CHECKING:
    from rich.console import Console

    from ..producers.reports import UnrecordedValues
    from ..reading import RunView
    from ..reading.findings import Finding
    from ..records.event import EventRecord

SHOWN_METRICS = 30
SHOWN_KEYS = 5
SHOWN_NOTES = 5
SHOWN_ELSEWHERE = ("run_unrecorded", "run_analyzed", "summary", "note", "log_line")
"""Events with a place of their own: above, or in ``quark tail``."""

ENVIRONMENT = ("host", "platform", "python", "cpu_count", "gpus", "command")


def show(
    run: RunId = None,
    storage_dir: StorageDir = None,
    url: ServiceUrl = None,
    events: Annotated[int, typer.Option("--events", min=0, help="How many of the latest events.")] = 10,
    all_metrics: Annotated[bool, typer.Option("--all", help="All metrics, however many there are.")] = False,
    fail_on: FailOn = None,
    as_json: AsJson = False,
) -> None:
    """Show a run: configuration, metrics with their best values, summary, notes, events, alerts, artifacts, verdict."""
    from .choosing import address, chosen, opened
    from .verdict import print_verdict

    with opened(storage_dir, url) as store:
        view = chosen(store, run)
        found = _findings(view, fail_on)
        if as_json:
            print_json({**_document(view, events), **gated(fail_on, found)})
        else:
            _print(view, console(), events, all_metrics)
            print_verdict(view, console(), address(store, view))
    leave(fail_on, found, as_json=as_json)


def _findings(view: "RunView", level: str | None) -> "list[Finding]":
    if level is None:
        return []
    from ..reading.findings import findings_of, known_alerts

    return findings_of(view, known_alerts(view), level)


def _document(view: "RunView", events: int) -> dict[str, Any]:
    from ..reading.happening import latest_events
    from ..reading.metrics import summarise
    from .verdict import verdict_of

    return {
        "run": view.record.to_dict(),
        "verdict": verdict_of(view),
        "roles": view.roles(),
        "summary": view.summary(),
        "notes": list(view.notes()),
        "counts": view.counts(),
        "metrics": {summary.key: summary.to_dict() for summary in summarise(view, width=1)},
        "unrecorded": asdict(view.unrecorded()),
        "events": [event.to_dict() for event in latest_events(view, events)],
        "alerts": [alert.to_dict() for alert in view.alerts()],
        "artifacts": [artifact.to_dict() for artifact in view.artifacts()],
        "names": view.reader.names(view.id),
    }


def _print(view: "RunView", out: "Console", events: int, all_metrics: bool) -> None:
    from rich.text import Text

    from ..records.grammar import dotted
    from .runs import took

    title = text(view.name or view.id, "bold")
    out.print(Text.assemble(title, "  ", status_text(view.status, view.reason)), soft_wrap=True)
    pairs = {
        "run": view.id, "project": view.project, "started": view.started_at,
        "took": took(view), "tags": ", ".join(view.tags), "commit": commit_of(view),
        "parent": view.record.parent_run_id or "",
        "attempts": str(view.record.resume_count + 1) if view.record.resume_count else "",
    }  # fmt: skip
    _pairs(out, {name: value for name, value in pairs.items() if value})
    _section(out, "configuration", dict(dotted(view.config)))
    _section(out, "environment", {n: view.environment[n] for n in ENVIRONMENT if view.environment.get(n)})
    unrecorded = view.unrecorded()
    if unrecorded.total:
        out.print()
        out.print(text(f"not recorded: {wording_of(unrecorded)}", "yellow"), soft_wrap=True)
    _section(out, "summary", view.summary())
    notes = view.notes()
    if notes:
        out.print()
        out.print(text("notes", "bold"))
        for note in notes[-SHOWN_NOTES:]:
            out.print(text(f"  {note}", limit=2000), soft_wrap=True)
    _print_metrics(view, out, all_metrics)
    _print_records(view, out, events)


def _print_metrics(view: "RunView", out: "Console", all_metrics: bool) -> None:
    from ..reading.metrics import in_order, summarise
    from .metrics import course_width, metric_table

    keys = in_order(view.latest())
    if not keys:
        return
    shown = keys if all_metrics else keys[:SHOWN_METRICS]
    out.print()
    out.print(metric_table(summarise(view, shown, course_width(out.width)), out.width))
    if len(keys) > len(shown):
        out.print(text(f"and {len(keys) - len(shown)} more metrics: --all", "dim"))


def _print_records(view: "RunView", out: "Console", events: int) -> None:
    counts = view.counts()
    happened = [event for event in view.events() if event.event_type not in SHOWN_ELSEWHERE]
    if happened and events:
        out.print()
        out.print(text(f"events, the last {min(events, len(happened))} of {len(happened)}", "bold"))
        types = view.recorded_names("event")
        for event in happened[-events:]:
            out.print(event_line(event, types), no_wrap=True, overflow="ellipsis")
    alerts = view.alerts()
    if alerts:
        from ..analysis.verdict import by_consequence

        out.print()
        out.print(text(f"alerts ({len(alerts)})", "bold"))
        for alert in by_consequence(alerts):
            out.print(text(f"{alert.severity}: {alert.title}: {alert.summary}", SEVERITIES.get(alert.severity, "")))
    artifacts = view.artifacts()
    if artifacts:
        made = table("artifact", "type", "at", "bytes", right=("bytes",), flexible=("artifact",))
        names = view.recorded_names("artifact")
        for artifact in artifacts:
            made.add_row(
                cut(names.get(artifact.artifact_key, artifact.artifact_key)),
                text(names.get(artifact.artifact_type, artifact.artifact_type)),
                text(_place(artifact.step, artifact.epoch)),
                text(f"{artifact.size_bytes:,}"),
            )  # fmt: skip
        out.print()
        out.print(made)
    out.print()
    out.print(text(f"recorded: {counted(counts)}", "dim"))


def wording_of(unrecorded: "UnrecordedValues") -> str:
    """What a run did not record, in words: how much of it for which reason, and the keys that were hit most."""
    refused = f"{unrecorded.refused:,} values refused"
    if unrecorded.keys:
        named = [f"{key} {count:,}" for key, count in list(unrecorded.keys.items())[:SHOWN_KEYS]]
        more = ["..."] if len(unrecorded.keys) > SHOWN_KEYS else []
        refused += f" ({', '.join([*named, *more])})"
    parts = (
        (unrecorded.refused, refused),
        (unrecorded.dropped, f"{unrecorded.dropped:,} records dropped"),
        (unrecorded.set_aside, f"{unrecorded.set_aside:,} records set aside in the journal's directory"),
    )
    return ", ".join(words for count, words in parts if count)


def commit_of(view: "RunView") -> str:
    """The commit, and whether the code that ran differs from it."""
    git = view.environment.get("git")
    changed = isinstance(git, dict) and git.get("dirty") is True
    return f"{view.record.git_commit} + changes" if view.record.git_commit and changed else view.record.git_commit or ""


def _place(step: int | None, epoch: int | None) -> str:
    if step is not None:
        return f"step {step}"
    return "" if epoch is None else f"epoch {epoch}"


def event_line(event: "EventRecord", names: Mapping[str, str] | None = None) -> Any:
    """An event on one line: time, severity, step, what happened, its details; ``names`` of types, by type."""
    from rich.text import Text

    from ..analysis.verdict import verdict_from
    from ..records.literals import ANALYZED
    from ..records.naming import NONFINITE

    payload = dict(event.payload)
    verdict = verdict_from(payload) if event.event_type == ANALYZED else None
    if verdict is not None:
        payload = {"message": verdict.text}
    message = str(payload.pop("message", ""))
    payload.pop("identifier", None)
    if event.event_type == NONFINITE and "name" in payload:
        payload["key"] = payload.pop("name")
    details = ", ".join(
        f"{key}={value:.6g}" if isinstance(value, float) else f"{key}={value}" for key, value in payload.items()
    )
    parts = [
        text(event.timestamp[11:19], "dim"), text(event.severity, SEVERITIES.get(event.severity, "")),
        text((names or {}).get(event.event_type, event.event_type), "bold"),
        text("" if event.step is None else f"step {event.step}", "dim"),
        text(message), text(details, "dim"),
    ]  # fmt: skip
    return Text(" ").join(part for part in parts if part)


def _section(out: "Console", title: str, values: Mapping[str, Any]) -> None:
    if values:
        out.print()
        out.print(text(title, "bold"))
        _pairs(out, values, indent="  ")


def _pairs(out: "Console", values: Mapping[str, Any], indent: str = "") -> None:
    from rich.padding import Padding
    from rich.table import Table

    made = Table.grid(padding=(0, 2))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in values.items():
        shown = " ".join(map(str, value)) if isinstance(value, list) else value
        made.add_row(text(name, limit=60), text(shown))
    out.print(Padding(made, (0, 0, 0, len(indent))))
