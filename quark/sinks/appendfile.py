"""A file that only grows: one process at a time, every append whole or not at all, a torn end mended on opening."""

import errno
import fcntl
import os
import stat
from pathlib import Path

import orjson

from ..errors import ConfigurationError
from .backsearch import last_line_start

MAX_TAIL = 64 << 20
"""A last line longer than this is none of ours."""

_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


class AppendFile:
    """An open, locked file. ``size`` is the length that is known to be whole lines."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.size = os.fstat(descriptor).st_size
        self._descriptor = descriptor
        self._torn = False

    @classmethod
    def open(cls, path: Path, *, new: bool = False, follow: bool = True) -> "AppendFile | None":
        """Open or create ``path``; None if another process writes it.

        Args:
            follow: whether ``path`` may be a link, which a stranger may have put into a folder.

        Raises:
            ConfigurationError: the path is no regular file.
            FileExistsError: ``new``, and there is such a file.
            OSError: it cannot be opened or mended.
        """
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_EXCL if new else 0)
        flags |= 0 if follow else os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigurationError(f"{path} is no regular file, so records cannot be appended; give another path")
            if not lock(descriptor, wait=new):
                os.close(descriptor)
                return None
            made = cls(path, descriptor)
            made._mend()
        except BaseException:
            os.close(descriptor)
            raise
        return made

    def replaced(self) -> bool:
        """Whether somebody moved or deleted the file: what is written now would be found by nobody."""
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return True
        here = os.fstat(self._descriptor)
        return (there.st_ino, there.st_dev) != (here.st_ino, here.st_dev)

    def append(self, data: bytes) -> None:
        """Append all of ``data``, or leave the file as it was and raise.

        Raises:
            OSError: no space, a fault of the disk.
        """
        if self._torn:
            self._cut(self.size)
        self.size = os.fstat(self._descriptor).st_size
        rest = memoryview(data)
        try:
            while rest:
                written = os.write(self._descriptor, rest)
                if written <= 0:
                    raise OSError(errno.EIO, f"nothing could be written to {self.path}")
                rest = rest[written:]
        except BaseException:
            self.take_back(0)
            raise
        self.size += len(data)

    def take_back(self, count: int) -> None:
        """Cut the last ``count`` bytes and whatever a failed write left; if that fails, the next append tries it."""
        self.size -= count
        self._torn = True
        try:
            self._cut(self.size)
        except OSError:  # the fault that led here is the one to tell
            return

    def sync(self) -> None:
        """Bring the content to the disk itself."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Unlock and close. A forked child shares the lock, so it is given up and not only closed."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        finally:
            os.close(descriptor)

    def _cut(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)
        self._torn = False

    def _mend(self) -> None:
        """Bring the last line to an end: a torn one of ours is cut, anything else gets its newline."""
        if not self.size or os.pread(self._descriptor, 1, self.size - 1) == b"\n":
            return
        start = last_line_start(self._descriptor, self.size)
        tail = os.pread(self._descriptor, min(self.size - start, MAX_TAIL), start)
        torn = tail.startswith(b"{") and not _is_object(tail) and self.size - start <= MAX_TAIL
        if torn or not tail.strip(b"\0"):  # a power loss leaves zeros where the data should be
            os.ftruncate(self._descriptor, start)
            self.size = start
        else:
            self.append(b"\n")


def lock(descriptor: int, *, wait: bool = False) -> bool:
    """Lock a file for this process; True also where the file system knows no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False
