"""Search in a file of JSON lines from its end: what a writer wrote last stands there, however long the file is."""

import os
from collections.abc import Iterator

import orjson

from ..delivery.tail import sequence_of

BLOCK = 1 << 20
HEADER = b'{"kind":"writer",'
"""How the line begins that says whose records follow."""


def next_sequence(descriptor: int, run_id: str | None, writer_id: str) -> int | None:
    """The number that follows the last record of a writer; None if the file holds no header of it.

    Args:
        run_id: the writer's run, or None if it is not known.
    """
    end = os.fstat(descriptor).st_size
    for start, header in _headers(descriptor, end):
        if header.get("writer_id") == writer_id and run_id in (None, header.get("run_id")):
            return _last_number(descriptor, start, end, int(header.get("sequence", 0)))
        end = start
    return None


def last_line_start(descriptor: int, end: int) -> int:
    """Where the line that ends at ``end`` begins; a newline at ``end - 1`` belongs to it."""
    return _find_back(descriptor, b"\n", end - 1) + 1


def _headers(descriptor: int, end: int) -> Iterator[tuple[int, dict]]:
    """The headers before ``end`` with their offsets, the last one first."""
    while (at := _find_back(descriptor, b"\n" + HEADER, end)) >= 0:
        yield at + 1, _object(_line_at(descriptor, at + 1))
        end = at
    first = _line_at(descriptor, 0)
    if first.startswith(HEADER) and end > 0:
        yield 0, _object(first)


def _last_number(descriptor: int, start: int, end: int, first: int) -> int:
    """The number after the last readable line between a header at ``start`` and ``end``; ``first`` if there is none."""
    while end > start:
        line = last_line_start(descriptor, end)
        if line <= start:
            break
        number = sequence_of(os.pread(descriptor, 256, line))
        if number is not None:
            return number + 1
        end = line
    return first


def _find_back(descriptor: int, needle: bytes, end: int) -> int:
    """Offset of the last ``needle`` that starts before ``end``, or -1."""
    while end > 0:
        start = max(0, end - BLOCK)
        at = os.pread(descriptor, end - start + len(needle) - 1, start).rfind(needle)
        if at >= 0:
            return start + at
        end = start
    return -1


def _line_at(descriptor: int, start: int) -> bytes:
    line = b""
    while b"\n" not in line:
        more = os.pread(descriptor, 4096, start + len(line))
        if not more or len(line) > BLOCK:
            break
        line += more
    return line.partition(b"\n")[0]


def _object(text: bytes) -> dict:
    """A header as a dictionary; an unreadable one belongs to nobody."""
    try:
        made = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return made if isinstance(made, dict) else {}
