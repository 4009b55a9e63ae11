"""One writer at a time, over threads and processes: a lock beside the database that readers never ask for."""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from ..errors import SessionStoreError

PAUSE_S = 0.002


class StoreLock:
    """A lock file, held with ``flock`` while a transaction or a checkpoint runs; the system drops it with its process.

    SQLite's own locks would do for transactions, but releases before 3.51.3 can damage a write-ahead log that two
    connections reset at once, so checkpoints are serialised here as well.

    Args:
        path: the lock file; it is made if it is missing.
        timeout_s: how long to wait for another process, in seconds.

    Raises (on entering):
        SessionStoreError: code ``busy``, another process held the lock for the whole time.
    """

    def __init__(
        self, path: Path, *, timeout_s: float = 30.0, monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self.path = path
        self.timeout_s = timeout_s
        self._monotonic = monotonic
        self._sleep = sleep
        self._thread = threading.Lock()
        self._file: int | None = None

    def __enter__(self) -> "StoreLock":
        self._acquire(self.timeout_s)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    @contextmanager
    def for_a_moment(self, timeout_s: float = 2.0) -> Iterator[bool]:
        """Hold the lock if it can be had soon, and go on without it otherwise; yields which of the two it is."""
        try:
            self._acquire(timeout_s)
            held = True
        except SessionStoreError:
            held = False
        try:
            yield held
        finally:
            if held:
                self._release()

    def _acquire(self, timeout_s: float) -> None:
        deadline = self._monotonic() + timeout_s
        if not self._thread.acquire(timeout=timeout_s):
            raise self._busy("another thread", timeout_s)
        try:
            while not self._lock_file():
                if self._monotonic() >= deadline:
                    raise self._busy("another process", timeout_s)
                self._sleep(PAUSE_S)
        except BaseException:
            self._thread.release()
            raise

    def _release(self) -> None:
        try:
            if self._file is not None:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        finally:
            self._thread.release()

    def close(self) -> None:
        """Close the lock file."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _lock_file(self) -> bool:
        if self._file is None:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _busy(self, holder: str, timeout_s: float) -> SessionStoreError:
        return SessionStoreError(
            f"the store's lock {self.path} was held by {holder} for {timeout_s:g} s; "
            f"try again, or find the process with: fuser {self.path}",
            code="busy",
        )
