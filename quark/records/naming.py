"""Names as people write them, and the keys under which they are recorded.

A key follows the documented grammar: letters, digits, ``.``, ``_`` and ``-`` in parts between slashes. A name that
follows it is its own key. Of any other name the parts that do not follow it are cleaned and end in a digest of what
they were, so that two names never share a key, and a name always has the same one: ``Train Loss`` is
``Train_Loss-`` and twelve digits. The run records the name beside the key, see ``NAME``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from ..errors import WrongTypeError
from .foreign import clean_text, shown
from .grammar import MAX_KEY, is_event_type, is_key

NAME = "name"
"""The step in a run's life that says under which key a name is recorded: ``of``, ``key`` and ``name``."""

NONFINITE = "metric_nonfinite"
"""The event that holds a value that was NaN or infinite: ``key`` and ``value`` in its payload."""

METRIC, ARTIFACT, EVENT = "metric", "artifact", "event"
"""What a name may be of."""

_DIGEST_CHARACTERS = 12
_LONGEST_PART = 200
"""Characters of a cleaned part: artifacts are files, and no file system takes more than 255 bytes a name."""

_REFUSED = re.compile(r"[^A-Za-z0-9._-]+")
_REFUSED_IN_EVENT_TYPE = re.compile(r"[^a-z0-9._-]+")
_SUFFIX = re.compile(rf"-[0-9a-f]{{{_DIGEST_CHARACTERS}}}(?=/|\Z)")


def metric_key(name: str) -> str:
    """The key under which a metric or artifact of any name is recorded outside strict mode.

    A name that follows the grammar of keys is returned as it is. Every other text gets a key of its own, the same in
    every run: ``metric_key("Train Loss")`` begins with ``Train_Loss-``. Parts between slashes are mapped one by one,
    so metrics of one namespace stay together. Lone surrogates, which UTF-8 cannot hold, count as U+FFFD.

    Raises:
        WrongTypeError: the name is not text.
    """
    if not isinstance(name, str):
        raise WrongTypeError(f"a name must be a string, got {shown(name)}; name it like 'train/loss'")
    return name if is_key(name) else _mapped(clean_text(name))


@lru_cache(maxsize=4096)
def _mapped(name: str) -> str:
    parts = (part if is_key(part) and len(part) <= _LONGEST_PART else _part(part) for part in name.split("/"))
    key = "/".join(parts)
    return key if len(key) <= MAX_KEY else _part(name)


def _part(text: str) -> str:
    cleaned = _REFUSED.sub("_", text).lstrip("._-")[:_LONGEST_PART].rstrip("._-") or "unnamed"
    return f"{cleaned}-{_digest(text)}"


@lru_cache(maxsize=1024)
def event_type_for(name: str) -> str:
    """The event type under which an event of any name is recorded outside strict mode.

    Raises:
        WrongTypeError: the name is not text.
    """
    if not isinstance(name, str):
        raise WrongTypeError(f"event_type must be a string, got {shown(name)}")
    if is_event_type(name):
        return name
    cleaned = _REFUSED_IN_EVENT_TYPE.sub("_", name.lower()).lstrip("0123456789._-")[:_LONGEST_PART].rstrip("._-")
    return f"{cleaned or 'unnamed'}-{_digest(name)}"


def file_key(key: str) -> str:
    """A key whose parts are short enough to be names of files."""
    return "/".join(part if len(part) <= _LONGEST_PART else _part(part) for part in key.split("/"))


_KEYED: Mapping[str, Callable[[str], str]] = {
    **dict.fromkeys(
        ("metric_key", "namespace", "metric_name", "artifact_type", "artifact_key", "artifact_name"), metric_key
    ),
    "event_type": event_type_for,
}


def by_keys(where: Mapping[str, Any]) -> dict[str, Any]:
    """What records are filtered by, with the keys of the names in it."""

    def keyed(map_name: Callable[[str], str], value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(keyed(map_name, one) for one in value)
        return map_name(value) if isinstance(value, str) else value

    return {field: keyed(_KEYED[field], value) if field in _KEYED else value for field, value in where.items()}


def nonfinite_name(payload: Mapping[str, Any]) -> str:
    """The name of the metric whose value was not finite, from the payload of such an event."""
    return str(payload.get("name") or payload.get("key", ""))


def without_digests(key: str) -> str:
    """A key without the digests that ``metric_key`` puts at the end of cleaned parts: what its words mean."""
    return _SUFFIX.sub("", key)


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_CHARACTERS // 2).hexdigest()


@dataclass(slots=True)
class RecordedNames:
    """The names that a process has recorded for a run.

    Attributes:
        metrics: the key of each metric's name that is not its own key.
        keys: what has a recorded name, as ``(of, key)``.
    """

    metrics: dict[str, str] = field(default_factory=dict)
    keys: set[tuple[str, str]] = field(default_factory=set)
