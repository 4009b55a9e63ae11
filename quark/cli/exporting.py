"""Writes a run as JSON lines, CSV, JSON or Parquet, record by record, without holding it in memory."""

import csv
import io
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import IO, Any

import msgspec
import orjson

from ..reading import RunView
from ..reading.replay import lines_of
from ..records.base import CURRENT_SCHEMA_VERSION, Origin, field_names, plural_of
from ..records.kinds import KINDS
from ..records.line import Line, encode
from .files import appearing

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What makes a spreadsheet take a cell for a formula when it comes first."""


def write_file(view: RunView, as_format: str, kinds: Sequence[str], path: Path) -> int:
    """Write a run to a file, which appears when it is complete; the number of records."""
    if as_format == "parquet":
        view.to_parquet(path, all_attempts=True)
        return view.counts().get("metric", 0)
    with appearing(path) as file:
        return write(view, as_format, kinds, file)


def write(view: RunView, as_format: str, kinds: Sequence[str], file: IO[bytes]) -> int:
    """Write a run as jsonl, csv or json; the number of records."""
    if as_format == "csv":
        return _write_csv(view, kinds[0] if kinds else "metric", file)
    if as_format == "json":
        return _write_document(view, kinds or tuple(KINDS), file)
    return _write_lines(view, kinds or tuple(KINDS), file)


def _write_lines(view: RunView, kinds: Sequence[str], file: IO[bytes]) -> int:
    """The lines of the journal: who wrote them stands in a line before them, the run itself in the first one."""
    count = 0
    writer: Origin | None = None
    start = {"project": {"name": view.project}, "run": view.record.to_dict(), "names": view.reader.names(view.id)}
    body = msgspec.Raw(orjson.dumps(start))
    first = encode(Line("run", 0, 0, label="start", body=body)) + b"\n"
    for kind in kinds:
        for origin, records in groupby(view.records(kind), key=lambda record: record.origin):
            if origin != writer:
                file.write(_header(origin, view.project))
                writer = origin
            file.write(first)
            first = b""
            for _, line, held in lines_of(records):
                file.write(line + b"\n")
                count += held
    if first:
        file.write(first)
    return count


def _header(origin: Origin, project: str) -> bytes:
    return orjson.dumps({
        "kind": "writer", "sequence": 0, "time": 0, "run_id": origin.run_id, "writer_id": origin.writer_id,
        "rank": origin.rank, "attempt": origin.attempt, "schema_version": CURRENT_SCHEMA_VERSION, "project": project,
    }) + b"\n"  # fmt: skip


def _write_document(view: RunView, kinds: Sequence[str], file: IO[bytes]) -> int:
    count = 0
    names = orjson.dumps(view.reader.names(view.id))
    file.write(b'{"run":' + orjson.dumps(view.record.to_dict()) + b',\n"names":' + names)
    for kind in kinds:
        file.write(b',\n"%s":[' % plural_of(KINDS[kind]).encode())
        comma = b"\n"
        for record in view.records(kind):
            file.write(comma + orjson.dumps(record.to_dict()))
            comma = b",\n"
            count += 1
        file.write(b"]")
    file.write(b"}\n")
    return count


def _write_csv(view: RunView, kind: str, file: IO[bytes]) -> int:
    """One row a record, with its name if it has one. Text that a spreadsheet would run gets an apostrophe before it."""
    label = KINDS[kind].label_field if KINDS[kind].named else None
    names = view.recorded_names(kind) if label else {}
    fields = field_names(KINDS[kind])
    columns = [*fields, "attempt", "rank", *(["name"] if label else [])]
    wrapped = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    try:
        rows = csv.writer(wrapped, lineterminator="\n")
        rows.writerow(columns)
        count = 0
        for record in view.records(kind):
            origin = record.origin
            values = [*(getattr(record, name) for name in fields), origin.attempt, origin.rank]
            if label:
                values.append(names.get(getattr(record, label), getattr(record, label)))
            rows.writerow([_cell(value) for value in values])
            count += 1
        return count
    finally:
        wrapped.detach()


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, (int, float)):
        return value
    if not isinstance(value, str):
        value = orjson.dumps(
            value, default=lambda item: item.to_dict(), option=orjson.OPT_PASSTHROUGH_DATACLASS
        ).decode()
    value = value.replace("\0", "")
    return f"'{value}" if value.startswith(_FORMULA) else value
