"""Where a run's journals lie, who writes them, whether the writer lives, and how far each sink has read."""

import fcntl
import os
from pathlib import Path
from typing import Any

import orjson

from ..errors import SessionStoreError
from ..records.base import Origin
from ..records.grammar import shown
from ..records.identifiers import is_id
from .disk import Disk

WRITER_FILE = "writer.json"
LOCK_FILE = "lock"
HOSTS_FILE = "hosts"
"""Locked as long as a process works for a sink of the writer, which it may do for a while after the writer itself."""
PROBE = ".probe-"
"""How the files begin with which a directory is tried out; a process that is killed meanwhile leaves one."""


class Lock:
    """An advisory lock that the system takes back when its process dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, *, make: bool = True) -> bool:
        """Take the lock; False while another holder has it.

        Raises:
            FileNotFoundError: there is no such file, and none is to be made (a journal is removed beside us).
            OSError: the file cannot be opened.
        """
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0)
        descriptor = os.open(self.path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    @property
    def descriptor(self) -> int | None:
        """What a process inherits that shall hold a share of the lock; None while the lock is not held."""
        return self._descriptor

    def release(self) -> None:
        """Give the lock back. In a forked child this only lets go of the child's share; the parent keeps the lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class WriterPlace:
    """The directory of one writer's journal: its identity, its lock, the cursors of the sinks.

    ``writer.json`` holds the origin and what ``quark sync`` needs to finish the writer's work: the run's manifest and
    the sinks that it fed.
    """

    def __init__(self, directory: Path, disk: Disk | None = None) -> None:
        self.directory = directory
        self._disk = disk or Disk()
        self.lock = Lock(directory / LOCK_FILE)
        self.hosts = Lock(directory / HOSTS_FILE)
        self.absent = False
        """Whether the directory could not be made: cursors are kept in memory then, like the records themselves."""
        self._cursors: dict[str, int] = {}

    def create(self, origin: Origin, content: dict[str, Any]) -> None:
        """Make the directory and take its lock.

        Raises:
            OSError: the directory cannot be made.
        """
        self._disk.make_directory(self.directory)
        self.lock.acquire()
        self.describe(origin, content)

    def appear(self, origin: Origin, content: dict[str, Any]) -> bool:
        """Make the directory that could not be made before; whether it is there now."""
        self.absent = False
        try:
            self.create(origin, content)
            for sink, position in self._cursors.items():
                self.set_cursor(sink, position)
        except OSError:
            self.absent = True
        return not self.absent

    def describe(self, origin: Origin, content: dict[str, Any]) -> None:
        """Write down who writes here and what the writer's sinks are."""
        if self.absent:
            return
        identity = {
            "run_id": origin.run_id, "writer_id": origin.writer_id, "rank": origin.rank, "attempt": origin.attempt,
        }  # fmt: skip
        self._disk.replace(self.directory / WRITER_FILE, orjson.dumps({**content, **identity}))

    def content(self) -> dict[str, Any]:
        """What ``describe`` wrote.

        Raises:
            SessionStoreError: the file is missing or damaged.
        """
        path = self.directory / WRITER_FILE
        try:
            return orjson.loads(self._disk.read(path, 0, 1 << 26))
        except (OSError, ValueError) as error:
            raise SessionStoreError(f"the journal {self.directory} has no readable {WRITER_FILE} ({error})") from error

    def origin(self) -> Origin:
        """Who writes here.

        Raises:
            SessionStoreError: the file is missing or damaged, or names a run or a writer that cannot be one.
        """
        content = self.content()
        run_id, writer_id = content.get("run_id"), content.get("writer_id")
        if not is_id(run_id) or not is_id(writer_id):
            raise SessionStoreError(
                f"{self.directory / WRITER_FILE} has no valid run_id and writer_id ({shown(run_id)}, "
                f"{shown(writer_id)}); its journal is not delivered"
            )
        return Origin(run_id, writer_id, content.get("rank", 0), content.get("attempt", 1))

    def release(self) -> None:
        """Give back what this process holds of the locks."""
        self.lock.release()
        self.hosts.release()

    def alive(self) -> bool:
        """Whether the writer's process still holds the lock."""
        return _is_held(self.directory / LOCK_FILE)

    def is_served(self) -> bool:
        """Whether a process still brings this writer's records to a sink."""
        return _is_held(self.directory / HOSTS_FILE)

    def cursor(self, sink: str) -> int:
        """The number that a sink expects next, as it was last written down; 0 for a sink that never wrote one."""
        if self.absent:
            return self._cursors.get(sink, 0)
        try:
            return int(self._disk.read(self._cursor_path(sink), 0, 32) or b"0")
        except (OSError, ValueError):
            return 0

    def set_cursor(self, sink: str, position: int) -> None:
        """Write down how far a sink has come."""
        if self.absent:
            self._cursors[sink] = position
            return
        self._disk.replace(self._cursor_path(sink), b"%d" % position)

    def quarantine(self, sink: str, line: bytes, reason: str) -> None:
        """Set a record aside that a sink cannot take, with the reason."""
        if self.absent:
            return
        entry = orjson.dumps({"reason": reason, "line": line.decode("utf-8", "replace").rstrip("\n")})
        self._disk.append(self.directory / f"quarantine-{sink}.jsonl", entry + b"\n")

    def remove(self) -> None:
        """Delete the journal: every sink has everything."""
        kept = [name for name in self._disk.names(self.directory) if name.startswith("quarantine-")]
        for name in self._disk.names(self.directory):
            if name not in kept:
                self._disk.remove(self.directory / name)
        if not kept:
            run_directory = self.directory.parent
            try:
                self.directory.rmdir()
                for probe in run_directory.glob(f"{PROBE}*"):
                    probe.unlink(missing_ok=True)
                run_directory.resolve().rmdir()
            except OSError:  # another writer of the run still has its journal there
                return
            if run_directory.is_symlink():  # it was kept in shared memory
                run_directory.unlink()

    def _cursor_path(self, sink: str) -> Path:
        return self.directory / f"cursor-{sink}"


def _is_held(path: Path) -> bool:
    probe = Lock(path)
    try:
        if not probe.acquire(make=False):
            return True
    except OSError:
        return False
    probe.release()
    return False


def writer_places(run_directory: Path, disk: Disk | None = None) -> list[WriterPlace]:
    """The places of all writers of a run, in the order of their names."""
    disk = disk or Disk()
    return [
        WriterPlace(run_directory / name, disk)
        for name in disk.names(run_directory)
        if not name.startswith(PROBE) and WRITER_FILE in disk.names(run_directory / name)
    ]
