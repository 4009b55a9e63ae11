"""Opens the store of a storage directory for reading, after delivering what dead processes left in it."""

import logging
from pathlib import Path

from ..errors import QuarkError, SessionStoreError
from ..records.artifact import ArtifactRecord
from ..records.run import RunRecord
from ..session.placement import Placement, resolve_storage_dir
from .store import Store

logger = logging.getLogger("quark")


def open(storage_dir: str | Path | None = None, *, sync: bool = True) -> Store:
    """Open the store in ``storage_dir`` for reading; close it, or use it as a context manager.

    Args:
        storage_dir: the directory that runs were recorded in; QUARK_STORAGE_DIR or the working directory if omitted.
        sync: deliver first what processes that died left behind, so that it is read too. Where that cannot be done,
            such as in a directory that cannot be written, a warning says so.

    Raises:
        SessionStoreError: there is no store, or it cannot be opened; reading never makes one.
    """
    placement = Placement(resolve_storage_dir(storage_dir))
    if sync:
        _deliver_leftovers(placement)
    if not placement.db_path.is_file():
        raise SessionStoreError(
            f"there is no store in {placement.storage_dir} (no file {placement.db_path}); name the directory that runs "
            "were recorded in as storage_dir, or record one first, for instance with: quark demo",
            code="store_not_found",
        )
    from ..storage import SqlStore

    return Store(SqlStore(placement.db_path), location=str(placement.storage_dir), payloads=_Files(placement))


def _deliver_leftovers(placement: Placement) -> None:
    from ..session.sync import leftover_runs, sync_placement

    if not leftover_runs(placement):
        return
    try:
        problems = sync_placement(placement).problems
    except (QuarkError, OSError) as error:
        problems = [f"{type(error).__name__}: {error}"]
    for problem in problems:
        logger.warning(
            "quark: records that a process left in %s could not be delivered and are not shown: %s",
            placement.journal_root, problem,
        )  # fmt: skip


class _Files:
    """The payloads of artifacts, found below the store: a directory that was moved still has them."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement

    def __call__(self, run: RunRecord, artifact: ArtifactRecord) -> bytes:
        from ..storage.artifacts import read_payload

        beside = self._placement.run_path(run.id)
        return read_payload(beside if beside.is_dir() else Path(run.run_path), artifact)
