"""The sight of a run that this process does not record: it is completed, or another process records it."""

from dataclasses import replace

from ..core.lifecycle import RunManifest
from ..records.run import RunRecord
from .disabled import DisabledSession


class StoredRun(DisabledSession):
    """A session with the identity and the status of a stored run; every recording call does nothing."""

    def __init__(self, run: RunRecord) -> None:
        super().__init__(run.project_name)
        self._leave()  # what is logged without a session in hand is not meant for it
        self._context = replace(self._context, run=run)
        self._manifest = RunManifest(run_id=run.id, project=run.project_name, name=run.name, run_path=run.run_path)
        self._reason = run.reason or run.status
