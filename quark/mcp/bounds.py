"""Keeps answers small: text and lists are cut, and an answer says so."""

import math
from collections.abc import Mapping
from typing import Any

import orjson

from ..sinks.wording import plain

MOST_BYTES = 20_000
"""Of an answer as compact JSON."""

MOST_TEXT = 500
MOST_ITEMS = 200
MOST_DEPTH = 8


def cleaned(value: Any, text: int = MOST_TEXT, depth: int = MOST_DEPTH) -> Any:
    """JSON values without control characters; text, lists and what is deeply nested are cut, infinity becomes text."""
    if isinstance(value, str):
        return plain(value, text)
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else str(value)
    if isinstance(value, (int, type(None))):
        return value
    if depth == 0:
        return "..."
    if isinstance(value, Mapping):
        items = list(value.items())
        made = {plain(key, 200): cleaned(item, text, depth - 1) for key, item in items[:MOST_ITEMS]}
        return made if len(items) <= MOST_ITEMS else {**made, "...": f"{len(items) - MOST_ITEMS} more"}
    if isinstance(value, (list, tuple)):
        listed = [cleaned(item, text, depth - 1) for item in value[:MOST_ITEMS]]
        return listed if len(value) <= MOST_ITEMS else [*listed, f"... {len(value) - MOST_ITEMS} more"]
    return plain(value, text)


def bounded(document: Mapping[str, Any], *parts: str, hint: str, truncated: bool = False) -> dict[str, Any]:
    """The document in at most ``MOST_BYTES``, with ``truncated``, and how to ask for less where it is true.

    Args:
        parts: the lists and mappings of the document that may be shortened, the first of them first.
        hint: what to ask instead to see the rest.
        truncated: something was left out already.
    """
    made = {name: cleaned(value) for name, value in document.items()}
    for part in parts:
        while _size(made) > MOST_BYTES and made.get(part):
            truncated = True
            keep = min(len(made[part]) - 1, len(made[part]) * MOST_BYTES // _size(made))
            made[part] = _first(made[part], keep)
    if _size(made) > MOST_BYTES:  # one value alone is too much
        made, truncated = {name: value for name, value in made.items() if _size(value) < 500}, True
    return {**made, "truncated": truncated, **({"hint": hint} if truncated else {})}


def _first(items: Any, count: int) -> Any:
    return dict(list(items.items())[:count]) if isinstance(items, dict) else items[:count]


def _size(value: Any) -> int:
    return len(orjson.dumps(value)) + 300  # for the flag and the hint
