"""Sessions for runs that this process does not record: completed, recorded elsewhere, or not to begin."""

import logging
from dataclasses import replace

from ..core.reader import StoreReader
from ..records.run import ProjectRecord, RunContext, RunRecord
from .disabled import DisabledSession, SilentSession
from .home import Home
from .placement import Placement
from .reporting import Summary, stored_summary

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
