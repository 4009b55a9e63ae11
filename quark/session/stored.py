"""Sessions for runs that this process does not record: completed, recorded elsewhere, or not to begin."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ..core.reader import StoreReader
from ..errors import ClosedError
from ..records.base import Origin, Record
from ..records.run import ProjectRecord, RunContext, RunRecord
from .disabled import DisabledSession, NoJournal, SilentSession
from .home import Home, home_of_note, home_of_run
from .placement import Placement
from .reporting import Summary, stored_summary

R = TypeVar("R", bound=Record)
logger = logging.getLogger("quark")


class StoredRun(SilentSession):
    """A session with the identity, the status and the records of a stored run; recording calls do nothing."""

    def __init__(self, run: RunRecord, placement: Placement, home: Home) -> None:
        root = str(placement.store_root)
        super().__init__(RunContext(
            storage_dir=str(placement.storage_dir), store_root=root, db_path=home.location,
            project=ProjectRecord(
                id=run.project_id, name=run.project_name, root_path=root, created_at=run.started_at,
                updated_at=run.updated_at,
            ),
            run=run,
        ))  # fmt: skip
        self._home = home
        self._reason = run.reason or run.status

    @property
    def summary(self) -> Summary:
        """The summary as it is stored; what is assigned is not kept."""
        if self._summary is None:
            self._summary = stored_summary(self)
        return self._summary

    def reader(self) -> StoreReader:
        """The store that holds the run."""
        return self._opened_reader()

    def report(self, cause: str, error: BaseException | str | None = None) -> None:
        """Say what could not be read; there is nothing to count it in."""
        logger.warning("quark: %s of run %s: %s", cause, self.run_id, error)


class EndedRun(StoredRun):
    """The run behind a RunContext without a session: it can be read, and what is written to it is refused."""

    disabled = False
    read_only = True

    def __init__(self, run: RunRecord, placement: Placement, home: Home) -> None:
        super().__init__(run, placement, home)
        self.strict = run.strict_mode
        self.journal = _ClosedJournal(self._origin, f"run {run.id} is {run.status} and not open in this process")  # type: ignore[assignment]
        self._refused: set[str] = set()

    def emit(
        self, cls: type[R], fields: Mapping[str, Any], *, step: int | None = None, epoch: int | None = None,
        timestamp: str | None = None,
    ) -> R:  # fmt: skip
        """Refused."""
        raise self.journal.error  # type: ignore[attr-defined]

    def lifecycle(self, action: str, body: Mapping[str, Any]) -> None:
        """Refused."""
        raise self.journal.error  # type: ignore[attr-defined]

    def log_values(self, values: Mapping[str, Any], *, step: int | None = None, epoch: int | None = None) -> None:
        """Refused."""
        self.refuse(self.journal.error, what="log")  # type: ignore[attr-defined]

    def refuse(self, error: BaseException, *, what: str, subject: str | None = None) -> None:
        """Raised in strict mode, else warned about once for each kind of call."""
        super().refuse(error, what=what, subject=subject)
        if self.strict:
            raise error
        if what not in self._refused:
            self._refused.add(what)
            logger.warning("quark: %s: %s", what, error)


class _ClosedJournal(NoJournal):
    """Refuses every line."""

    def __init__(self, origin: Origin, why: str) -> None:
        super().__init__(origin)
        self._why = why

    @property
    def error(self) -> ClosedError:
        """Why nothing is recorded."""
        return ClosedError(f"{self._why}, so it takes no records; start or resume a run first")

    def put(self, number: int, line: bytes) -> bool:
        """Refused."""
        raise self.error

    def append(self, encode: Callable[[int], bytes]) -> int:
        """Refused."""
        raise self.error


def reopened(context: RunContext) -> EndedRun | None:
    """The stored run behind a context; None if where it is stored cannot be told."""
    placement = Placement(Path(context.storage_dir))
    home = home_of_run(context.run_id)
    if home is None and context.db_path == str(placement.db_path):
        home = home_of_note(placement, {})
    return None if home is None else EndedRun(context.run, placement, home)


class NotBegun(DisabledSession):
    """A session for a run that was asked to stop before it began: no store has it, and its loops end at once."""

    def __init__(self, project: str, run_id: str, name: str) -> None:
        super().__init__(project)
        run = replace(
            self._context.run, id=run_id, name=name, lineage_root_run_id=run_id, status="interrupted",
            reason="stop_requested",
        )  # fmt: skip
        self._context = replace(self._context, run=run)
        self._reason = run.reason
        self.asked_to_stop()
