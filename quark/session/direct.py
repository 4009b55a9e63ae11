"""A run of a service that is written to call by call, without journal and worker."""

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from ..client.connection import Connection
from ..client.paths import path_of_run
from ..client.remote import RemoteStore
from ..client.writer import Draft, RemoteWriter
from ..core.reader import RecordFilter
from ..errors import SchemaValidationError, WrongTypeError
from ..records.artifact import ARTIFACT_STORAGE_LAYOUT
from ..records.base import Document, Record, body_names, format_timestamp, parse_timestamp
from ..records.grammar import check_key, shown
from ..records.identifiers import check_id
from ..records.jsonable import json_object, jsonable
from ..records.limits import check_size
from ..records.line import Line, build, encode, line_of
from ..records.run import RunRecord, project_id
from ..redaction import redact, redact_fields
from .checks import check_name, check_project, check_tags
from .environment import capture_environment
from .identity import new_run_id

R = TypeVar("R", bound=Record)
PART = 4 << 20
"""Bytes of a payload that are sent at once."""

_BOUNDS = (
    "step", "step_min", "step_max", "epoch", "epoch_min", "epoch_max", "created_after", "created_before", "sort",
    "offset", "limit",
)  # fmt: skip
_PLURALS = {"event_types": "event_type", "artifact_types": "artifact_type"}


class DirectRun:
    """Emits records of one run to the service; what is emitted is stored when the call returns."""

    strict = True
    """Bad arguments always raise: nothing trains here."""

    def __init__(self, connection: Connection, run_id: str, attempt: int, store: RemoteStore) -> None:
        self.run_id = run_id
        self.writer = RemoteWriter(connection, run_id, attempt)
        self._connection = connection
        self._store = store

    def emit(
        self, cls: type[R], fields: Mapping[str, Any], *, step: int | None = None, epoch: int | None = None,
        timestamp: str | None = None,
    ) -> R:  # fmt: skip
        """Store one record."""
        given = {**fields, "step": step, "epoch": epoch, "timestamp": timestamp}
        return self.write(cls, [{name: value for name, value in given.items() if value is not None}])[0]

    def write(self, cls: type[R], given: Iterable[Record | Mapping[str, Any]]) -> tuple[R, ...]:
        """Store records of a class, given as records or as mappings of their fields."""
        made = [self._checked(cls, one) for one in given]
        numbers = self.writer.write([_draft(record, wanted) for wanted, record in made])
        return tuple(self._numbered(record, number) for (_, record), number in zip(made, numbers, strict=True))

    def replace(
        self, given: Mapping[type[Record], Iterable[Record | Mapping[str, Any]]]
    ) -> dict[type[Record], tuple[Record, ...]]:
        """Store records in the place of all earlier ones of their kinds, in one batch."""
        made = {cls: [self._checked(cls, one) for one in records] for cls, records in given.items()}
        drafts = [_mark("discard", {"kind": cls.kind}) for cls in made]
        drafts += [_draft(record, wanted) for records in made.values() for wanted, record in records]
        numbers = iter(self.writer.write(drafts)[len(made) :])
        return {
            cls: tuple(self._numbered(record, next(numbers)) for _, record in records) for cls, records in made.items()
        }

    def lifecycle(self, action: str, content: Mapping[str, Any]) -> None:
        """Store a step of the run's own life."""
        self.writer.write([_mark(action, content)])

    def upload(self, digest: str, content: bytes) -> None:
        """Store a payload, part by part; one that is there already is not sent again."""
        target = f"{path_of_run(self.run_id)}/blobs/{digest}"
        held = self._connection.get(target)
        while not held["complete"]:
            start = held["size"] if held["size"] <= len(content) else 0
            part = content[start : start + PART]
            headers = {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(content)}"} if part else {}
            held = self._connection.send_patiently("PUT", target, part, headers)

    def _checked(self, cls: type[R], given: Record | Mapping[str, Any]) -> tuple[int | None, R]:
        """The record, with the sequence number that was wanted for it."""
        if isinstance(given, Record):
            if not isinstance(given, cls):
                raise WrongTypeError(f"a {cls.__name__} is needed, got a {type(given).__name__}")
            told = given.to_dict()
            fields = {name: told[name] for name in ("step", "epoch", *body_names(cls)) if told.get(name) is not None}
            return given.sequence, self._built(cls, fields, given.time_ns)
        if not isinstance(given, Mapping):
            raise WrongTypeError(f"a {cls.__name__} or a mapping of its fields is needed, got {shown(given)}")
        fields = dict(given)
        wanted, stamp = fields.pop("sequence", None), fields.pop("timestamp", None)
        return wanted, self._built(cls, fields, time.time_ns() if stamp is None else parse_timestamp(stamp))

    def _built(self, cls: type[R], fields: Mapping[str, Any], time_ns: int) -> R:
        plain = {name: jsonable(fields[name]) for name in ("metadata", "payload") if fields.get(name) is not None}
        plain = redact_fields({name: _plain(value) for name, value in (dict(fields) | plain).items()}, cls.free_text)
        if cls.kind == "metric":
            key = check_key(plain.get("metric_key"))
            plain.update(namespace=key.rpartition("/")[0] or None, metric_name=key.rpartition("/")[2])
        return build(cls, self.writer.origin, 0, time_ns, plain)

    def _numbered(self, record: R, number: int) -> R:
        object.__setattr__(record, "sequence", number)
        object.__delattr__(record, "id")  # it is made from the sequence when it is read
        return record


def _plain(value: Any) -> Any:
    """Records within records, such as the evidence of an alert, as their fields."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.to_dict() if isinstance(value, Document) else value


def _draft(record: Record, wanted: int | None) -> Draft:
    return wanted, lambda number: check_size(line_of(record, number))


def _mark(action: str, content: Mapping[str, Any]) -> Draft:
    body = msgspec.Raw(encode(content))
    return None, lambda number: check_size(encode(Line("run", number, time.time_ns(), label=action, body=body)))


def filter_of(cls: type[Record], filters: Mapping[str, Any]) -> RecordFilter:
    """The filter that keyword arguments mean: bounds, and the fields of the kind; None does not restrict.

    Raises:
        SchemaValidationError: the kind has no such field.
    """
    given = {name: value for name, value in filters.items() if value is not None}
    bounds = {name: given.pop(name) for name in _BOUNDS if name in given}
    where: dict[str, Any] = {}
    for name, value in given.items():
        field = _PLURALS.get(name, name)
        if field not in body_names(cls):
            known = ", ".join([*body_names(cls), *_BOUNDS])
            raise SchemaValidationError(f"{cls.__name__} cannot be filtered by {name!r}; known are {known}")
        where[field] = value if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    return RecordFilter(where=where, **bounds)


def started_run(
    project: str, config: Mapping[str, Any] | None, tags: Iterable[str] | None, parent_run_id: str | None,
    root: str | None, strict_mode: bool, name: str | None, run_id: str | None,
) -> RunRecord:  # fmt: skip
    """The record of a run that begins now."""
    named = check_project(project)
    identity = new_run_id() if run_id is None else check_id(run_id)
    environment, now = capture_environment(), time_now()
    return RunRecord(
        id=identity, name=check_name(name), project_id=project_id(named), project_name=named,
        status="running", parent_run_id=parent_run_id,
        lineage_root_run_id=root or identity, run_path=f"runs/{identity}",
        git_commit=(environment["git"] or {}).get("commit"), strict_mode=bool(strict_mode),
        tags=check_tags(tags), environment=environment,
        config=redact(json_object(config, "config", strict=bool(strict_mode), otherwise="value")),
        started_at=now, updated_at=now,
    )  # fmt: skip


def described_artifact(
    artifact_type: str, name: str, namespace: str | None, payload_format: str, content: bytes,
    metadata: Mapping[str, Any] | None,
) -> dict[str, Any]:  # fmt: skip
    """The fields of an artifact's record; the paths are those that a run's directory would have."""
    kind, key = check_key(artifact_type, what="artifact_type"), check_key(name, namespace, what="artifact name")
    extensions: Any = ARTIFACT_STORAGE_LAYOUT["extension"]
    places = {
        "artifact_type": kind, "artifact_key": key, "id": f"{time.time_ns():016x}-{os.urandom(4).hex()}",
        "extension": extensions[payload_format],
    }  # fmt: skip
    return {
        "artifact_type": kind, "namespace": key.rpartition("/")[0] or None, "artifact_name": key.rpartition("/")[2],
        "artifact_key": key, "payload_format": payload_format,
        "payload_relative_path": str(ARTIFACT_STORAGE_LAYOUT["payload"]).format(**places),
        "metadata_relative_path": str(ARTIFACT_STORAGE_LAYOUT["metadata"]).format(**places),
        "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(),
        "metadata": redact(json_object(metadata, "metadata", strict=False)),
    }  # fmt: skip


def time_now() -> str:
    """The time, RFC 3339."""
    return format_timestamp(time.time_ns())
