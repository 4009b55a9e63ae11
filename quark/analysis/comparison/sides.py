"""Turns what a user names into runs that can be read: a session, a context, a stored run or an id."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...core.openruns import resolve_handle
from ...core.reader import RecordReader
from ...errors import ClosedError, SessionStoreError, WrongTypeError
from ...records.grammar import shown
from ...records.run import RunContext, RunRecord
from ..subject import RunOfReader, StoredRun


@dataclass(frozen=True, slots=True)
class Side:
    """One run of a comparison.

    Attributes:
        record: what it is, as it was when the comparison began.
        run: its metrics and records.
        reader: of the store that it was found in, to find others by id; None for a stored run that was given.
        opened: the store, if it was opened for this.
        handle: the session of a run, held because its reader is closed when it goes out of use.
    """

    record: RunRecord
    run: StoredRun
    reader: RecordReader | None
    opened: Any = None
    handle: Any = None

    def close(self) -> None:
        """Close what was opened to read it."""
        if self.opened is not None:
            self.opened.close()


def side_of(target: Any, beside: Side | None = None) -> Side:
    """The run that is meant.

    Args:
        target: a TrainingSession, a RunContext, the RunView of a stored run, or the id of a run of the store that
            ``beside`` is in.

    Raises:
        WrongTypeError: something else, or an id with nothing beside it that says where to look.
        RunNotFoundError: the store has no run of this id.
        SessionStoreError: the store of a context is no file of this machine.
    """
    if isinstance(target, str):
        if beside is None or beside.reader is None:
            raise WrongTypeError(
                f"where the run {target!r} is kept is not known; pass its RunView, such as "
                "quark.open(storage_dir).run(run_id), or a session as the first run"
            )
        return _found(beside.reader, target)
    if isinstance(target, RunContext):
        try:
            return _of_handle(resolve_handle(target))
        except ClosedError:
            return _of_context(target)
    if hasattr(target, "emit"):
        return _of_handle(resolve_handle(target))
    if hasattr(target, "series") and hasattr(target, "record"):
        return Side(target.record, RunOfReader(target.reader, target.id), None)
    raise WrongTypeError(f"a TrainingSession, RunContext, RunView or run id is needed, got {shown(target)}")


def _of_handle(handle: Any) -> Side:
    handle.flush()
    return replace(_found(handle.reader(), handle.run_id), handle=handle)


def _found(reader: RecordReader, run_id: str) -> Side:
    return Side(reader.run(run_id), RunOfReader(reader, run_id), reader)


def _of_context(context: RunContext) -> Side:
    from ...storage import SqlStore

    if not Path(context.db_path).is_file():
        raise SessionStoreError(
            f"the store {context.db_path} of run {context.run_id} is no file of this machine; pass the "
            "RunView of the run, from quark.open or quark.connect",
            code="store_not_found",
        )
    store = SqlStore(Path(context.db_path))
    try:
        return Side(store.run(context.run_id), RunOfReader(store, context.run_id), store, store)
    except BaseException:
        store.close()
        raise
