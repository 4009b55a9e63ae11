"""Batches for tests: lines, records and lifecycle marks as a sink or a store gets them from a journal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ..core.batch import RecordBatch
from ..core.lifecycle import RunManifest
from ..records.base import Origin, Record, format_timestamp
from ..records.line import WIDE, Line, encode, line_of
from ..records.run import ProjectRecord, RunRecord, project_id

START_NS = 1_778_112_000_000_000_000
"""2026-05-07T00:00:00Z, the moment at which records of tests begin; each is a millisecond after the one before."""


def make_batch(
    origin: Origin, items: Iterable[Record | Line | bytes | None], first: int = 0, *, dropped: int = 0
) -> RecordBatch:
    """The batch that a journal would give for ``items``, numbered from ``first`` without gaps.

    Args:
        origin: whose records they are.
        items: records and lines, which get the next number each; ``None`` leaves a hole at its number; bytes are
            taken as they are, as one line that also uses up a number (for damaged lines).
    """
    made: list[bytes] = []
    number = first
    for item in items:
        if isinstance(item, Line):
            made.append(encode(msgspec.structs.replace(item, sequence=number)) + b"\n")
        elif isinstance(item, Record):
            made.append(line_of(item, number) + b"\n")
        elif item is not None:
            made.append(item.rstrip(b"\n") + b"\n")
        number += 1
    return RecordBatch(origin, first, number, b"".join(made), dropped)


def metric_lines(
    count: int, keys: Sequence[str] = ("train/loss",), *, first_step: int = 0, epoch: int | None = None
) -> list[Line]:
    """``count`` steps of one metric line per key; the value is 1 / (step + 1) plus the key's place in ``keys``."""
    return [
        Line("metric", 0, _time(step), step, epoch, key, 1.0 / (step + 1) + place)
        for step in range(first_step, first_step + count)
        for place, key in enumerate(keys)
    ]


def wide_lines(
    count: int, keys: Sequence[str] = ("train/loss", "train/lr"), *, first_step: int = 0, epoch: int | None = None
) -> list[Line]:
    """``count`` steps of one wide line that holds all ``keys``, with the values of ``metric_lines``."""
    return [
        Line(
            WIDE, 0, _time(step), step, epoch, values={key: 1.0 / (step + 1) + place for place, key in enumerate(keys)}
        )
        for step in range(first_step, first_step + count)
    ]


def run_line(action: str, body: Mapping[str, Any], *, time_ns: int = START_NS) -> Line:
    """A lifecycle line: ``action`` is start, resume, join, tag, config, name, end or discard."""
    return Line("run", 0, time_ns, label=action, body=msgspec.Raw(encode(dict(body))))


def start_line(origin: Origin, *, name: str = "cnn", project: str = "digits") -> Line:
    """The first line of a run: its project and the run itself, running since ``START_NS``."""
    at = format_timestamp(START_NS)
    family = ProjectRecord(id=project_id(project), name=project, root_path="", created_at=at, updated_at=at)
    run = RunRecord(
        id=origin.run_id, name=name, project_id=family.id, project_name=project, status="running",
        lineage_root_run_id=origin.run_id, run_path="", config={"lr": 0.1}, environment={}, started_at=at,
        updated_at=at,
    )  # fmt: skip
    body = {
        "project": family.to_dict(),
        "run": run.to_dict(),
        "rank": origin.rank,
        "world_size": 1,
        "host": "h",
        "pid": 1,
    }
    return run_line("start", body)


def event_line(
    event_type: str, severity: str = "info", payload: Mapping[str, Any] | None = None, *, step: int | None = None
) -> Line:
    """An event with its payload."""
    body = {"event_type": event_type, "severity": severity, "status": None, "payload": dict(payload or {})}
    return Line("event", 0, _time(step or 0), step, label=event_type, body=msgspec.Raw(encode(body)))


def alert_line(rule_id: str, severity: str = "warning", *, step: int | None = None, title: str = "") -> Line:
    """An alert of a rule with one piece of evidence."""
    evidence = {"kind": "metric", "source": "train/loss", "summary": "it rose", "observed_value": 9.0}
    body = {
        "rule_id": rule_id, "category": "optimization", "severity": severity, "title": title or f"{rule_id} fired",
        "summary": "the loss rises", "fact": "9.0 after 1.0", "inference": "the rate is too high",
        "evidence": [evidence], "step_start": step, "step_end": step,
    }  # fmt: skip
    return Line("alert", 0, _time(step or 0), step, label=rule_id, body=msgspec.Raw(encode(body)))


def make_manifest(origin: Origin, **changes: Any) -> RunManifest:
    """What a sink is told at the start of the run of ``origin``; ``changes`` are fields of RunManifest."""
    fields = {
        "project": "digits", "name": "cnn", "attempt": origin.attempt, "rank": origin.rank,
        "started_at": "2026-05-07T00:00:00Z",
    }  # fmt: skip
    return RunManifest(run_id=origin.run_id, **{**fields, **changes})


def _time(step: int) -> int:
    return START_NS + step * 1_000_000
