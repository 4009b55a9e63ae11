"""The file system as delivery sees it: few calls, so that tests can put a failing or simulated one in its place."""

import errno
import mmap
import os
from pathlib import Path
from typing import Any

from .ownership import is_own_directory, make_directory

PAGE = mmap.PAGESIZE
_NO_DIRECTORY = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
_NO_LINK = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Nobody is led to another file, nor kept waiting by a pipe that lies in the place of one."""
_READ = os.O_RDONLY | _NO_LINK


class Disk:
    """The real file system."""

    def create_segment(self, path: Path, size: int) -> Any:
        """A new file of ``size`` zero bytes, mapped and touched: storing into it neither fails nor faults.

        The space is allocated before it is mapped; a sparse file on a full disk would end the training by SIGBUS.

        Raises:
            OSError: no space, no permission, or no shared mappings on this file system.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
            buffer = mmap.mmap(descriptor, size)
            _touch(buffer)
        except (OSError, ValueError) as error:
            os.unlink(path)
            raise error if isinstance(error, OSError) else OSError(errno.EINVAL, str(error)) from error
        finally:
            os.close(descriptor)
        return buffer

    def memory_segment(self, size: int) -> Any:
        """A segment that no file holds; it dies with the process."""
        return mmap.mmap(-1, size)

    def read(self, path: Path, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes from ``offset``; fewer at the end of the file."""
        descriptor = os.open(path, _READ)
        try:
            return os.pread(descriptor, size, offset)
        finally:
            os.close(descriptor)

    def truncate(self, path: Path, size: int) -> None:
        """Cut a file that grew no further."""
        descriptor = os.open(path, os.O_WRONLY | _NO_LINK)
        try:
            os.ftruncate(descriptor, size)
        finally:
            os.close(descriptor)

    def sync(self, path: Path) -> None:
        """Bring a file's content to the disk itself."""
        descriptor = os.open(path, _READ)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def replace(self, path: Path, content: bytes) -> None:
        """Write a file so that a reader sees the old content or the new, never a part."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o600)
        try:
            write_all(descriptor, content)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)

    def append(self, path: Path, content: bytes) -> None:
        """Add to the end of a file."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _NO_LINK, 0o600)
        try:
            write_all(descriptor, content)
        finally:
            os.close(descriptor)

    def make_directory(self, path: Path) -> None:
        """A directory that only this user can enter, with its parents."""
        make_directory(path)

    def is_own_directory(self, path: Path) -> bool:
        """Whether it is a directory of this user, and no link to one elsewhere."""
        return is_own_directory(path)

    def names(self, path: Path) -> list[str]:
        """The names in a directory, sorted; empty if there is no such directory, or can be none."""
        try:
            return sorted(os.listdir(path))
        except OSError as error:
            if error.errno in _NO_DIRECTORY:
                return []
            raise

    def exists(self, path: Path) -> bool:
        """Whether there is such a file or directory; True where that cannot be told."""
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return True

    def size(self, path: Path) -> int:
        """Size of a file in bytes."""
        return os.stat(path).st_size

    def remove(self, path: Path) -> None:
        """Delete a file that may be gone already."""
        path.unlink(missing_ok=True)


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte: ``os.write`` may take fewer than it was given."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _touch(buffer: mmap.mmap) -> None:
    """Fault every page in for writing, inside one system call that lets other threads run."""
    with memoryview(buffer) as view, open("/dev/zero", "rb", buffering=0) as zero:
        done = 0
        while done < len(view):
            done += os.readv(zero.fileno(), [view[done:]])
