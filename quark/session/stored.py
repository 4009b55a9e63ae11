"""A read-only session for a run that this process does not record: it is completed, or another process records it."""

import logging

from ..core.reader import StoreReader
from ..records.run import ProjectRecord, RunContext, RunRecord
from .disabled import SilentSession
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
