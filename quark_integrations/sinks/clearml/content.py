"""What a ClearML task says of a run beside its curves: parameters, configurations, tables and its comment."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from quark import ArtifactRecord, Record

from ..mirror import TABLES, RunFacts, Saying, flatten
from .twin import Event, Fields

MAX_VALUE = 4000
GENERAL, JOINED, TASKS, QUARK = "General", "QuarkConfig", "Tasks", "Quark"
SUMMARY = "Summary"
SINGLE_VALUE = -(2**31)
"""The iteration by which ClearML knows a value that stands for the whole task."""
SHOWN_ALERTS = 20


def fields_of(facts: RunFacts, name: str, project: str, parent: str | None, *, owned: bool) -> Fields:
    """What is known at the start. In a task of the user's own the parameters have a section of their own."""
    about = {
        "run_id": facts.run_id, "project": facts.project, "attempt": facts.attempt, "started_at": facts.started_at,
        "parent_run_id": facts.parent_run_id, "parent_task": parent, "git_commit": facts.git_commit,
    }  # fmt: skip
    made = Fields(
        name, project, facts.tags, f"Recorded by Quark as {facts.run_id}.",
        parent if parent and not parent.startswith("offline-") else None,
    )  # fmt: skip
    made.hyperparams[QUARK] = _typed({key: value for key, value in about.items() if value})
    if facts.params:
        made.hyperparams[GENERAL if owned else JOINED] = _typed(facts.params)
        made.configuration["quark/config"] = _json(facts.params)
    if facts.environment:
        made.configuration["quark/environment"] = _json(facts.environment)
        made.script = _script(facts)
    return made


def config_fields(values: Mapping[str, Any], whole: Mapping[str, Any] | None, *, owned: bool) -> Fields:
    """What was learned of the configuration after the start; ``whole`` is all of it, if that is known."""
    made = Fields(hyperparams={GENERAL if owned else JOINED: _typed(values)})
    if whole is not None:
        made.configuration["quark/config"] = _json(whole)
    return made


def single_values(task_id: str, saying: Saying) -> tuple[list[Event], Fields]:
    """A part of the run's summary: numbers as ClearML's single values, the rest as hyperparameters."""
    numbers = {
        name: value
        for name, value in saying.values.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    events = [
        {
            "timestamp": saying.time_ns // 1_000_000, "type": "training_stats_scalar", "task": task_id,
            "iter": SINGLE_VALUE, "metric": SUMMARY, "variant": name, "value": value,
        }
        for name, value in numbers.items()
    ]  # fmt: skip
    rest = {name: value for name, value in saying.values.items() if name not in numbers}
    return events, Fields(hyperparams={SUMMARY: _typed(rest)} if rest else {})


def tasks_of(record: Record) -> Fields | None:
    """What the tasks of a tracked loop declared as their parameters; None for any other record."""
    if record.kind != "event" or getattr(record, "event_type", None) != "loop_started":
        return None
    payload: Mapping[str, Any] = getattr(record, "payload", {})
    tasks = {name: task.get("log_params") or {} for name, task in (payload.get("tasks") or {}).items()}
    rest = {name: payload[name] for name in ("max_steps", "criterion") if payload.get(name) is not None}
    return Fields(hyperparams={TASKS: _typed({**{name: given for name, given in tasks.items() if given}, **rest})})


def table_of(task_id: str, kind: str, rows: Sequence[Sequence[Any]]) -> Event:
    """A table among the task's plots; a missing value is an empty cell."""
    table = TABLES[kind]
    cells = [["" if row[at] is None else row[at] for row in rows] for at in range(len(table.columns))]
    plot = {
        "data": [{
            "type": "table", "header": {"values": list(table.columns), "align": "left"},
            "cells": {"values": cells, "align": "left"},
        }],
        "layout": {"title": f"quark/{table.name}"},
    }  # fmt: skip
    return {
        "type": "plot", "task": task_id, "iter": 0, "metric": "quark/tables", "variant": table.name,
        "plot_str": json.dumps(plot, ensure_ascii=False),
    }  # fmt: skip


def comment_of(run_id: str, notes: Sequence[str], status: str, reason: str, alerts: Sequence[Sequence[Any]]) -> str:
    """The comment in the end: the notes, how the run ended, and its alerts, the last ones first."""
    columns = TABLES["alert"].columns
    lines = [*notes, f"Recorded by Quark as {run_id}: {status} ({reason}), {len(alerts)} alerts."]
    for row in reversed(alerts[-SHOWN_ALERTS:]):
        alert = dict(zip(columns, row, strict=True))
        lines.append(f"{alert['severity']} at step {alert['step']}: {alert['title']}")
    return "\n".join(lines)


def artifact_of(record: ArtifactRecord, key: str) -> dict[str, Any]:
    """ClearML's description of an artifact, without its address."""
    about = {"step": record.step, "epoch": record.epoch, **record.metadata}
    shown = sorted((str(name), str(value)) for name, value in about.items() if value is not None)
    content = {"json": "application/json", "text": "text/plain"}.get(record.payload_format, "application/octet-stream")
    return {
        "key": key, "type": record.artifact_type, "mode": "output", "content_size": record.size_bytes,
        "hash": record.sha256, "timestamp": record.time_ns // 1_000_000_000,
        "display_data": [list(pair) for pair in shown],
        "type_data": {"content_type": content, "preview": f"{record.artifact_key} - {record.size_bytes} bytes"},
    }  # fmt: skip


def _typed(params: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Text and type of each parameter; nested names are joined by ``/``, as ClearML does."""
    flat = flatten(params, separator="/", max_value=MAX_VALUE)
    return {name: (value, _type(params, name)) for name, value in flat.values.items()}


def _type(params: Mapping[str, Any], name: str) -> str:
    """The type that clearml writes beside a value; names with a slash in them may not be found again: text."""
    value: Any = params
    for part in [name] if name in params else name.split("/"):
        if not isinstance(value, Mapping) or part not in value:
            return "str"
        value = value[part]
    return type(value).__name__


def _script(facts: RunFacts) -> dict[str, Any]:
    """Where the program comes from, under ClearML's names."""
    environment = facts.environment
    git = environment.get("git")
    git = git if isinstance(git, Mapping) else {}
    command = environment.get("command")
    packages = environment.get("packages")
    pinned = [f"{name}=={version}" for name, version in packages.items()] if isinstance(packages, Mapping) else []
    return {
        "version_num": facts.git_commit or "", "branch": str(git.get("branch") or ""), "diff": "",
        "repository": str(git.get("remote") or ""), "working_dir": str(environment.get("working_directory") or "."),
        "entry_point": str(command[0]) if isinstance(command, list) and command else "",
        "binary": f"python{environment.get('python') or ''}", "requirements": {"pip": "\n".join(pinned)},
    }  # fmt: skip


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)
