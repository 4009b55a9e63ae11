"""The run that an analyzer was given: one that goes on in this process, or one that is stored."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

import msgspec

from ..core.openruns import resolve_handle
from ..core.reader import RecordFilter, RecordReader, Series
from ..records.base import Origin, Record
from ..records.line import build, record_of_body
from ..records.naming import METRIC, metric_key
from ..records.ready import ready

logger = logging.getLogger("quark")

Item = tuple[int, int, int, int, int | None, int | None, Any]
"""Attempt and rank of the writer, sequence number, time, step, epoch, and what was asked for of the record."""


class StoredRun(Protocol):
    """What the rules need of a stored run."""

    def keys(self) -> list[str]:
        """The metric keys."""
        ...

    def series(self, key: str, /) -> Series:
        """A metric as arrays."""
        ...

    def records(self, kind: str, /) -> Iterator[Record]:
        """The records of a kind, in the order of arrival."""
        ...

    def items(self, kind: str, shape: type[Any], /) -> Iterator[Item]:
        """The records of a kind, in the order of arrival, reduced to the fields of a msgspec structure."""
        ...


class RunOfReader:
    """One run of a reader."""

    def __init__(self, reader: RecordReader, run_id: str) -> None:
        self._reader = reader
        self._run_id = run_id

    def keys(self) -> list[str]:
        """The metrics, by the names under which they were logged."""
        names = getattr(self._reader, "names", None)  # a plain RecordReader may know keys alone
        named = {} if names is None else names(self._run_id).get(METRIC, {})
        return sorted(named.get(key, key) for key in self._reader.keys(self._run_id))

    def series(self, key: str, /) -> Series:
        """A metric as arrays, by name or key."""
        found = self._reader.series(self._run_id, metric_key(key))
        return found if found.key == key else replace(found, key=key)

    def records(self, kind: str, /, where: RecordFilter | None = None) -> Iterator[Record]:
        """The records of a kind, in the order of arrival."""
        return self._reader.records(self._run_id, kind, where)

    def items(self, kind: str, shape: type[Any], /) -> Iterator[Item]:
        """The records of a kind, in the order of arrival, reduced to the fields of a msgspec structure.

        A store that hands out bodies has them decoded into the structure and nothing else: a tenth of the cost of
        building records. One that cannot be read is left out with a warning.
        """
        bodies = getattr(self._reader, "bodies", None)
        if bodies is None:
            for record in self.records(kind):
                origin = record.origin
                yield (
                    origin.attempt, origin.rank, record.sequence, record.time_ns, getattr(record, "step", None),
                    getattr(record, "epoch", None), msgspec.convert(record, ready(shape), from_attributes=True),
                )  # fmt: skip
            return
        decode = msgspec.json.Decoder(ready(shape)).decode
        for attempt, rank, sequence, time_ns, step, epoch, body in bodies(self._run_id, kind):
            try:
                item = decode(body)
            except msgspec.MsgspecError:
                origin = Origin(self._run_id, f"of rank {rank}", rank, attempt)
                item = _by_way_of_record(kind, shape, body, origin, sequence)
                if item is None:
                    continue
            yield attempt, rank, sequence, time_ns, step, epoch, item


def _by_way_of_record(kind: str, shape: type[Any], body: str, origin: Origin, sequence: int) -> Any:
    """What the structure does not take may still be a record, whose fields have defaults; None if it is none."""
    try:
        record = record_of_body(kind, body, origin, sequence, 0, None, None)
        return msgspec.convert(record, ready(shape), from_attributes=True)
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        logger.warning(
            "quark: %s record %d of run %s cannot be judged and is left out: %s", kind, sequence, origin.run_id, error
        )
        return None


class Subject:
    """What an analyzer reads, and where its records go.

    Args:
        session: a TrainingSession, or the RunContext of one; or the RunView of a stored run.

    Raises:
        WrongTypeError: something else.
        ClosedError: where the context's run is stored is not known in this process.
    """

    def __init__(self, session: Any) -> None:
        stored = hasattr(session, "series") and not hasattr(session, "emit")
        self._view: Any = session if stored else None
        self._handle: Any = None if stored else resolve_handle(session)

    @property
    def going(self) -> bool:
        """Whether the run goes on, and takes records of this process."""
        if self._view is not None:
            return getattr(self._view, "status", "") == "running"
        running = getattr(self._handle, "status", "running") == "running"
        return running and not getattr(self._handle, "read_only", False)

    def run(self) -> RunOfReader:
        """The run as it is recorded by now."""
        if self._view is not None:
            return RunOfReader(self._view.reader, self._view.id)
        self._handle.flush()
        return RunOfReader(self._handle.reader(), self._handle.run_id)

    def keep(self, *kinds: str, replace: bool, outcome: Callable[[Any], Any]) -> Any:
        """What ``outcome(emit)`` returns, its records kept with the run if it is recorded here and goes on.

        Args:
            kinds: of the records that ``outcome`` emits by ``emit(cls, fields, step=, epoch=)``.
            replace: whether earlier records of these kinds go.
        """
        handle = self._handle
        if handle is None:
            return outcome(Unkept(self._view.id))
        if handle.disabled or not self.going:
            return outcome(Unkept(handle.run_id))
        if replace:
            for kind in kinds:
                handle.lifecycle("discard", {"kind": kind})
        made = outcome(handle.emit)
        handle.offer()
        return made

    def concluded(self, verdict: Any) -> None:
        """The program has analyzed its run: its end does not do it again."""
        if self._handle is not None and self.going:
            self._handle.verdict = verdict


class Unkept:
    """Makes records that are not journaled."""

    def __init__(self, run_id: str) -> None:
        self._origin = Origin(run_id, "analysis")
        self._next = 0

    def __call__(
        self, cls: Any, fields: Mapping[str, Any], *, step: int | None = None, epoch: int | None = None
    ) -> Any:
        given = {**fields, **{k: v for k, v in (("step", step), ("epoch", epoch)) if v is not None}}
        self._next += 1
        return build(cls, self._origin, self._next - 1, time.time_ns(), given)
