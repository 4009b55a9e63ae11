"""Records in a file of JSON lines, byte for byte as the journal holds them, each exactly once."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import orjson

from ..core.batch import RecordBatch
from ..core.lifecycle import RunManifest, StepState, StopReason
from ..core.sink import Sink
from ..delivery.tail import sequence_of
from ..errors import ClosedError, ConfigurationError
from ..records.base import CURRENT_SCHEMA_VERSION, Origin
from ..records.paths import is_address
from ..redaction import shown_url
from .appendfile import AppendFile
from .backsearch import next_sequence
from .segments import is_being_rolled, keep_newest, named, newest, segment_path, segments

logger = logging.getLogger("quark")

Fsync = Literal["interval", "always", "never"]


class JsonlSink(Sink):
    """A file to which a run's records are appended, one JSON line each; greppable, and whole after every crash.

    A header line (kind ``writer``) says whose records follow it. Under distributed training each process has a file of
    its own: ``run.jsonl`` becomes ``run.rank3.jsonl``. Where another process already writes the file, the writer's name
    goes into it. An existing file is never truncated, except that a last line which a crash tore is cut.

    Args:
        path: the file; parents are made. None: ``run.jsonl`` in the run's directory.
        fsync: when the data is brought to the disk itself: after each batch, every ``fsync_interval_s`` seconds, never.
        max_bytes: size at which the next file is begun: ``run.1.jsonl``, ``run.2.jsonl``, ...
        max_files: how many of these files are kept; the oldest go first, the open one never. None keeps all.

    Raises:
        ConfigurationError: an option that cannot be used.
    """

    name: ClassVar[str] = "jsonl"
    per_writer: ClassVar[bool] = True

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, fsync: Fsync = "interval", fsync_interval_s: float = 1.0,
        max_bytes: int | None = None, max_files: int | None = None, monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        _check(fsync, fsync_interval_s, max_bytes, max_files)
        # made absolute now: configuration frameworks change the working directory later
        self.path = None if path is None else Path(os.path.abspath(os.path.expanduser(_file_name(path))))
        self._fsync = fsync
        self._fsync_interval_s = fsync_interval_s
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._monotonic = monotonic
        self._manifest: RunManifest | None = None
        self._base: Path | None = None
        self._file: AppendFile | None = None
        self._number = 0
        self._header_for: Origin | None = None
        self._next: dict[str, int] = {}
        self._synced_at = monotonic()
        self._unsynced = False
        self._closed = False

    def __repr__(self) -> str:
        return f"JsonlSink({str(self.file or self.path or 'run.jsonl')!r})"

    @property
    def file(self) -> Path | None:
        """The file that is written now; None before the first record."""
        return self._file.path if self._file is not None else None

    def on_start(self, manifest: RunManifest) -> None:
        """Keep what goes into the header and the name."""
        self._manifest = manifest

    def position(self, writer_id: str) -> int:
        """The number that follows the writer's last record in the file."""
        if writer_id not in self._next:
            base = self._open(writer_id)
            self._next[writer_id] = self._search(base, writer_id)
        return self._next[writer_id]

    def write(self, batch: RecordBatch) -> None:
        """Append the batch's lines; after an error the file is as it was, so that a retry neither tears nor repeats.

        Raises:
            OSError: the disk is full or broken.
            ClosedError: after ``close``.
        """
        if self._closed:
            raise ClosedError(f"{self!r} is closed and takes no records; make a new one")
        writer_id = batch.origin.writer_id
        batch = batch.after(self.position(writer_id))
        if batch.data:
            self._append(batch)
        self._next[writer_id] = max(batch.stop, self._next[writer_id])
        self.flush()

    def flush(self) -> None:
        """Readers see every batch at once; what is due for the disk is brought there."""
        if self._fsync == "interval" and self._monotonic() - self._synced_at >= self._fsync_interval_s:
            self._sync()

    def on_stop(self, final_state: StepState | None, reason: StopReason) -> None:
        """Bring everything to the disk; how the run ended stands in its last line."""
        self._sync()

    def close(self) -> None:
        """Bring everything to the disk and let go of the file; again is allowed."""
        self._closed = True
        file, self._file = self._file, None
        if file is not None:
            try:
                if self._unsynced and self._fsync != "never":
                    file.sync()
            finally:
                file.close()

    def spec(self) -> dict[str, Any]:
        """The options, for ``quark sync``."""
        return {
            "path": None if self.path is None else str(self.path), "fsync": self._fsync,
            "fsync_interval_s": self._fsync_interval_s, "max_bytes": self._max_bytes, "max_files": self._max_files,
        }  # fmt: skip

    def _sync(self) -> None:
        if self._file is not None and self._unsynced and self._fsync != "never":
            self._file.sync()
            self._unsynced = False
        self._synced_at = self._monotonic()

    def _append(self, batch: RecordBatch) -> None:
        """Append in as few writes as the files' size allows; ``_next`` follows each of them."""
        base = self._open(batch.origin.writer_id)
        data = batch.data
        while data:
            number = self._next[batch.origin.writer_id]
            header = b"" if self._header_for == batch.origin else self._header(batch.origin, number)
            piece = self._fitting(data, len(header))
            if not piece:
                self._roll(base)
                continue
            self._append_piece(header + piece)
            self._header_for = batch.origin
            data = data[len(piece) :]
            last = sequence_of(piece[piece.rfind(b"\n", 0, len(piece) - 1) + 1 :])
            self._next[batch.origin.writer_id] = number if last is None else last + 1

    def _append_piece(self, data: bytes) -> None:
        file = self._opened()
        file.append(data)
        self._unsynced = True
        if self._fsync == "always":
            try:
                file.sync()
            except OSError:
                # the pages may be lost though the file looks whole: what is told as failed must not be in it
                file.take_back(len(data))
                raise
            self._unsynced = False

    def _fitting(self, data: bytes, header_size: int) -> bytes:
        """The whole lines at the head of ``data`` for which this file has room; at least one in an empty file."""
        if self._max_bytes is None:
            return data
        file = self._opened()
        room = self._max_bytes - file.size - header_size
        if len(data) <= room:
            return data
        whole = data.rfind(b"\n", 0, max(0, room)) + 1
        if not whole and file.size == 0:
            whole = data.find(b"\n") + 1 or len(data)
        return data[:whole]

    def _header(self, origin: Origin, number: int) -> bytes:
        """The line before a writer's records; it reads as a line that gives the number of the first of them."""
        manifest = self._manifest
        return orjson.dumps({
            "kind": "writer", "sequence": number, "time": time.time_ns(), "run_id": origin.run_id,
            "writer_id": origin.writer_id, "rank": origin.rank, "attempt": origin.attempt,
            "schema_version": CURRENT_SCHEMA_VERSION, "project": manifest.project if manifest else None,
        }) + b"\n"  # fmt: skip

    def _opened(self) -> AppendFile:
        if self._file is None:
            raise ClosedError(f"{self!r} has no open file; write a batch first")
        return self._file

    def _open(self, writer_id: str) -> Path:
        """Open the newest file of the series unless it is open; the path after which the series is named."""
        if self._file is not None and self._base is not None and not self._file.replaced():
            return self._base
        if self._file is not None:
            logger.warning("quark: %s was moved or deleted; records go on in a new file of that name", self._file.path)
            self._file.close()
            self._file = None
        self._header_for = None
        self._base = self._claim(writer_id)
        return self._base

    def _claim(self, writer_id: str) -> Path:
        path = self._wanted_path()
        own = named(path, writer_id, apart=True)
        if segments(own):  # this writer had to step aside before, and goes on where it was
            path = own
        elif not self._try(path):
            if self._search(path, writer_id):
                raise BlockingIOError(f"{path} holds records of {writer_id} and another process writes it; it must end")
            logger.warning("quark: %s is being written by another process; this one writes %s", path, own)
            path = own
        if self._file is None and not self._try(path):
            raise BlockingIOError(f"{path} is being written by another process; end it, or give another path")
        return path

    def _try(self, base: Path) -> bool:
        self._number, path = newest(base)
        self._file = AppendFile.open(path, follow=self.path is not None)
        if self._file is not None and (newest(base)[1] != path or is_being_rolled(base, path)):
            self._file.close()
            self._file = None
        return self._file is not None

    def _wanted_path(self) -> Path:
        manifest = self._manifest
        path = self.path
        if path is None:
            if manifest is None or not manifest.run_path:
                raise ConfigurationError("JsonlSink has no path and no run directory to write to; give a path")
            path = Path(os.path.abspath(manifest.run_path)) / "run.jsonl"
        return named(path, f"rank{manifest.rank}") if manifest is not None and manifest.world_size > 1 else path

    def _search(self, base: Path, writer_id: str) -> int:
        """The writer's next number by the files of a series, the newest first."""
        run_id = self._manifest.run_id if self._manifest else None
        for _, path in reversed(segments(base)):
            with open(path, "rb") as file:
                if (number := next_sequence(file.fileno(), run_id, writer_id)) is not None:
                    return number
        return 0

    def _roll(self, base: Path) -> None:
        """Go on in the next file. The old one stays locked until the new one is, so that nobody comes in between."""
        full = self._opened()
        if self._fsync != "never":
            full.sync()
        try:
            self._file = AppendFile.open(segment_path(base, self._number + 1), new=True)
        except FileExistsError:  # put there by somebody else: it is left alone
            self._number = newest(base)[0]
            self._file = AppendFile.open(segment_path(base, self._number + 1), new=True)
        self._number += 1
        full.close()
        self._header_for = None
        if self._max_files is not None:
            keep_newest(base, self._max_files)


def _file_name(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    if not isinstance(text, str) or not text or "\0" in text:
        raise ConfigurationError(f"path must be the name of a file, got {path!r}; give one like 'run.jsonl'")
    if is_address(text):
        raise ConfigurationError(
            f"path must be a file, got the address {shown_url(text)}; use a path of this machine, such as a mounted one"
        )
    if text.endswith(os.sep) or os.path.isdir(os.path.expanduser(text)):
        raise ConfigurationError(
            f"path must be a file, got the directory {text!r}; give {os.path.join(text, 'run.jsonl')!r}"
        )
    return text


def _check(fsync: object, interval_s: float, max_bytes: int | None, max_files: int | None) -> None:
    if fsync not in get_args(Fsync):
        raise ConfigurationError(f"fsync must be one of {', '.join(get_args(Fsync))}, got {fsync!r}")
    if not 0 <= interval_s < 1e9:
        raise ConfigurationError(f"fsync_interval_s must be between 0 and 1e9 seconds, got {interval_s!r}")
    for option, value in (("max_bytes", max_bytes), ("max_files", max_files)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ConfigurationError(f"{option} must be a whole number of at least 1 or None, got {value!r}")
    if max_files is not None and max_bytes is None:
        raise ConfigurationError(
            f"max_files is {max_files}, but files are only changed at max_bytes; give max_bytes too"
        )
