"""Where a database file may lie: private, and on a disk of this machine if it can be."""

import ctypes
import errno
import os
import struct
from pathlib import Path

NETWORK_FILE_SYSTEMS = {
    0x6969: "NFS", 0xFF534D42: "CIFS", 0xFE534D42: "SMB2", 0x517B: "SMB", 0x0BD00BD0: "Lustre", 0x65735546: "FUSE",
    0x01021997: "9P", 0x00C36400: "Ceph", 0x47504653: "GPFS", 0x5346414F: "AFS", 0x19830326: "BeeGFS",
    0x7461636F: "OCFS2", 0x01161970: "GFS2", 0xAAD7AAEA: "PanFS", 0x73757245: "Coda",
}  # fmt: skip
"""Names of the file systems whose shared memory and locks cannot be relied on, by their number in ``statfs``."""


def network_file_system(path: Path, magic: int | None = None) -> str | None:
    """The name of the network file system that ``path`` lies on; None for a local one or where it is not known.

    Args:
        path: an existing file or directory.
        magic: the number that ``statfs`` would give, for tests.
    """
    number = _magic(path) if magic is None else magic
    return None if number is None else NETWORK_FILE_SYSTEMS.get(number & 0xFFFFFFFF)


def _magic(path: Path) -> int | None:
    """The file system's number: the first word of ``struct statfs``, which Python does not offer."""
    try:
        statfs = ctypes.CDLL(None, use_errno=True).statfs
    except (OSError, AttributeError):
        return None
    answer = ctypes.create_string_buffer(1024)
    if statfs(os.fsencode(path), answer) != 0:
        return None
    return struct.unpack_from("@l", answer)[0]


def make_private(path: Path) -> None:
    """Make the file, and its directory if that is missing, readable by their owner only; existing ones stay.

    The files that SQLite puts beside a database take their mode from it. A file that exists is never opened here: to
    close it would drop the locks that SQLite holds on it anywhere in this process, and another process that then takes
    itself for the last user deletes a write-ahead log that is still written to.

    Raises:
        OSError: it cannot be made, or is a symbolic link.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from None


def identity_of(path: Path) -> tuple[int, int] | None:
    """Which file or directory a path names; None for none. About a microsecond."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
