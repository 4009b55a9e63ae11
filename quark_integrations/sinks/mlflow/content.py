"""What stands in MLflow beside the series: tags, tables, the note, and parameters of tasks."""

import getpass
import json
from collections.abc import Mapping, Sequence
from typing import Any

from quark import Record

from ..mirror import TABLES, RunFacts
from .names import name_for

SEVERITIES = ("info", "warning", "error", "critical")
LOGGED = "mlflow.loggedArtifacts"


def own_tags(facts: RunFacts, parent: str | None) -> dict[str, str]:
    """The tags that are known at the start."""
    command = facts.environment.get("command")
    tags = {
        "quark.run_id": facts.run_id, "quark.project": facts.project, "quark.attempt": str(facts.attempt),
        "quark.status": "running",
        "quark.parent_run_id": facts.parent_run_id, "mlflow.parentRunId": parent,
        "mlflow.source.git.commit": facts.git_commit, "mlflow.source.type": "LOCAL",
        "mlflow.source.name": command[0] if isinstance(command, list) and command else None,
    }  # fmt: skip
    made = {key: value for key, value in tags.items() if value}
    return made | {name_for(f"quark.tag.{tag}"): tag for tag in facts.tags}


def user_tag() -> dict[str, str]:
    """Who runs this process; empty where the user has no name, as in some containers."""
    try:
        return {"mlflow.user": getpass.getuser()}
    except (KeyError, OSError):
        return {}


def table_text(kind: str, rows: Sequence[Sequence[Any]]) -> str:
    """A table in the form of ``mlflow.log_table``, which MLflow's pages and ``mlflow.load_table`` read."""
    return json.dumps({"columns": TABLES[kind].columns, "data": rows}, ensure_ascii=False)


def logged_tables(tags: Mapping[str, str], paths: Sequence[str]) -> str:
    """MLflow's own list of a run's tables with ours in it; the user's stay."""
    there = json.loads(tags.get(LOGGED, "[]"))
    known = {entry.get("path") for entry in there}
    return json.dumps([*there, *({"path": path, "type": "table"} for path in paths if path not in known)])


def alert_tags(rows: Sequence[Sequence[Any]]) -> dict[str, str]:
    """How many alerts there are and how severe the worst one is, to search and sort runs by."""
    column = TABLES["alert"].columns.index("severity")
    found = [row[column] for row in rows]
    worst = max(found, key=lambda word: SEVERITIES.index(word) if word in SEVERITIES else 0, default="none")
    return {"quark.alerts": str(len(rows)), "quark.worst_alert": worst}


def note_of(
    run_id: str, status: str, reason: str, alerts: Sequence[Sequence[Any]], notes: Sequence[str] = ()
) -> str:  # fmt: skip
    """The description of the run: its notes, how it ended, and its alerts, the last ones first."""
    columns = TABLES["alert"].columns
    lines = [*notes, f"Recorded by Quark as `{run_id}`: {status} ({reason})."]
    for row in reversed(alerts[-20:]):
        alert = dict(zip(columns, row, strict=True))
        lines.append(f"- **{alert['severity']}** at step {alert['step']}: {alert['title']}")
    return "\n".join(lines)[:5000]


def parameters_of(record: Record) -> Mapping[str, Any] | None:
    """What the tasks of a tracked loop declared as their parameters; None for any other record."""
    if record.kind != "event" or getattr(record, "event_type", None) != "loop_started":
        return None
    payload: Mapping[str, Any] = getattr(record, "payload", {})
    tasks = {name: task.get("log_params") or {} for name, task in (payload.get("tasks") or {}).items()}
    rest = {name: payload[name] for name in ("max_steps", "criterion") if payload.get(name) is not None}
    return {"tasks": {name: params for name, params in tasks.items() if params}, **rest}
