"""What a database's complaint means to its user, as errors of Quark's own tree."""

import errno
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from ..errors import QuarkError, SessionStoreError

UNREADABLE = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError, RecursionError, struct.error,
    msgspec.MsgspecError,
)  # fmt: skip
"""What decoding raises on bytes that Quark did not write."""

_CAUSES = {
    "SQLITE_FULL": ("disk_full", "free some space; what was not stored stays in the journal"),
    "SQLITE_IOERR": ("disk_error", "check the disk; what was not stored stays in the journal"),
    "SQLITE_BUSY": ("busy", "another process is writing; try again"),
    "SQLITE_LOCKED": ("busy", "another connection is writing; try again"),
    "SQLITE_READONLY": ("read_only", "make the file and its directory writable"),
    "SQLITE_CANTOPEN": ("cannot_open", "check that the directory exists and may be read"),
    "SQLITE_CORRUPT": ("damaged", "copy the file away and recover it with: sqlite3 FILE .recover"),
    "SQLITE_NOTADB": ("damaged", "the file is no database of Quark's; move it away"),
}

_CODES = {
    errno.ENOSPC: "disk_full", errno.EDQUOT: "disk_full", errno.EROFS: "read_only", errno.EACCES: "read_only",
    errno.EPERM: "read_only", errno.EIO: "disk_error",
}  # fmt: skip


@contextmanager
def faults_named(where: object) -> Iterator[None]:
    """Turn the driver's errors into SessionStoreError, with the file and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _named(where, error) from error
    except OSError as error:
        code = _CODES.get(error.errno or 0, "cannot_open")
        raise SessionStoreError(
            f"the store {where} cannot be used: {error}; check its disk and rights", code=code
        ) from error


@contextmanager
def damage_named(where: object) -> Iterator[None]:
    """Turn what decoding raises on the content of a damaged or made-up file into SessionStoreError."""
    try:
        yield
    except QuarkError:
        raise
    except UNREADABLE as error:
        raise SessionStoreError(
            f"the store {where} holds what Quark did not write ({type(error).__name__}: {error}); it is damaged or "
            "no store of Quark's: restore it from a backup, or choose another storage_dir", code="damaged",
        ) from error  # fmt: skip


def _named(where: object, error: sqlite3.Error) -> SessionStoreError:
    name = getattr(error, "sqlite_errorname", "") or ""
    code, remedy = next(
        (known for prefix, known in _CAUSES.items() if name.startswith(prefix)), ("database", "see the cause above")
    )
    return SessionStoreError(
        f"the store {where} refused: {error} ({name or type(error).__name__}); {remedy}", code=code
    )
