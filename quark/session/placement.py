"""Where a run lives: the storage directory, Quark's directory in it, the run's files and its journals."""

import errno
import logging
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..delivery.disk import PAGE, Disk
from ..delivery.place import PROBE
from ..errors import SchemaValidationError, SessionStoreError, WrongTypeError
from ..records.grammar import clean_text, shown
from ..records.identifiers import check_id
from ..settings import setting

logger = logging.getLogger("quark")

SHARED_MEMORY = Path("/dev/shm")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
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
        if not elsewhere:
            return self.store_root / "journal"
        try:
            return Path(elsewhere).expanduser().resolve()
        except (
            OSError,
            RuntimeError,
        ):  # a loop of links, or a home of nobody
            return Path(elsewhere)

    def journals(self, run_id: str) -> Path:
        """The journals of a run's writers."""
        return self.journal_root / check_id(run_id)

    def run_path(self, run_id: str) -> Path:
        """The directory of a run's files."""
        return self.store_root / "runs" / check_id(run_id)


class UnusableDirectoryError(SessionStoreError):
    """There can be no such directory: a home of nobody, a loop of links, no working directory."""


def resolve_storage_dir(storage_dir: object) -> Path:
    """The argument, else QUARK_STORAGE_DIR, else the working directory; absolute.

    Raises:
        WrongTypeError: no path.
        SchemaValidationError: an address such as ``s3://bucket``, or a path that no system takes.
        UnusableDirectoryError: there can be no such directory.
    """
    given = setting("QUARK_STORAGE_DIR") or "" if storage_dir is None else storage_dir
    if not isinstance(given, (str, os.PathLike)):
        raise WrongTypeError(f"storage_dir must be a path, got {shown(given)}")
    text = os.fsdecode(given)
    if _ADDRESS.match(text):
        raise SchemaValidationError(
            f"storage_dir must be a directory, got the address {shown(text)}; name a local or mounted directory, "
            "or record into a service (QUARK_PERSISTENCE_URL)"
        )
    if "\0" in text:
        raise SchemaValidationError(f"storage_dir must be a path without NUL, got {shown(text)}")
    try:
        path = Path(text or os.getcwd()).expanduser().resolve()
        str(path).encode()
    except (OSError, RuntimeError, UnicodeError) as error:
        where = f"the storage directory {shown(text)}" if text else "the working directory"
        reason = f"{type(error).__name__}: {clean_text(str(error))}"
        raise UnusableDirectoryError(f"{where} cannot be used ({reason})") from error
    return path


def chosen_placement(storage_dir: object) -> Placement:
    """Where a run is to live. A directory that there cannot be gives way to the fallback, with a warning."""
    try:
        return Placement(resolve_storage_dir(storage_dir))
    except UnusableDirectoryError as error:
        fallback = _fallback()
        logger.warning(
            "quark: %s; runs are recorded in %s, see them with: quark runs --storage-dir %s",
            error, fallback.storage_dir, fallback.storage_dir,
        )  # fmt: skip
        return fallback


def writable_placement(storage_dir: object, run_id: str) -> Placement:
    """A placement that takes this run; see ``writable``."""
    return writable(chosen_placement(storage_dir), run_id)


def writable(wanted: Placement, run_id: str) -> Placement:
    """A placement that takes this run; a directory that cannot be written gives way to one that can, with a warning.

    Where none can be written, the wanted one stays: the run is kept in memory until it can.
    """
    try:
        _make(wanted, run_id)
        return wanted
    except OSError as error:
        reason = error
    fallback = _fallback()
    try:
        _make(fallback, run_id)
    except OSError:
        return wanted  # the journal says what becomes of the records
    logger.warning(
        "quark: the storage directory %s cannot be written (%s); this run is recorded in %s, "
        "see it with: quark runs --storage-dir %s",
        wanted.storage_dir, reason, fallback.storage_dir, fallback.storage_dir,
    )  # fmt: skip
    return fallback


def _fallback() -> Placement:
    try:
        above = tempfile.gettempdir()
    except OSError:  # not one temporary directory can be written
        above = "/tmp"
    return Placement(Path(above) / f"quark-{os.getuid()}")


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
