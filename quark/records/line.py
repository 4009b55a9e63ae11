"""The wire: one JSON line a record, the same bytes in the journal, the JSONL file and the service.

The envelope (kind, sequence, time, step, epoch) stands outside; a metric has its key and value beside it, a wide record
its values, every other kind one ``body`` object. No field of a record can therefore overwrite the envelope.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from ..errors import SchemaValidationError
from .base import COMMON_FIELDS, Origin, Record, body_names, object_fields
from .metric import MetricRecord
from .ready import ready


class Line(msgspec.Struct, omit_defaults=True, gc=False):
    """One line of a journal, decoded only as far as every reader needs it."""

    kind: str
    sequence: int
    time: int
    step: int | None = None
    epoch: int | None = None
    metric_key: str | None = None
    value: float | None = None
    values: dict[str, float] | None = None
    description: str | None = None
    metadata: dict[str, Any] | None = None
    label: str | None = None
    body: msgspec.Raw = msgspec.Raw()


_SEQUENCE = re.compile(rb'\{"kind":"[^"]*","sequence":(\d+),')

WIDE = "metrics"
"""The kind of a line that holds many metrics of one step."""

encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(ready(Line))
decode_line = _decoder.decode
decode_lines = _decoder.decode_lines


def sequence_of(line: bytes) -> int | None:
    """The sequence number at the head of a line, read without decoding it; None if it is no line of ours."""
    found = _SEQUENCE.match(line)
    return int(found.group(1)) if found else None


def decode_loosely(raw: bytes) -> Line:
    """A line whose values may be written as true and false; they are 1.0 and 0.0.

    Raises:
        msgspec.DecodeError: it is no line.
    """
    try:
        return decode_line(raw)
    except msgspec.ValidationError:
        content = msgspec.json.decode(raw)
        if isinstance(content, dict) and isinstance(content.get("values"), dict):
            flags = {key: float(value) for key, value in content["values"].items() if isinstance(value, bool)}
            content["values"].update(flags)
        return decode_line(msgspec.json.encode(content))


class OpenMetric(Record):
    """MetricRecord's layout without its constructor and without its lock, to be filled and then closed."""

    __slots__ = MetricRecord.__slots__
    __init__ = object.__init__  # pyright: ignore[reportAssignmentType]
    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__  # both, or stores go through a Python-level slot: 80 ns instead of 10


def metric_record(
    origin: Origin, sequence: int, time: int, key: str, value: float, step: int | None, epoch: int | None
) -> MetricRecord:
    """A MetricRecord in a fifth of a dataclass's construction: its open twin is filled, then closed.

    The fields left out (id, timestamp, names, metadata) are made when they are read.
    """
    record: Any = OpenMetric()  # pyright: ignore[reportCallIssue]
    record._origin = origin
    record._time = time
    record.sequence = sequence
    record.metric_key = key
    record.value = value
    record.step = step
    record.epoch = epoch
    record.__class__ = MetricRecord
    return record


def value_of(line: Line) -> float:
    """The value of a metric's line; JSON has no NaN, it is written as null."""
    return math.nan if line.value is None else line.value


def records_of(line: Line, origin: Origin) -> Iterator[Record]:
    """The records that a line holds: one, or a wide line's metrics; none for a kind that this release does not know."""
    if line.kind == "metric":
        record = metric_record(
            origin,
            line.sequence,
            line.time,
            line.metric_key or "",
            value_of(line),
            line.step,
            line.epoch,
        )
        if line.description is not None:
            object.__setattr__(record, "description", line.description)
        if line.metadata is not None:
            object.__setattr__(record, "metadata", line.metadata)
        yield record
    elif line.kind == WIDE:
        for key, value in (line.values or {}).items():
            yield metric_record(origin, line.sequence, line.time, key, value, line.step, line.epoch)
    else:
        from .kinds import KINDS  # here and below: a run that records need not import every kind

        if line.kind in KINDS:
            yield record_of_body(line.kind, line.body, origin, line.sequence, line.time, line.step, line.epoch)


def record_of_body(
    kind: str, body: Any, origin: Origin, sequence: int, time: int, step: int | None, epoch: int | None
) -> Record:
    """The record of a kind from its JSON body, checked against the class."""
    from .kinds import KINDS

    cls = KINDS[kind]
    fields = msgspec.json.decode(body)
    if step is not None:
        fields["step"] = step
    if epoch is not None:
        fields["epoch"] = epoch
    return build(cls, origin, sequence, time, fields)


def build(cls: type[Record], origin: Origin, sequence: int, time: int, fields: dict[str, Any]) -> Any:
    """A record of ``cls`` with its identity, its fields converted and checked.

    Raises:
        SchemaValidationError: a field is missing, of a wrong type or out of its range.
    """
    own = dict(fields)
    own.update(id=f"{origin.writer_id}-{sequence}", run_id=origin.run_id, sequence=sequence, timestamp="")
    for name in object_fields(cls):
        if own.get(name) is None:
            own[name] = {}
    try:
        record = msgspec.convert(own, type=ready(cls))
    except msgspec.ValidationError as error:
        raise SchemaValidationError(f"{cls.__name__}: {error}; see docs/records.md for the field") from error
    object.__setattr__(record, "_origin", origin)
    object.__setattr__(record, "_time", time)
    object.__delattr__(record, "timestamp")
    return record


def body_of(record: Record) -> bytes:
    """A record's own fields as the JSON body of its line."""
    plain = record.to_dict()
    return encode({name: plain[name] for name in body_names(type(record))})


def line_of(record: Record, sequence: int | None = None) -> bytes:
    """The line of a record, without its final newline."""
    number = record.sequence if sequence is None else sequence
    if isinstance(record, MetricRecord):
        return encode(Line(
            "metric", number, record.time_ns, record.step, record.epoch, record.metric_key, record.value,
            description=record.description, metadata=record.metadata or None,
        ))  # fmt: skip
    label = getattr(record, record.label_field) if record.label_field else None
    return encode(Line(
        record.kind, number, record.time_ns, getattr(record, "step", None), getattr(record, "epoch", None),
        label=label, body=msgspec.Raw(body_of(record)),
    ))  # fmt: skip


__all__ = [
    "COMMON_FIELDS", "WIDE", "Line", "body_of", "build", "decode_line", "decode_lines", "decode_loosely", "encode",
    "line_of",
    "metric_record", "record_of_body", "records_of", "value_of",
]  # fmt: skip
