"""A configuration that is too large for one record: what fits is kept, the rest is replaced by a note of its size."""

from collections.abc import Mapping
from typing import Any

from ..errors import SchemaValidationError
from .foreign import type_name
from .limits import MAX_ELEMENTS, MAX_RECORD_BYTES, check_size, separators
from .line import encode

MOST_NAMED = 5
"""Names of what was left out that the error has."""

MAX_EVENT_BYTES = MAX_RECORD_BYTES - (64 << 10)
"""Bytes of an event's payload: its line holds more than that."""

_BYTES_PER_VALUE = -(-MAX_RECORD_BYTES // MAX_ELEMENTS)


def fitted(
    values: dict[str, Any], beside: object, what: str, *, most: int = MAX_RECORD_BYTES
) -> tuple[dict[str, Any], SchemaValidationError | None]:
    """``values`` if they fit into a record, and None; else those that fit, and an error that names the others.

    Small values come first. A mapping that does not fit as a whole is kept in part; a list or a text that does not fit
    becomes ``<list of 1,000,000 items, too large to be recorded>``.

    Args:
        values: JSON values by name.
        beside: what the record holds beside them.
        what: the record in the error.
        most: bytes that the record may have.
    """
    try:
        check_size(encode((values, beside)), what, most)
    except SchemaValidationError as error:
        left: list[str] = []
        kept = _kept(values, most - _cost(beside), "", left)
        names = ", ".join(left[:MOST_NAMED]) + (f" and {len(left) - MOST_NAMED:,} more" if left[MOST_NAMED:] else "")
        return kept, SchemaValidationError(f"{error}; this is left out: {names}")
    return values, None


def _kept(values: dict[str, Any], room: int, prefix: str, left: list[str]) -> dict[str, Any]:
    """The entries that fit into ``room``; the dotted names of the others are put into ``left``."""
    costs = {name: _cost({name: item}) for name, item in values.items()}
    kept: dict[str, Any] = {}
    for name in sorted(costs, key=costs.__getitem__):
        item, cost = values[name], costs[name]
        if cost > room and isinstance(item, Mapping):
            item = _kept(dict(item), room - _cost({name: {}}), f"{prefix}{name}.", left)
            cost = _cost({name: item})
        elif cost > room:
            left.append(f"{prefix}{name[:80]}")
            item = _size_of(item)
            cost = _cost({name: item})
        if cost <= room:
            kept[name] = item
            room -= cost
    return {name: kept[name] for name in values if name in kept}


def _size_of(item: Any) -> str:
    if isinstance(item, str):
        return f"<text of {len(item):,} characters, too large to be recorded>"
    items = f" of {len(item):,} items" if isinstance(item, list) else ""
    return f"<{type_name(item)}{items}, too large to be recorded>"


def _cost(value: object) -> int:
    """What a value takes of a record's room, which is bounded in bytes and in values, as bytes."""
    line = encode(value)
    return max(len(line), separators(line) * _BYTES_PER_VALUE)
