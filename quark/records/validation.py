"""Checks a finished record against its class and turns it into a plain dictionary."""

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any

import msgspec

from ..errors import SchemaValidationError, WrongTypeError
from .analysis import AlertRecord, EvidenceRecord, PhaseRecord
from .artifact import ArtifactRecord
from .base import CURRENT_SCHEMA_VERSION, Document, Record, field_names, parse_timestamp
from .checking import checked
from .event import EventRecord
from .grammar import MAX_INT, check_event_type, check_key, clean_json, shown
from .metric import MetricRecord
from .ready import ready
from .run import ProjectRecord, RunContext, RunRecord

_TIMES = ("timestamp", "created_at", "updated_at", "started_at", "ended_at")
_COUNTERS = ("step", "epoch", "sequence")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


def validate_record(record: Any) -> None:
    """Check that a record matches the current schema.

    Args:
        record: one of Quark's record dataclasses, such as MetricRecord, EventRecord or RunRecord.

    Raises:
        WrongTypeError: not a Quark record, or a field of a wrong type.
        SchemaValidationError: a field breaks a rule; the message names field, value and remedy.
    """
    if not _is_right(record):
        dump_record(record)  # goes through it field by field, and says what is wrong


def dump_record(record: Any) -> dict[str, Any]:
    """A record as a validated dictionary of JSON values.

    Args:
        record: one of Quark's record dataclasses, such as MetricRecord, EventRecord or RunRecord.

    Returns:
        The fields by name; nested records are dictionaries and tuples lists.

    Raises:
        WrongTypeError: not a Quark record, or a field of a wrong type.
        SchemaValidationError: a field breaks a rule; the message names field, value and remedy.
    """
    if not isinstance(record, (Record, ProjectRecord, RunRecord, RunContext, EvidenceRecord)):
        raise WrongTypeError(
            f"only Quark's record dataclasses can be validated, got {shown(record)}; "
            "pass what a log or read call returned, such as a MetricRecord"
        )
    _check(record)
    return clean_json(record.to_dict(), type(record).__name__)


def _is_right(record: Any) -> bool:
    """All checks of ``_check`` in one pass, for the records that come by the thousand; False leaves it to that."""
    if not isinstance(record, Record):
        return False
    owner = type(record).__name__
    try:
        for name in field_names(type(record)):
            value = getattr(record, name)
            if isinstance(value, Document):
                return False
            for nested in _records_in(value) if isinstance(value, tuple) else ():
                _check(nested)
        plain = clean_json(record.to_dict(), owner)
        msgspec.convert(plain, type=_shape(type(record)))
        for moment in map(plain.get, _TIMES):
            if moment is not None:
                parse_timestamp(moment)
        if any(value is not None and value > MAX_INT for value in map(plain.get, _COUNTERS)):
            return False
        _check_version(record, owner)
        rule = _RULES.get(type(record))
        if rule is not None:
            rule(record)
    except (AttributeError, ValueError, TypeError, RecursionError, msgspec.ValidationError):
        return False
    return True


@functools.cache
def _shape(cls: type[Record]) -> type[msgspec.Struct]:
    """What holds all fields of a record class against their declarations at once."""
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]  # every record is a dataclass
    return ready(msgspec.defstruct(cls.__name__, [(field.name, field.type) for field in fields]))


def _check(record: Document) -> None:
    """Every field by its declaration, then the rules that a declaration cannot say; nested records too."""
    owner = type(record).__name__
    for field in dataclasses.fields(record):  # type: ignore[arg-type]  # every record is a dataclass
        try:
            value: Any = getattr(record, field.name)
        except AttributeError as error:
            raise SchemaValidationError(f"{owner}.{field.name} is missing; build the record with all fields") from error
        for nested in _records_in(value):
            _check(nested)
        checked(owner, field.name, field.type, value)
        if field.name in _TIMES and value is not None:
            parse_timestamp(value)
        if field.name in _COUNTERS and value is not None and value > MAX_INT:
            raise SchemaValidationError(f"{owner}.{field.name} must be at most 2**63 - 1, got {value}")
    _check_version(record, owner)
    rule = _RULES.get(type(record))
    if rule is not None:
        rule(record)


def _records_in(value: Any) -> list[Document]:
    """The records that a field holds: itself, or the members of a tuple."""
    return [item for item in (value if isinstance(value, tuple) else (value,)) if isinstance(item, Document)]


def _check_version(record: Document, owner: str) -> None:
    version = getattr(record, "schema_version", CURRENT_SCHEMA_VERSION)
    if version != CURRENT_SCHEMA_VERSION:
        raise SchemaValidationError(
            f"{owner}.schema_version must be {CURRENT_SCHEMA_VERSION}, got {version}; "
            "use the release of Quark that wrote the record, or migrate the store with migrate_store"
        )


def _metric(record: MetricRecord) -> None:
    check_key(record.metric_key)
    _parts(record.metric_key, record.namespace, record.metric_name, "MetricRecord.metric_key")
    if record.step is None and record.epoch is None:
        raise SchemaValidationError("MetricRecord needs a step or an epoch, got neither; set step or epoch")


def _event(record: EventRecord) -> None:
    check_event_type(record.event_type)


def _artifact(record: ArtifactRecord) -> None:
    check_key(record.artifact_key, what="artifact key")
    _parts(record.artifact_key, record.namespace, record.artifact_name, "ArtifactRecord.artifact_key")
    if not _SHA256.match(record.sha256):
        raise SchemaValidationError(
            f"ArtifactRecord.sha256 must be 64 lower-case hexadecimal digits, got {shown(record.sha256)}; "
            "use hashlib.sha256(payload).hexdigest()"
        )


def _parts(key: str, namespace: str | None, name: str, field: str) -> None:
    joined = name if namespace is None else f"{namespace}/{name}"
    if key != joined:
        raise SchemaValidationError(
            f"{field} must be its namespace, a slash and its name, {shown(joined)}, got {shown(key)}; make them agree"
        )


def _steps(record: AlertRecord | PhaseRecord | EvidenceRecord) -> None:
    first, last = record.step_start, record.step_end
    if first is not None and last is not None and first > last:
        raise SchemaValidationError(
            f"{type(record).__name__}.step_end must not be before step_start {first}, got {last}; swap them"
        )


def _run(record: RunRecord) -> None:
    if len(set(record.tags)) != len(record.tags):
        raise SchemaValidationError(f"RunRecord.tags must be unique, got {shown(record.tags)}; remove the repeated tag")
    if (record.ended_at is None) != (record.status == "running"):
        raise SchemaValidationError(
            f"RunRecord.ended_at is null exactly while the run is running, got {shown(record.ended_at)} "
            f"with status {record.status!r}; make them agree"
        )


_RULES: dict[type, Callable[[Any], None]] = {
    AlertRecord: _steps,
    ArtifactRecord: _artifact,
    EventRecord: _event,
    EvidenceRecord: _steps,
    MetricRecord: _metric,
    PhaseRecord: _steps,
    RunRecord: _run,
}

for _public in (validate_record, dump_record):
    _public.__module__ = "quark"
