"""Where a run's journals lie, who writes them, whether the writer lives, and how far each sink has read."""

import fcntl
import os
import re
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any

import msgspec
import orjson

from ..errors import SessionStoreError
from ..records.base import Origin
from ..records.foreign import suppress_foreign, type_name
from ..records.grammar import shown
from ..records.identifiers import is_id
from ..records.ready import ready
from .disk import Disk
from .signature import is_signed, sign

WRITER_FILE = "writer.json"
LOCK_FILE = "lock"
HOSTS_FILE = "hosts"
"""Locked as long as a process works for a sink of the writer, which it may do for a while after the writer itself."""
PROBE = ".probe-"
"""How the files begin with which a directory is tried out; a process that is killed meanwhile leaves one."""


SIGNATURE = "signature"
_SINK_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}\Z")
_NOT_IN_SINK_NAME = re.compile(r"[^a-z0-9._-]+")


def sink_name(wanted: str) -> str:
    """A name of a sink as it is written into file names: small letters, digits, ``.``, ``_`` and ``-``."""
    made = _NOT_IN_SINK_NAME.sub("-", wanted.lower()).lstrip("._-")[:80]
    return made or "sink"


def name_of(sink: Any) -> str:
    """What a sink calls itself; its class where that is no text, or raises."""
    with suppress_foreign():
        name = sink.name
        if isinstance(name, str):
            return str.__str__(name)
    return type_name(sink)


class DescribedSink(msgspec.Struct, frozen=True):
    """A sink in ``writer.json``: the name of its cursor, and what ``quark sync`` could make it from."""

    name: str
    kind: str
    options: dict[str, Any] = {}


_Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]


class _Description(msgspec.Struct):
    run_id: str
    writer_id: str
    rank: _Count = 0
    attempt: _Count = 1
    world_size: _Count = 1
    sinks: list[DescribedSink] = []
    project: str = ""
    started_at: str = ""
    storage_dir: str = ""
    reason: str | None = None


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
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_CREAT if make else 0)
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
            with suppress(OSError):  # the program has closed all descriptors, and the lock with them
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
        self._aside: set[bytes] | None = None

    def create(self, origin: Origin, content: dict[str, Any]) -> None:
        """Make the directory and take its lock.

        Raises:
            OSError: the directory cannot be made.
        """
        self._disk.make_directory(self.directory)
        self.lock.acquire()
        self._describe(origin, content)

    def appear(self, origin: Origin, content: dict[str, Any]) -> bool:
        """Make the directory that could not be made before; whether it is there now.

        Until it is, other threads are not to write there.
        """
        try:
            self.create(origin, content)
            for sink, position in list(self._cursors.items()):
                self._write_cursor(sink, position)
        except OSError:
            return False
        self.absent = False
        return True

    def describe(self, origin: Origin, content: dict[str, Any]) -> None:
        """Write down who writes here and what the writer's sinks are."""
        if not self.absent:
            self._describe(origin, content)

    def _describe(self, origin: Origin, content: dict[str, Any]) -> None:
        identity = {
            "run_id": origin.run_id, "writer_id": origin.writer_id, "rank": origin.rank, "attempt": origin.attempt,
        }  # fmt: skip
        whole = {**{name: content[name] for name in content if name != SIGNATURE}, **identity}
        signature = sign(self.directory, whole)
        if signature is not None:
            whole[SIGNATURE] = signature
        self._disk.replace(self.directory / WRITER_FILE, orjson.dumps(whole))

    def content(self) -> dict[str, Any]:
        """What ``describe`` wrote, or a stranger: it is data, and its fields have the right types.

        Raises:
            SessionStoreError: the file is missing or damaged.
        """
        try:
            content = self._read()
            msgspec.convert(content, ready(_Description))
            return content
        except (OSError, ValueError, msgspec.ValidationError) as error:
            raise SessionStoreError(f"the journal {self.directory} has no readable {WRITER_FILE} ({error})") from error

    def is_signed(self) -> bool:
        """Whether a process of this user described the journal, so that its sinks are this user's word."""
        try:
            content = self._read()
        except (OSError, ValueError):
            return False
        return isinstance(content, dict) and is_signed(self.directory, content, content.pop(SIGNATURE, None))

    def _read(self) -> Any:
        return orjson.loads(self._disk.read(self.directory / WRITER_FILE, 0, 1 << 26))

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

    def described_sinks(self) -> list["DescribedSink"]:
        """The writer's sinks."""
        return msgspec.convert(self.content(), ready(_Description)).sinks

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
        path = self._cursor_path(sink)
        try:
            return max(0, int(self._disk.read(path, 0, 32) or b"0"))
        except (OSError, ValueError):
            return 0

    def set_cursor(self, sink: str, position: int) -> None:
        """Write down how far a sink has come."""
        if self.absent:
            self._cursors[sink] = position
        else:
            self._write_cursor(sink, position)

    def _write_cursor(self, sink: str, position: int) -> None:
        self._disk.replace(self._cursor_path(sink), b"%d" % position)

    def quarantine(self, sink: str, line: bytes, reason: str) -> None:
        """Set a record aside that a sink cannot take, with the reason."""
        if self.absent:
            return
        entry = orjson.dumps({"reason": reason, "line": _text_of(line)})
        self._disk.append(self.directory / f"quarantine-{check_sink_name(sink)}.jsonl", entry + b"\n")
        if self._aside is not None and sink == "journal":
            self._aside.add(_digest(_text_of(line)))

    def is_set_aside(self, line: bytes) -> bool:
        """Whether a damaged line of the journal is in quarantine, also by another sink or an earlier process."""
        if self._aside is None:
            self._aside = set()
            with suppress(OSError):
                for entry in self._disk.read(self.directory / "quarantine-journal.jsonl", 0, 1 << 26).splitlines():
                    with suppress(msgspec.MsgspecError, UnicodeError):  # it was cut off, or is not ours
                        self._aside.add(_digest(_decode_set_aside(entry).line))
        return _digest(_text_of(line)) in self._aside

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
        return self.directory / f"cursor-{check_sink_name(sink)}"


class _SetAside(msgspec.Struct):
    line: str


_decode_set_aside = msgspec.json.Decoder(ready(_SetAside)).decode


def _text_of(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\n")


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


def check_sink_name(sink: str) -> str:
    """The name, if it is one that may be part of a file name; SessionStoreError if not."""
    if not _SINK_NAME.match(sink):
        raise SessionStoreError(f"{sink!r} is no name of a sink; a name has small letters, digits, '.', '_' and '-'")
    return sink


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
    """The places of all writers of a run, in the order of their names; links and what other users made are none."""
    disk = disk or Disk()
    if not disk.is_own_directory(run_directory):
        return []
    return [
        WriterPlace(run_directory / name, disk)
        for name in disk.names(run_directory)
        if not name.startswith(PROBE)
        and disk.is_own_directory(run_directory / name)
        and WRITER_FILE in disk.names(run_directory / name)
    ]
