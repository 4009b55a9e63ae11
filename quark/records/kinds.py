"""The registry of record kinds: Quark's own, and those that other packages announce as ``quark.kinds``.

Whatever a part of Quark does with kinds follows from the record classes here: reading, storing, the service's paths,
exports, mirrors and ``quark tail``.
"""

import dataclasses
import logging
import re
from collections.abc import Iterator, Mapping
from typing import TypeVar, dataclass_transform

from ..errors import ConfigurationError
from . import analysis, artifact, batch, event, layer, metric, parameter, telemetry  # noqa: F401  each registers its kinds
from .base import REGISTERED, Record, body_names

R = TypeVar("R", bound=Record)

GROUP = "quark.kinds"
RESERVED = frozenset({"metrics", "run", "writer"})
"""Kinds of lines that are no records: wide lines, the life of a run, and the head of an exported writer."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}\Z")
_BUILT_IN = frozenset(REGISTERED)

logger = logging.getLogger("quark")


class Kinds(Mapping[str, type[Record]]):
    """Record classes by kind, sorted.

    Installed packages are searched the first time that an unknown kind is looked up, or all kinds are listed: a run
    that records only Quark's own kinds never pays for it.
    """

    def __init__(self, registered: dict[str, type[Record]]) -> None:
        self._registered = registered
        self._searched = False

    def __getitem__(self, name: str) -> type[Record]:
        if name in self:
            return self._registered[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        self._search()
        return iter(sorted(self._registered))

    def __len__(self) -> int:
        self._search()
        return len(self._registered)

    def __repr__(self) -> str:
        return f"record classes by kind: {', '.join(self)}"

    def __contains__(self, name: object) -> bool:
        if name not in self._registered and name not in RESERVED:
            self._search()
        return name in self._registered

    def _search(self) -> None:
        if self._searched:
            return
        self._searched = True
        from importlib.metadata import entry_points  # slow to import

        for entry in entry_points(group=GROUP):
            try:
                entry.load()  # its decorator registers it
            except Exception as error:  # noqa: BLE001  another package's import may raise anything
                logger.warning(
                    "quark: the record kind %r (%s) could not be imported: %s: %s; its records are not read",
                    entry.name, entry.value, type(error).__name__, error,
                )  # fmt: skip


KINDS = RECORD_KINDS = Kinds(REGISTERED)
"""The record class of every kind by its name on the wire; RECORD_KINDS is its public name."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
def record_kind(cls: type[R]) -> type[R]:
    """Make a subclass of ``Record`` a frozen dataclass and register it as a kind of record.

    The class sets ``kind`` and its own fields, and may set ``label_field``, ``plural``, ``noun``, ``free_text`` and
    ``tailed``. Name it under the entry point group ``quark.kinds``, so that other processes can read its records.

    Raises:
        ConfigurationError: the class is no Record, or its kind has no valid name or belongs to another class.
    """
    if not (isinstance(cls, type) and issubclass(cls, Record)):
        raise ConfigurationError(f"a record kind is a subclass of quark.Record, got {cls!r}")
    name = cls.__dict__.get("kind")
    if not isinstance(name, str) or not _NAME.match(name) or name in RESERVED:
        raise ConfigurationError(
            f"{cls.__name__}.kind must be a lower-case word such as 'memo', and none of "
            f"{', '.join(sorted(RESERVED))}, got {name!r}"
        )
    other = REGISTERED.get(name)
    if name in _BUILT_IN or (other is not None and _home(other) != _home(cls)):
        raise ConfigurationError(
            f"{cls.__name__}.kind is {name!r}, which is another record's kind; choose another word"
        )
    made = dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)(cls)
    texts = [field.name for field in dataclasses.fields(made) if isinstance(field.type, str)]
    if texts:
        raise ConfigurationError(
            f"{cls.__name__}.{texts[0]} is annotated with text, and the decoder needs types; remove "
            "`from __future__ import annotations` from its module"
        )
    if made.label_field is not None and made.label_field not in body_names(made):
        raise ConfigurationError(f"{cls.__name__}.label_field is {made.label_field!r}, which is not a field of it")
    REGISTERED[name] = made
    return made


def _home(cls: type) -> tuple[str, str]:
    """A class that is defined again, as in a notebook's cell, is the same kind."""
    return cls.__module__, cls.__qualname__


record_kind.__module__ = "quark"
