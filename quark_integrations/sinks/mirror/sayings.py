"""What a run says of itself in words and results: its summary and its notes, as a mirror passes them on."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from quark import RecordBatch

SUMMARY, NOTE = "summary", "note"


class Saying(NamedTuple):
    """A part of the summary, or a note, which may replace all before it; ``key`` is the same for the same record."""

    key: str
    step: int | None
    time_ns: int
    values: Mapping[str, Any]
    note: str | None
    replaces: bool = False


def sayings_of(batch: RecordBatch) -> Iterator[Saying]:
    """Those of a batch, in their order; events of these names that others made in another form are passed over."""
    for line in batch.lines():
        if line.kind != "event" or line.label not in (SUMMARY, NOTE) or not line.body:
            continue
        body = msgspec.json.decode(line.body)
        payload = body.get("payload") if isinstance(body, dict) else None
        if not isinstance(payload, dict):
            continue
        values, text = payload.get("values"), payload.get("text")
        key = f"{batch.origin.writer_id}-{line.sequence}"
        if line.label == SUMMARY and isinstance(values, dict):
            yield Saying(key, line.step, line.time, values, None)
        elif line.label == NOTE and isinstance(text, str):
            yield Saying(key, line.step, line.time, {}, text, payload.get("replaces") is True)
