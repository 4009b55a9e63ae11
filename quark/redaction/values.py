"""Values as a configuration or a payload holds them, without what is secret in them at any depth."""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from .arguments import hides_text, redact_items
from .formats import HIDDEN, SHORTEST
from .names import ALL, NEEDS_PARENT, OPEN, judge, secrecy
from .text import redact_text

DEEPEST = 120
"""What lies deeper cannot be judged in reasonable time, and is hidden."""

_NUMBERS = (int, float, bool, type(None))
_NAMES_OF_PAIRS = (
    "name",
    "key",
    "header",
    "variable",
    "option",
    "field",
    "parameter",
    "param",
    "env",
    "k",
    "Name",
    "Key",
)
_VALUES_OF_PAIRS = ("value", "values", "val", "content", "default", "v", "Value", "Values")


def redact(value: Any, name: str = "") -> Any:
    """``value`` without what looks like a secret; mappings and lists keep their shape, tuples become lists.

    It never raises: what cannot be looked at (a mapping that fails, a list that holds itself) is hidden as a whole.

    Args:
        value: JSON-like values; other objects are left as they are, unless their name is secret.
        name: what the value is called.
    """
    try:
        return _Walk().value(value, secrecy(name) if name else OPEN, name, 0)
    except Exception:  # noqa: BLE001  a hostile object may raise anything, and no fault here may let a secret pass
        return HIDDEN


def redact_fields(fields: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The fields of a record, those of ``names`` without secrets."""
    made = dict(fields)
    for name in names:
        if made.get(name):
            made[name] = redact(_plain(made[name]))
    return made


def _plain(value: Any) -> Any:
    """Records within a record, such as the evidence of an alert, as their fields."""
    if type(value) is not tuple:
        return value
    return [one.to_dict() if hasattr(one, "to_dict") else one for one in value]


def redact_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a sink without secrets, as they are written down; a path stays, whatever its directories say."""
    return {
        name: redact(value, name) if secrecy(name) or not isinstance(value, str) or "://" in value else value
        for name, value in options.items()
    }


class _Walk:
    """One pass over a value. What was seen is not walked again: lists may hold themselves, or one another often."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int], tuple[Any, Any]] = {}

    def value(self, value: Any, level: int, name: str, depth: int) -> Any:
        """``value`` under a name that hides as much as ``level``."""
        kind = type(value)
        if kind is str:
            return _text(value, level)
        if kind in _NUMBERS:
            return HIDDEN if level == ALL and value not in (0, 1, None) else value
        if issubclass(kind, (Mapping, list, tuple, set, frozenset)):
            return self._container(value, level, name, depth)
        if issubclass(kind, str):
            return _text(str.__str__(value), level)
        if issubclass(kind, (bytes, bytearray)):
            return _bytes(value, level)
        return value if level == OPEN else HIDDEN

    def _container(self, value: Any, level: int, name: str, depth: int) -> Any:
        key = (id(value), level)
        if key in self._seen:
            return self._seen[key][1]
        if depth >= DEEPEST:
            return HIDDEN
        self._seen[key] = (value, HIDDEN)  # keeps it alive, so that its id stays its own
        if isinstance(value, Mapping):
            made: Any = self._mapping(value, level, name, depth + 1)
        else:
            made = self._items(list(value), level, name, depth + 1)
            if isinstance(value, (set, frozenset)):
                made = type(value)(made) if type(value) in (set, frozenset) else made
        self._seen[key] = (value, made)
        return made

    def _mapping(self, value: Mapping[Any, Any], above: int, parent: str, depth: int) -> dict[Any, Any]:
        named = _named_pair(value) if len(value) <= 16 else ""
        made: dict[Any, Any] = {}
        for key, item in value.items():
            if type(key) is not str:
                made[key] = self.value(item, above, parent, depth)
                continue
            level, shown = _key(key)
            level = above or level
            if level == OPEN and parent and key.lower() in NEEDS_PARENT:
                level = secrecy(f"{parent}.{key}")
            if named and key in _VALUES_OF_PAIRS:
                level = max(level, secrecy(named))
            if shown != key:
                shown = _unused(shown, made)
            kind = type(item)
            if (level == OPEN and (kind is float or kind is int or kind is bool)) or (
                level == OPEN and kind is str and item.isidentifier() and len(item) < SHORTEST
            ):
                made[shown] = item
            else:
                made[shown] = self.value(item, level, key, depth)
        return made

    def _items(self, values: list[Any], level: int, name: str, depth: int) -> list[Any]:
        if level == OPEN:
            values = redact_items(values)
        return [self.value(item, level, name, depth) for item in values]


@functools.lru_cache(maxsize=16_384)
def _key(key: str) -> tuple[int, str]:
    """How much a key hides, and the key itself as it may be shown."""
    return judge(key), key if key.isidentifier() else redact_text(key)


def _text(text: str, level: int) -> str:
    if level != OPEN and hides_text(text, level):
        return HIDDEN
    return _json(text) if text[:1] in ("{", "[") and text[-1:] in ("}", "]") else redact_text(text)


def _json(text: str) -> str:
    """JSON inside a text is judged as the value that it is; a text in which nothing is secret stays as it was."""
    try:
        value = orjson.loads(text)
        shown = redact(value)
        return text if shown == value else orjson.dumps(shown).decode()
    except (ValueError, TypeError, RecursionError):
        return redact_text(text)


def _bytes(value: Any, level: int) -> Any:
    if level != OPEN:
        return HIDDEN if value else value
    text = bytes(value).decode("latin-1")
    shown = redact_text(text)
    return value if shown == text else shown.encode("latin-1")


def _named_pair(value: Mapping[Any, Any]) -> str:
    """The name in ``{"name": "Authorization", "value": ...}``; empty if it is no such pair."""
    for key in _NAMES_OF_PAIRS:
        if key in value:
            named = value[key]
            return named if type(named) is str else ""
    return ""


def _unused(key: str, made: dict[Any, Any]) -> str:
    """Two keys that were hidden stay two."""
    number, free = 1, key
    while free in made:
        number += 1
        free = f"{key} {number}"
    return free
