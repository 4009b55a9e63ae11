"""Where a run lives: the storage directory, Quark's directory in it, the run's files and its journals."""

import errno
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..delivery.disk import PAGE, Disk
from ..delivery.place import PROBE
from ..errors import WrongTypeError
from ..records.grammar import shown
from ..settings import setting

logger = logging.getLogger("quark")

SHARED_MEMORY = Path("/dev/shm")
_UNMAPPABLE = (errno.ENODEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES)


@dataclass(frozen=True, slots=True)
class Placement:
    """The directories of a storage directory."""

    storage_dir: Path

    @property
    def store_root(self) -> Path:
        """Quark's own directory."""
        return self.storage_dir / ".quark"

    @property
    def db_path(self) -> Path:
        """The embedded store."""
        return self.store_root / "quark.db"

    @property
    def journal_root(self) -> Path:
        """The journals of all runs: beside the store unless QUARK_JOURNAL_DIR says otherwise."""
        elsewhere = setting("QUARK_JOURNAL_DIR")
        return Path(elsewhere).expanduser().resolve() if elsewhere else self.store_root / "journal"

    def journals(self, run_id: str) -> Path:
        """The journals of a run's writers."""
        return self.journal_root / run_id

    def run_path(self, run_id: str) -> Path:
        """The directory of a run's files."""
        return self.store_root / "runs" / run_id


def resolve_storage_dir(storage_dir: object) -> Path:
    """The argument, else QUARK_STORAGE_DIR, else the working directory; absolute."""
    if storage_dir is None:
        storage_dir = setting("QUARK_STORAGE_DIR") or os.getcwd()
    if not isinstance(storage_dir, (str, os.PathLike)):
        raise WrongTypeError(f"storage_dir must be a path, got {shown(storage_dir)}")
    return Path(storage_dir).expanduser().resolve()


def writable_placement(storage_dir: object, run_id: str) -> Placement:
    """A placement that takes this run; a directory that cannot be written gives way to one that can, with a warning."""
    wanted = Placement(resolve_storage_dir(storage_dir))
    try:
        _make(wanted, run_id)
        return wanted
    except OSError as error:
        fallback = Placement(Path(tempfile.gettempdir()) / f"quark-{os.getuid()}")
        _make(fallback, run_id)
        logger.warning(
            "quark: the storage directory %s cannot be written (%s); this run is recorded in %s, "
            "see it with: quark runs --storage-dir %s",
            wanted.storage_dir, error, fallback.storage_dir, fallback.storage_dir,
        )  # fmt: skip
        return fallback


def _make(placement: Placement, run_id: str) -> None:
    placement.run_path(run_id).mkdir(mode=0o700, parents=True, exist_ok=True)
    journals = placement.journals(run_id)
    journals.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not takes_mappings(journals):
        _keep_in_shared_memory(journals)


def takes_mappings(directory: Path, disk: Disk | None = None) -> bool:
    """Whether files in ``directory`` can be mapped and shared; a full disk is another matter and counts as yes."""
    probe = directory / f"{PROBE}{os.getpid()}"
    try:
        (disk or Disk()).create_segment(probe, PAGE)
    except OSError as error:
        return error.errno not in _UNMAPPABLE
    probe.unlink()
    return True


def _keep_in_shared_memory(journals: Path) -> None:
    """Put the journals of a run into /dev/shm and a link to them where they belong, so that sync finds them there."""
    kept = SHARED_MEMORY / f"quark-{os.getuid()}" / journals.name
    logger.warning(
        "quark: files in %s cannot be mapped; the journal of this run is kept in %s, which survives the process but "
        "not a restart of the machine; set QUARK_JOURNAL_DIR to a local disk",
        journals, kept,
    )  # fmt: skip
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    journals.rmdir()
    journals.symlink_to(kept, target_is_directory=True)
