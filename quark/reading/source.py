"""What a Store reads from: a RecordReader that also knows projects, latest values, counts and payloads."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ..core.reader import RecordFilter, RecordReader
from ..records.artifact import ArtifactRecord
from ..records.base import Origin, Record
from ..records.run import ProjectRecord, RunRecord

Payloads = Callable[[RunRecord, ArtifactRecord], bytes]
"""Gives the payload of an artifact of a run; SessionStoreError if it is missing or damaged."""


class StoreReader(RecordReader, Protocol):
    """What a Store needs to be built on: a RecordReader that also knows projects, latest values and counts."""

    def projects(self) -> Sequence[ProjectRecord]:
        """The projects, by name."""
        ...

    def latest(self, run_id: str) -> Mapping[str, tuple[int | None, float]]:
        """Step and value of the last point of every metric."""
        ...

    def writers(self, run_id: str) -> Sequence[tuple[Origin, int]]:
        """The processes that wrote a run, as they arrived, each with the sequence number that is expected next."""
        ...

    def count(self, run_id: str) -> Mapping[str, int]:
        """How many records of each kind a run has."""
        ...

    def records_page(
        self, run_id: str, kind: str, where: RecordFilter | None = None, limit: int = 1000
    ) -> tuple[Sequence[Record], int | None]:
        """Up to ``limit`` records, and the ``RecordFilter.after`` for those behind them; None at the end."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
