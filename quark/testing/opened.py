"""The store under test: how a contract opens it, and the lines that it is fed with."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from ..core.batch import RecordBatch
from ..core.reader import RecordFilter, RecordReader
from ..records.base import Origin, Record
from ..records.line import Line
from .batches import make_batch, run_line, start_line

ORIGIN = Origin("run-contract", "0-1-aaaaaaaaaaaa")
OTHER = Origin("run-contract", "1-1-bbbbbbbbbbbb", rank=1)
AGAIN = Origin("run-contract", "0-2-cccccccccccc", attempt=2)
RUN = ORIGIN.run_id


class WritableStore(RecordReader, Protocol):
    """A store as the contract uses it: a reader that also takes batches."""

    def append(self, batch: RecordBatch) -> int:
        """Store what is new of a batch; the number expected next."""
        ...

    def position(self, run_id: str, writer_id: str) -> int:
        """The number expected next of a writer."""
        ...

    def writers(self, run_id: str) -> list[tuple[Origin, int]]:
        """The writers of a run in the order of arrival, with what is expected next of each."""
        ...

    def names(self, run_id: str) -> Mapping[str, Mapping[str, str]]:
        """The names that the run recorded, by what they are of and by key."""
        ...

    def records_page(
        self, run_id: str, kind: str, where: RecordFilter | None = None, limit: int = 1000
    ) -> tuple[list[Record], int | None]:
        """A page of records and the cursor behind it."""
        ...

    def checkpoints(
        self, where: RecordFilter | None = None, limit: int = 1000, **filters: Any
    ) -> tuple[list[Any], int | None]:
        """The last event of each checkpoint, and the cursor behind them."""
        ...

    def unrecorded(
        self, run_ids: list[str], after: int | None = None, limit: int = 1000
    ) -> tuple[list[Any], int | None]:
        """The last counts of each process of some runs."""
        ...

    def seal(self, run_id: str | None = None) -> int:
        """Pack metric points; stores that do not may return 0."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class OpenedStore:
    """What the parts of StoreContract share: a store that holds the start of one run."""

    def open_store(self, tmp_path: Path) -> Any:
        """The store whose data lie under ``tmp_path``; called again, it opens the same data."""
        raise NotImplementedError(
            "a StoreContract test says how its store is opened: define open_store(self, tmp_path)"
        )

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[WritableStore]:
        """An open store that holds the start of one run."""
        with self.opened(tmp_path) as store:
            store.append(make_batch(ORIGIN, [start_line(ORIGIN)]))
            yield store

    @contextmanager
    def opened(self, tmp_path: Path) -> Iterator[WritableStore]:
        """The store, closed at the end of the block."""
        store = self.open_store(tmp_path)
        try:
            yield store
        finally:
            store.close()


def batch_of(items: Iterable[Record | Line | bytes | None], first: int = 1) -> RecordBatch:
    """Records of ORIGIN behind the line with which its run starts."""
    return make_batch(ORIGIN, items, first)


def end_mark(status: str, reason: str) -> Line:
    """The line with which a run ends."""
    return run_line("end", {"status": status, "reason": reason, "ended_at": "2026-05-07T00:01:00Z"})


def resume_mark(attempt: int) -> Line:
    """The line with which a later attempt begins."""
    return run_line("resume", {"attempt": attempt, "resumed_at": "2026-05-07T00:02:00Z", "environment": {}})


def body_line(kind: str, body: dict[str, Any]) -> Line:
    """A line of any kind with its body."""
    from msgspec.json import decode, encode

    return decode(encode({"kind": kind, "sequence": 0, "time": 1, "body": body}), type=Line)
