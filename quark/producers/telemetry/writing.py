"""Puts a telemetry record into the journal in the time of a few metrics.

The general ``emit`` converts and checks every field against its declaration, which costs more than all else that
happens in a step here; these fields were checked one by one where they came in.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from ...core.handle import JournalLike
from ...records.base import Record
from ...records.line import Line, encode
from ...records.telemetry import SystemTelemetryRecord


class _OpenTelemetry(Record):
    """SystemTelemetryRecord's layout without its constructor and without its lock."""

    __slots__ = SystemTelemetryRecord.__slots__
    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__


def put_record(
    journal: JournalLike, body: Mapping[str, Any], step: int | None, epoch: int | None, time_ns: int
) -> SystemTelemetryRecord:
    """Journal the record with the fields ``body``, which holds every one of its own, and return it.

    Raises:
        ClosedError: the run has ended.
    """
    raw = msgspec.Raw(encode(body))
    label = body["boundary"]
    while True:
        number = journal.next
        line = encode(Line("telemetry", number, time_ns, step, epoch, label=label, body=raw)) + b"\n"
        if journal.put(number, line):
            break
    record: Any = object.__new__(_OpenTelemetry)
    record._origin = journal.origin
    record._time = time_ns
    record.sequence = number
    for name, value in body.items():
        setattr(record, name, value)
    record.step = step
    record.epoch = epoch
    record.__class__ = SystemTelemetryRecord
    return record
