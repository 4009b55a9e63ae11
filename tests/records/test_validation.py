"""validate_record and dump_record: what leaves Quark matches the schema."""

import dataclasses
import json
import math
from typing import Any

import pytest

from quark import (
    AlertRecord,
    ArtifactRecord,
    EventRecord,
    EvidenceRecord,
    MetricRecord,
    PhaseRecord,
    ProjectRecord,
    RunContext,
    RunRecord,
    SchemaValidationError,
    WrongTypeError,
    dump_record,
    validate_record,
)

NOW = "2026-05-07T00:00:00Z"
BASE = {"id": "w-0", "run_id": "r", "sequence": 0, "timestamp": NOW}
EVIDENCE = EvidenceRecord(kind="metric", source="train/loss", summary="rose", step_start=1, step_end=2)


def metric(**changes: Any) -> MetricRecord:
    fields = {
        "metric_key": "train/loss",
        "namespace": "train",
        "metric_name": "loss",
        "value": 1.5,
        "step": 3,
        "metadata": {},
    }
    return MetricRecord(**{**BASE, **fields, **changes})


def event(**changes: Any) -> EventRecord:
    return EventRecord(**{**BASE, "event_type": "user_log", "severity": "info", "payload": {}, **changes})


def artifact(**changes: Any) -> ArtifactRecord:
    fields = {
        "artifact_type": "histogram", "namespace": None, "artifact_name": "a", "artifact_key": "a",
        "payload_format": "json", "payload_relative_path": "p", "metadata_relative_path": "m", "size_bytes": 2,
        "sha256": "0" * 64, "metadata": {},
    }  # fmt: skip
    return ArtifactRecord(**{**BASE, **fields, **changes})


def alert(**changes: Any) -> AlertRecord:
    fields = {
        "rule_id": "x", "category": "runtime", "severity": "warning", "title": "t", "summary": "s", "fact": "f",
        "inference": "i", "evidence": (EVIDENCE,),
    }  # fmt: skip
    return AlertRecord(**{**BASE, **fields, **changes})


def phase(**changes: Any) -> PhaseRecord:
    fields = {"phase_name": "stagnation", "display_name": "Stagnation", "summary": "s", "step_start": 1, "step_end": 2}
    return PhaseRecord(**{**BASE, **fields, **changes})


def run(**changes: Any) -> RunRecord:
    fields = {
        "id": "r", "project_id": "p", "project_name": "digits", "status": "running", "lineage_root_run_id": "r",
        "run_path": "/x", "config": {}, "environment": {}, "started_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return RunRecord(**{**fields, **changes})


def context(**changes: Any) -> RunContext:
    project = ProjectRecord(id="p", name="digits", root_path="/x", created_at=NOW, updated_at=NOW)
    return RunContext(storage_dir="/x", store_root="/x/.quark", db_path="/x/q.db", project=project, run=run(**changes))


@pytest.mark.parametrize("record", [metric(), event(), artifact(), alert(), phase(), run(), context(), EVIDENCE])
def test_a_good_record_is_dumped_as_json(record: Any) -> None:
    """A valid record passes, and its dictionary is plain JSON with the fields of ``to_dict``."""
    validate_record(record)
    assert json.loads(json.dumps(dump_record(record), allow_nan=False)) == record.to_dict()


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (metric(value=math.nan), ("MetricRecord.value", "nan")),
        (metric(step=-1), ("MetricRecord.step", "-1")),
        (metric(step=2**63), ("MetricRecord.step", str(2**63))),
        (metric(step=None), ("step or an epoch",)),
        (metric(metric_key="train loss"), ("metric key", "'train loss'")),
        (metric(metric_name="other"), ("MetricRecord.metric_key", "'train/other'")),
        (metric(schema_version=2), ("MetricRecord.schema_version", "2")),
        (metric(timestamp="yesterday"), ("timestamp", "'yesterday'")),
        (metric(metadata={"x": [math.inf]}), ("MetricRecord.metadata", "inf")),
        (event(event_type="Saved"), ("event_type", "'Saved'")),
        (event(severity="bad"), ("EventRecord.severity", "'bad'")),
        (artifact(sha256="0" * 63 + "G"), ("ArtifactRecord.sha256",)),
        (artifact(artifact_key="../a"), ("artifact key", "'../a'")),
        (alert(evidence=()), ("AlertRecord.evidence", "()")),
        (alert(step_start=3, step_end=2), ("AlertRecord.step_end", "2")),
        (alert(evidence=(EvidenceRecord(kind="", source="s", summary="s"),)), ("EvidenceRecord.kind", "''")),
        (phase(step_end=0), ("PhaseRecord.step_end", "0")),
        (run(tags=("a", "a")), ("RunRecord.tags", "unique")),
        (run(ended_at=NOW), ("RunRecord.ended_at",)),
        (run(status="completed"), ("RunRecord.ended_at", "None")),
        (context(status="active"), ("RunRecord.status", "'active'")),
    ],
)
def test_a_broken_rule_is_named(record: Any, words: tuple[str, ...]) -> None:
    """The error names the field, the value and, after a semicolon, the remedy."""
    with pytest.raises(SchemaValidationError) as caught:
        validate_record(record)
    message = str(caught.value)
    assert [word for word in words if word not in message] == []
    assert ";" in message or "," in message


@pytest.mark.parametrize(
    "record", [metric(value="1.5"), metric(step=True), metric(metadata={1: 2}), event(payload=object())]
)
def test_a_field_of_a_wrong_type_is_a_type_error(record: Any) -> None:
    """Text for a number is no matter of ranges."""
    with pytest.raises(WrongTypeError):
        dump_record(record)


@pytest.mark.parametrize("thing", [None, 3, {"metric_key": "a"}, MetricRecord])
def test_only_records_can_be_validated(thing: Any) -> None:
    """Anything but a record of Quark is refused with the way out."""
    with pytest.raises(WrongTypeError, match="pass what a log or read call returned"):
        validate_record(thing)


def test_a_missing_field_is_named() -> None:
    """A record that was taken apart is not quietly completed."""
    broken = metric()
    object.__delattr__(broken, "value")
    with pytest.raises((SchemaValidationError, AttributeError), match="value"):
        validate_record(broken)


BACKWARD = dataclasses.replace(EVIDENCE, step_end=0)
ODD = [
    None, True, -1, 0, 2**63, 2**64, 1.5, math.nan, math.inf, "", "x", "\ud800", "2026-13-01T00:00:00Z", b"x", (),
    ("x",), {"a": math.nan}, {1: 2}, {"a": {"b": [1, None]}}, object(), EVIDENCE, (EVIDENCE,), (BACKWARD,),
]  # fmt: skip


@pytest.mark.parametrize("record", [metric(), event(), artifact(), alert(), phase(), run(), context(), EVIDENCE])
def test_to_validate_is_to_dump_without_the_answer(record: Any) -> None:
    """Whatever a field is made to hold: what one refuses the other refuses too, in the same words."""
    refused = 0
    for field in dataclasses.fields(record):
        for value in ODD:
            changed = dataclasses.replace(record)
            object.__setattr__(changed, field.name, value)
            told = [_refusal(check, changed) for check in (validate_record, dump_record)]
            assert told[0] == told[1], (field.name, value)
            refused += told[0] is not None
    assert refused > 10 * len(dataclasses.fields(record))


def _refusal(check: Any, record: Any) -> tuple[type, str] | None:
    try:
        check(record)
    except (SchemaValidationError, WrongTypeError) as error:
        return type(error), str(error)
    return None
