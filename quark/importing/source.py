"""What an importer hands over: runs, and their rows of metrics. Any objects with these attributes will do."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol


class Row(Protocol):
    """Values that were logged together.

    ``values`` maps names to numbers or texts. ``step`` and ``epoch`` are given as the source has them, be they negative
    or decimal. ``time_ns`` is the wall time in nanoseconds since 1970 UTC, None if the source has none.
    """

    @property
    def values(self) -> dict[str, Any]: ...
    @property
    def step(self) -> Any: ...
    @property
    def epoch(self) -> Any: ...
    @property
    def time_ns(self) -> int | None: ...


class SourceRun(Protocol):
    """A run as the source has it; see ``quark_integrations.importing.source.SourceRun`` for each attribute."""

    source_id: str
    location: str
    started_ns: int
    project: str
    name: str | None
    config: Mapping[str, Any]
    tags: Sequence[str]
    notes: str | None
    summary: Mapping[str, Any]
    environment: Mapping[str, Any]
    parent_id: str | None
    reason: str | None
    ended_ns: int | None
    remarks: list[str]

    def rows(self) -> Iterator[Row]:
        """The rows in the order of the source; each call reads them from the start."""
        ...


class Importer(Protocol):
    """Reads the runs of one kind of source."""

    def __call__(self, source: str, **columns: str) -> Iterator[SourceRun]:
        """The runs at a path or address, one after the other."""
        ...
