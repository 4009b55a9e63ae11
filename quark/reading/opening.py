"""Opens the store of a storage directory for reading, after delivering what dead processes left in it."""

import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ..errors import QuarkError, SessionStoreError
from ..records.artifact import ArtifactRecord
from ..records.identifiers import is_id
from ..records.run import RunRecord
from ..session.finding import directory_option, found_placement, stores_below
from ..session.placement import Placement
from .store import Store

if TYPE_CHECKING:
    from ..storage import SqlStore

logger = logging.getLogger("quark")


def open(storage_dir: str | Path | None = None, *, sync: bool = True) -> Store:
    """Open the store in ``storage_dir`` for reading; close it, or use it as a context manager.

    Args:
        storage_dir: the directory that runs were recorded in. If omitted QUARK_STORAGE_DIR, else the working directory,
            else the only directory below it that holds runs, else the nearest one above; a warning says which.
        sync: deliver first what processes that died left behind, so that it is read too. Where that cannot be done,
            such as in a directory that cannot be written, a warning says so.

    Of a directory that cannot be written, or that is another user's, a copy is read and nothing is delivered; what
    would change a run raises SessionStoreError then.

    Raises:
        SessionStoreError: there is no store, it cannot be opened, or several directories below hold runs; reading
            never makes a store.
    """
    found = open_embedded(storage_dir, sync=sync)
    placement = found.placement
    return Store(
        found.store, location=str(placement.storage_dir), payloads=_Files(placement), on_close=found.on_close,
        alive=_Processes(placement) if found.is_ours else None, files=placement.run_path,
        on_purge=None if found.is_copy else _RemoveFiles(placement), options=directory_option(placement.storage_dir),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Embedded:
    """The open store of a storage directory.

    Attributes:
        store: the store, or a copy of it that cannot be written.
        is_ours: whether it belongs to this user.
        on_close: what is left to do once the store is closed; None for nothing.
    """

    store: "SqlStore"
    placement: Placement
    is_ours: bool
    on_close: Callable[[], None] | None = None

    @property
    def is_copy(self) -> bool:
        """Whether a copy is read, because the store cannot be written."""
        return self.on_close is not None

    def close(self) -> None:
        """Close the store, and remove the copy."""
        self.store.close()
        if self.on_close is not None:
            self.on_close()


def open_embedded(storage_dir: object = None, *, sync: bool = True) -> Embedded:
    """Open the store itself; see ``open`` for the directory and what is raised."""
    placement = found_placement(storage_dir)
    reason = placement.refusal()
    if sync and reason is None:
        deliver_leftovers(placement)
    if not os.path.isfile(placement.db_path):
        raise SessionStoreError(
            f"no runs are recorded in {placement.storage_dir} (no file {placement.db_path}); {_elsewhere(placement)}",
            code="store_not_found",
        )
    from ..storage import SqlStore

    if reason is None and os.access(placement.db_path, os.W_OK) and os.access(placement.store_root, os.W_OK):
        return Embedded(SqlStore(placement.db_path), placement, True)
    copy = _copied(placement, reason)
    try:
        read = SqlStore(Path(copy.name) / "quark.db")
        read.freeze(
            f"the store in {placement.storage_dir} cannot be written, so a copy of it is read; run this as the user "
            "who owns it, or copy the whole directory and work on that"
        )
        return Embedded(read, placement, reason is None, copy.cleanup)
    except BaseException:
        copy.cleanup()
        raise


def _elsewhere(placement: Placement) -> str:
    """What to do where there is no store: name one of those further down, or another, or record a run."""
    below = [directory_option(path).strip() for path in stores_below(placement.storage_dir)[:3]]
    if below:
        return f"runs are there with {' or '.join(below)} on the command line, or that directory as storage_dir"
    return (
        "name the directory that runs were recorded in (-d DIR on the command line, storage_dir in Python), or record "
        "a run first, for instance with: quark demo"
    )


def _copied(placement: Placement, reason: str | None) -> "TemporaryDirectory[str]":
    """A copy of a store that is not to be written: SQLite needs files of its own beside a database that it reads."""
    if reason is not None:
        logger.warning("quark: %s; a copy of the store is read, and nothing is delivered", reason)
    else:
        logger.warning("quark: the store in %s cannot be written; a copy of it is read", placement.storage_dir)
    copy = TemporaryDirectory(prefix="quark-reading-")
    try:
        for name in (placement.db_path.name, f"{placement.db_path.name}-wal"):
            source = placement.store_root / name
            if source.is_file():
                shutil.copyfile(source, Path(copy.name) / name)
    except OSError as error:
        copy.cleanup()
        raise SessionStoreError(
            f"the store {placement.db_path} cannot be read ({error}); ask its owner for access", code="store_unreadable"
        ) from error
    return copy


def deliver_leftovers(placement: Placement) -> None:
    """Bring what dead processes left in their journals into the store; what cannot be done is logged."""
    from ..session.sync import leftover_runs, sync_placement

    if not leftover_runs(placement):
        return
    try:
        report = sync_placement(placement)
        problems, waiting = report.problems, report.waiting
    except (QuarkError, OSError) as error:
        problems, waiting = [f"{type(error).__name__}: {error}"], []
    for note in waiting:
        logger.warning("quark: records that a process left in %s wait: %s", placement.journal_root, note)
    for problem in problems:
        logger.warning(
            "quark: records that a process left in %s could not be delivered and are not shown: %s",
            placement.journal_root, problem,
        )  # fmt: skip


class _Processes:
    """The processes that write runs, told by the locks of their journals."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement

    def __call__(self, run_id: str) -> bool:
        from ..delivery.place import writer_places

        return is_id(run_id) and any(place.alive() for place in writer_places(self._placement.journals(run_id)))


class _RemoveFiles:
    """Removes the files of a purged run; an id that no run of this release can have names no directory."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement

    def __call__(self, run_id: str) -> None:
        if is_id(run_id):
            shutil.rmtree(self._placement.run_path(run_id), ignore_errors=True)


def files_of(placement: Placement, run: RunRecord) -> Path:
    """The directory of a run's files: beside the store, whatever the store says, for a stranger may have written it."""
    return placement.run_path(run.id)


class _Files:
    """The payloads of artifacts, found below the store and nowhere else, whatever path the store may name."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement

    def __call__(self, run: RunRecord, artifact: ArtifactRecord) -> bytes:
        from ..storage.artifacts import read_payload

        return read_payload(files_of(self._placement, run), artifact)
