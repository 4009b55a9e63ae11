"""A file system in memory that fails and forgets on command, for simulations in which one seed is one history."""

import errno
import random
from pathlib import Path

from ..delivery.disk import Disk


class SimulatedDisk(Disk):
    """Files as byte arrays. What was stored survives a crash of the process; ``faults`` is the chance of an error.

    Every call that reaches the disk may fail with ENOSPC or EIO, drawn from ``rng``; a failing ``append`` may have
    written a part. A ``crash`` at a random call is drawn likewise and raised as ``Crash``.
    """

    def __init__(self, rng: random.Random, *, faults: float = 0.0, crashes: float = 0.0) -> None:
        self.rng = rng
        self.faults = faults
        self.crashes = crashes
        self.files: dict[Path, bytearray] = {}

    def _touch_disk(self) -> None:
        if self.rng.random() < self.crashes:
            raise Crash
        if self.rng.random() < self.faults:
            code = self.rng.choice((errno.ENOSPC, errno.EIO))
            raise OSError(code, "simulated")

    def create_segment(self, path: Path, size: int) -> bytearray:
        """A new file of zeros that is its own mapping."""
        self._touch_disk()
        if path in self.files:
            raise FileExistsError(errno.EEXIST, "simulated", str(path))
        buffer = self.files[path] = bytearray(size)
        return buffer

    def memory_segment(self, size: int) -> bytearray:
        """Memory of the process; a crash takes it."""
        return bytearray(size)

    def read(self, path: Path, offset: int, size: int) -> bytes:
        """As the real one."""
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "simulated", str(path))
        return bytes(self.files[path][offset : offset + size])

    def truncate(self, path: Path, size: int) -> None:
        """As the real one; a mapping that is still held keeps its own bytes."""
        self._touch_disk()
        self.files[path] = self.files[path][:size]

    def sync(self, path: Path) -> None:
        """Nothing: only the process crashes here."""
        self._touch_disk()

    def replace(self, path: Path, content: bytes) -> None:
        """Old or new, never a part."""
        self._touch_disk()
        self.files[path] = bytearray(content)

    def append(self, path: Path, content: bytes) -> None:
        """May write a part and then fail."""
        try:
            self._touch_disk()
        except OSError:
            part = content[: self.rng.randrange(len(content) + 1)]
            self.files.setdefault(path, bytearray()).extend(part)
            raise
        self.files.setdefault(path, bytearray()).extend(content)

    def make_directory(self, path: Path) -> None:
        """Directories exist by themselves."""

    def is_own_directory(self, path: Path) -> bool:
        """There is one user."""
        return True

    def names(self, path: Path) -> list[str]:
        """The names below a directory."""
        depth = len(path.parts)
        return sorted({file.parts[depth] for file in self.files if file.parts[:depth] == path.parts})

    def size(self, path: Path) -> int:
        """Length of a file."""
        return len(self.files[path])

    def remove(self, path: Path) -> None:
        """Delete a file that may be gone already."""
        self._touch_disk()
        self.files.pop(path, None)


class Crash(BaseException):
    """The process ended here."""
