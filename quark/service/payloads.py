"""The files of payloads: each content is kept once, and belongs to the projects that have sent its bytes.

A digest is no secret: it is in records, names of files and logs. Who knows one therefore gets neither the payload nor
the answer whether it is there; a project proves that it has a payload by sending it whole.
"""

import errno
import fcntl
import hashlib
import os
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from ..records.run import project_id
from .problems import ProblemError

if TYPE_CHECKING:
    from ..storage import SqlStore
    from ..storage.belonging import RunRow

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
OWNERS = "of"
"""The directory whose files say which projects have sent which payloads."""


PARTIAL = "partial"
"""The directory of what has not arrived whole."""

PARTIAL_S = 7 * 86400.0
"""An upload that broke off may go on for so long after its last byte."""


class Held(msgspec.Struct):
    """How many bytes of a payload are held, and whether that is all of it."""

    size: int
    complete: bool


class BlobFiles:
    """The payloads of a namespace as one run sees them.

    ``ab/abcdef...`` holds the bytes of a complete payload, ``of/OWNER/abcdef...`` says that an owner has sent them,
    ``partial/OWNER-abcdef...`` is what has arrived of an owner's upload.

    Args:
        directory: the directory of the namespace's payloads.
        owners: whose payloads the run may use; the first one owns what is uploaded.
    """

    def __init__(self, directory: Path, owners: tuple[str, ...]) -> None:
        self._directory = directory
        self._owners = owners

    def path(self, digest: str) -> Path:
        """Where a complete payload lies."""
        if _DIGEST.match(digest) is None:  # it may come out of a record
            raise FileNotFoundError(digest)
        return self._below(self._directory / digest[:2]) / digest

    def partial(self, digest: str) -> Path:
        """Where a payload lies while it arrives."""
        return self._below(self._directory / PARTIAL) / f"{self._owners[0]}-{digest}"

    def owned(self, digest: str) -> bool:
        """Whether an owner has sent the payload."""
        owners = self._below(self._directory / OWNERS)
        return any((self._below(owners / owner) / digest).exists() for owner in self._owners)

    def _below(self, directory: Path) -> Path:
        """A directory of the payloads, unless it or the one above it is a link: OSError with ELOOP then."""
        for each in (self._directory, directory):
            if each.is_symlink():
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(each))
        return directory

    def held(self, digest: str) -> Held:
        """What the owners have sent of a payload; what others have sent is no answer to them."""
        complete = self.owned(digest)
        try:
            return Held((self.path(digest) if complete else self.partial(digest)).lstat().st_size, complete)
        except FileNotFoundError:
            return Held(0, False)

    def arriving(self, digest: str) -> BinaryIO:
        """The file of a payload while it arrives, which nobody else writes until it is closed, in whatever process.

        Raises:
            ProblemError: 503, somebody else is sending the same payload.
        """
        path = self.partial(digest)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        file = os.fdopen(number, "r+b", buffering=0)
        try:
            _lock(file, path)
        except BaseException:
            file.close()
            raise
        return file

    def complete(self, digest: str, file: BinaryIO) -> None:
        """Check the digest of what has arrived, and put it in its place.

        Raises:
            ProblemError: 422, the bytes are not those of the digest; they are deleted.
        """
        file.seek(0)
        found = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        if found != digest:
            self.partial(digest).unlink()
            raise ProblemError(
                422, f"the payload has the SHA-256 {found}, not {digest}; send it again", code="wrong_digest"
            )
        os.fsync(file.fileno())
        target, owner = self.path(digest), self._below(self._directory / OWNERS / self._owners[0])
        owner.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.replace(self.partial(digest), target)
        _make_durable(target.parent)
        _own(owner, digest)

    def opened(self, digest: str) -> BinaryIO:
        """A complete payload, to be read.

        Raises:
            FileNotFoundError: no owner has sent it.
        """
        path = self.path(digest)
        if not self.owned(digest):
            raise FileNotFoundError(digest)
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb")


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ours = os.path.samestat(os.fstat(file.fileno()), os.stat(path, follow_symlinks=False))
    except (BlockingIOError, FileNotFoundError):
        ours = False
    if not ours:
        raise ProblemError(
            503, "somebody else is sending this payload; ask again how much is held", code="busy",
            headers={"Retry-After": "1"},
        )  # fmt: skip


def drop_partials(directory: Path, older_than_s: float) -> int:
    """Delete the uploads below a namespace's payloads that nothing was added to for so long; returns how many."""
    dropped = 0
    if directory.is_symlink() or (directory / PARTIAL).is_symlink():
        return dropped
    for path in (directory / PARTIAL).glob("*"):
        try:
            if time.time() - path.lstat().st_mtime < older_than_s:
                continue
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody is sending it at this moment
                path.unlink()
            dropped += 1
        except OSError:
            continue  # it is being sent, or another process has dropped it
    return dropped


def owners_of(row: "RunRow") -> tuple[str, ...]:
    """Whose payloads a run may use: its project's, and those that came before it said which project it is of."""
    own = f"run-{row.id}"
    return (own,) if row.orphan else (project_id(row.project), own)


def assign_owners(store: "SqlStore", directory: Path) -> None:
    """Give the payloads of an earlier release, which had no owners, to the projects whose records name them.

    This has to happen before anybody can store a further record.
    """
    if not directory.exists() or (directory / OWNERS).exists():
        return
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several processes one does it, and the others wait
        made = directory / f"{OWNERS}.new"
        if (directory / OWNERS).exists():
            return
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(mode=0o700)
        for row, digest in store.payloads():
            if _DIGEST.match(digest) and (directory / digest[:2] / digest).exists():
                _own(made / owners_of(row)[0], digest)
        os.rename(made, directory / OWNERS)
        os.fsync(lock)
    finally:
        os.close(lock)


def _own(owner: Path, digest: str) -> None:
    owner.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(owner / digest, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    _make_durable(owner)


def _make_durable(directory: Path) -> None:
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)
