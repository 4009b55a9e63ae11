"""How large one record may be, wherever it is recorded, sent or stored."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from ..errors import SchemaValidationError

MAX_RECORD_BYTES = 4 << 20
"""Bytes of one record as a line of JSON; larger content belongs into an artifact."""

MAX_ELEMENTS = 250_000
"""Values in one record: items of lists, entries of objects, and the lists and objects themselves."""

MAX_ANNOTATION_BYTES = 64 << 10
"""Bytes of the description and the metadata of one metric as JSON: there are a great many metrics."""

MAX_LABEL = 512
"""Characters of a tag, of a record's kind and of its label: databases index them."""

MAX_NAME = 4096
"""Characters of a run's name."""

MAX_TAGS = 1000
"""Tags of a run."""

_SHORT = 2 * MAX_ELEMENTS
"""A line of fewer bytes cannot hold too many values: each takes a character and a separator."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""A string, or the rest of the line behind a quote that nothing closes: each byte is looked at once."""


def check_size(line: bytes, what: str = "the record", most: int = MAX_RECORD_BYTES) -> bytes:
    """The line of a record, unless it is too large to be stored and served beside others.

    Args:
        line: the record as JSON.
        what: its name in the error.
        most: bytes that it may have.

    Raises:
        SchemaValidationError: more than ``MAX_RECORD_BYTES`` bytes or ``MAX_ELEMENTS`` values.
    """
    if len(line) <= _SHORT:
        return line
    _check_length(len(line), what, most)
    if separators(line) > MAX_ELEMENTS and separators(_STRING.sub(b"", line)) > MAX_ELEMENTS:
        raise SchemaValidationError(
            f"{what} has more than {MAX_ELEMENTS} values in its lists and objects; store large content as an artifact"
        )
    return line


def check_annotations(description: str | None, metadata: dict[str, Any] | None) -> None:
    """Refuse a metric's description and metadata that are too large together.

    Raises:
        SchemaValidationError: more than ``MAX_ANNOTATION_BYTES`` bytes.
    """
    size = len(msgspec.json.encode((description, metadata)))
    if size > MAX_ANNOTATION_BYTES:
        raise SchemaValidationError(
            f"description and metadata of a metric have {size} bytes, at most {MAX_ANNOTATION_BYTES} are allowed; "
            "log an event or store an artifact"
        )


def line_bounds(data: bytes) -> Iterator[tuple[int, int]]:
    """Where each line of JSON text begins and ends, without its line break."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        yield start, end
        start = end + 1


def checked_line(data: bytes, start: int, end: int) -> bytes:
    """The line between two places of a text, which is not copied if it is too long.

    Raises:
        SchemaValidationError: see ``check_size``.
    """
    _check_length(end - start, "the record", MAX_RECORD_BYTES)
    return check_size(data[start:end])


def check_sizes(lines: bytes) -> None:
    """Refuse the first record that is too large among lines of JSON, without looking at the small ones.

    Raises:
        SchemaValidationError: see ``check_size``.
    """
    start = 0
    while len(lines) - start > _SHORT:
        end = lines.rfind(b"\n", start, start + _SHORT)
        if end < 0:  # no line ends here, so it is a long one
            end = lines.find(b"\n", start)
            end = len(lines) if end < 0 else end
            checked_line(lines, start, end)
        start = end + 1


def _check_length(length: int, what: str, most: int) -> None:
    if length > most:
        raise SchemaValidationError(
            f"{what} has {length} bytes, at most {most} are allowed; store large content as an artifact"
        )


def separators(text: bytes) -> int:
    """Commas and opening brackets: each value takes one, and strings may hold more."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")
