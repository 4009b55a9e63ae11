"""Records in Quark's own database, from which runs are read, compared and shown."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ..core.batch import RecordBatch
from ..core.lifecycle import RunManifest, StepState, StopReason
from ..core.sink import Sink
from ..errors import ClosedError, ConfigurationError, QuarkError
from ..records.paths import is_database_address

if TYPE_CHECKING:
    from ..storage import SqlStore


class StoreSink(Sink):
    """Writes a run into an embedded store, exactly once: rows and position move in one transaction.

    Args:
        store_path: the database file, as ``SqlStore`` takes it.
        seal_every_s: seconds between two looks for stretches of metrics that are long enough to be packed.

    Raises:
        ConfigurationError: no path, or an interval that cannot be used.
    """

    name: ClassVar[str] = "store"
    _file: tuple[int, int] | None = None

    def __init__(
        self, store_path: str | os.PathLike[str], *, seal_every_s: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        text = os.fspath(store_path)
        if not isinstance(text, str) or not text:
            raise ConfigurationError(f"store_path must be the name of a file, got {store_path!r}")
        if is_database_address(text):
            raise ConfigurationError("store_path must be the name of a file, got an address; pass a local path")
        if not 0 <= seal_every_s < 1e9:
            raise ConfigurationError(f"seal_every_s must be between 0 and 1e9 seconds, got {seal_every_s!r}")
        self.store_path = Path(os.path.abspath(os.path.expanduser(text)))
        self._seal_every_s = seal_every_s
        self._monotonic = monotonic
        self._sealed_at = monotonic()
        self._run_id: str | None = None
        self._store: SqlStore | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"StoreSink({str(self.store_path)!r})"

    def on_start(self, manifest: RunManifest) -> None:
        """Open the store; here, on the worker, because opening may wait for another process's commit."""
        self._run_id = manifest.run_id
        self._opened()

    def write(self, batch: RecordBatch) -> None:
        """Append the batch; what the store holds already it skips."""
        self._check_file()
        store = self._opened()
        store.append(batch)
        now = self._monotonic()
        if now - self._sealed_at >= self._seal_every_s:
            self._sealed_at = now
            store.seal()

    def idle(self) -> None:
        """Nothing is new; whether the file is still there is looked at all the same."""
        self._check_file()

    def on_stop(self, final_state: StepState | None, reason: StopReason) -> None:
        """The run ends: what it recorded is in the file that is there."""
        self._check_file()

    def position(self, writer_id: str) -> int | None:
        """The number that the store expects next of a writer."""
        self._check_file()
        return None if self._run_id is None else self._opened().position(self._run_id, writer_id)

    def close(self) -> None:
        """Close the store; again is allowed."""
        self._closed = True
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def spec(self) -> dict[str, Any]:
        """The options, for ``quark sync``."""
        return {"store_path": str(self.store_path), "seal_every_s": self._seal_every_s}

    def _opened(self) -> "SqlStore":
        if self._closed:
            raise ClosedError(f"{self!r} is closed; make a new one")
        if self._store is None:
            from ..storage import SqlStore

            self._store = SqlStore(self.store_path)
            self._file = _identity(self.store_path)
        return self._store

    def _check_file(self) -> None:
        """Let go of a file that was deleted or replaced: what is written to it, nobody would ever find.

        Raises:
            OSError: it was; the worker asks for the position again and delivers what the journal holds.
        """
        if self._store is None or self._file == _identity(self.store_path):
            return
        store, self._store = self._store, None
        with suppress(QuarkError, OSError):
            store.close()
        raise OSError(
            f"the store {self.store_path} was deleted or replaced while the run was recording; "
            "what the journal holds of the run is delivered to it again"
        )


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file it is, whatever its name; None for none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
