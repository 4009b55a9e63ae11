"""Where a run lives: the storage directory, Quark's directory in it, the run's files and its journals."""

import errno
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..delivery.disk import PAGE, Disk
from ..delivery.ownership import (
    OTHERS_WRITE,
    is_own_directory,
    make_directory,
    private_directories,
    private_directory,
    refusal,
)
from ..delivery.place import PROBE
from ..errors import SchemaValidationError, SessionStoreError, WrongTypeError
from ..records.grammar import clean_text, shown
from ..records.identifiers import check_id
from ..records.paths import is_address
from ..redaction import shown_url
from ..settings import setting

logger = logging.getLogger("quark")

SHARED_MEMORY = Path("/dev/shm")
_PARTS = (
    "", "quark.db", "quark.db-journal", "quark.db-wal", "quark.db-shm", "quark.db.lock", "runs", "journal",
    "blueprints",
)  # fmt: skip
"""What is checked of Quark's own directory before it is written to."""
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

    def refusal(self, run_id: str | None = None) -> str | None:
        """Why nothing is written or carried out here: a part is a link, a pipe or another user's; None if none is."""
        paths = [self.store_root / name for name in _PARTS]
        if run_id is not None:
            paths.append(self.run_path(run_id))
            if not is_own_directory(self.journals(run_id)):  # a link into shared memory is our own
                paths.append(self.journals(run_id))
        reason = next((reason for path in paths if (reason := refusal(path)) is not None), None)
        return reason and (
            f"{reason}, so it is only read; use a storage directory of your own, or, if you trust whoever can write "
            f"there, set QUARK_SAFE_DIRS={self.storage_dir}"
        )

    def check(self, run_id: str | None = None) -> None:
        """Raise SessionStoreError where ``refusal`` has a reason."""
        reason = self.refusal(run_id)
        if reason is not None:
            raise SessionStoreError(reason, code="not_yours")

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
    if is_address(text):
        raise SchemaValidationError(
            f"storage_dir must be a directory, got the address {shown_url(text)}; name a local or mounted directory, "
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
        return _NOWHERE if wanted.refusal(run_id) else wanted  # the journal says what becomes of the records
    logger.warning(
        "quark: the storage directory %s cannot be written (%s); this run is recorded in %s, "
        "see it with: quark runs --storage-dir %s",
        wanted.storage_dir, reason, fallback.storage_dir, fallback.storage_dir,
    )  # fmt: skip
    return fallback


def _fallback() -> Placement:
    try:
        return Placement(private_directory(_temporary_directory()))
    except OSError:
        return _NOWHERE


def _temporary_directory() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except OSError:  # not one temporary directory can be written
        return Path("/tmp")


_NOWHERE = Placement(Path(os.devnull))
"""For a run that may be recorded in no directory: records wait in memory."""


def _make(placement: Placement, run_id: str) -> None:
    reason = placement.refusal(run_id)
    if reason is not None:
        raise OSError(reason)
    placement.storage_dir.mkdir(parents=True, exist_ok=True)
    journals = placement.journals(run_id)
    make_directory(placement.run_path(run_id))
    make_directory(journals)
    for directory in (placement.store_root, placement.store_root / "runs", placement.store_root / "journal"):
        _close_to_others(directory)
    if not takes_mappings(journals):
        _keep_in_shared_memory(journals)


def _close_to_others(directory: Path) -> None:
    """Let nobody else write where Quark does, whatever an earlier umask allowed."""
    try:
        mode = directory.stat().st_mode
        if mode & OTHERS_WRITE:
            directory.chmod(mode & 0o7777 & ~OTHERS_WRITE)
    except OSError:  # it is not there, or this file system has no modes
        return


def fallback_directories() -> list[Path]:
    """Where this user's runs are that found their storage directory closed."""
    try:
        return private_directories(_temporary_directory())
    except OSError:
        return []


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
    kept = private_directory(SHARED_MEMORY) / journals.name
    logger.warning(
        "quark: files in %s cannot be mapped; the journal of this run is kept in %s, which survives the process but "
        "not a restart of the machine; set QUARK_JOURNAL_DIR to a local disk",
        journals, kept,
    )  # fmt: skip
    kept.mkdir(mode=0o700, exist_ok=True)
    journals.rmdir()
    journals.symlink_to(kept, target_is_directory=True)
