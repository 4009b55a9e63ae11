"""Records to a Quark service, exactly once: how far it has come is what the service says, and nothing else."""

import gzip
import threading
from collections.abc import Callable
from functools import cache, partial
from typing import Any, ClassVar

from ..client.connection import Connection, namespace_of
from ..client.paths import path_of_writer
from ..client.pause import Pause
from ..client.refusals import RefusedError, ServiceUnavailableError, json_of
from ..core.batch import RecordBatch
from ..core.lifecycle import RunManifest
from ..core.sink import Sink
from ..errors import SessionStoreError
from ..records.line import sequence_of
from .discovery import sink_from_spec
from .uploads import ServiceFilesSink

PACKED_FROM = 1024
_LIMIT = 2**63


class ServiceSink(Sink):
    """Sends a run to a service. What the service cannot be told now waits in the journal.

    A line that the service refuses is set aside alone; a batch that is too large for it is halved. The payloads of
    artifacts travel beside the records, by a companion with a worker of its own: a large file holds up no metric.

    Args:
        url: address of the service; QUARK_PERSISTENCE_URL if None.
        user_key: the key; QUARK_USER_KEY if None. A secret: it is in no ``spec``.
        namespace: the storage namespace; what QUARK_STORAGE_DIR says if None.
        connection: for tests: how the service is reached.

    Raises:
        ConfigurationError: an address or setting that cannot be used.
    """

    name: ClassVar[str] = "service"
    isolates: ClassVar[bool] = True

    def __init__(
        self, url: str | None = None, *, user_key: str | None = None, namespace: str | None = None,
        connection: Connection | None = None,
    ) -> None:  # fmt: skip
        where = namespace_of(None) if namespace is None else namespace
        self.connection = connection or Connection(url, user_key=user_key, namespace=where)
        self._pause = Pause(self.connection.clock, self.connection.rng)
        self._arrived = threading.Event()
        self._expected: dict[str, int] = {}
        self._run_id = ""

    def __reduce__(self) -> tuple[Any, ...]:
        return sink_from_spec, (self.name, self.spec())  # without the key, which the other process has to know itself

    def __repr__(self) -> str:
        return f"ServiceSink({self.connection.url!r})"

    def companion(self) -> ServiceFilesSink:
        """What brings the payloads of artifacts; it begins when the service knows the run."""
        return ServiceFilesSink(connection=self.connection.twin(), arrived=self._arrived)

    def on_start(self, manifest: RunManifest) -> None:
        """Learn which run it is; the service is not asked before there is something to send."""
        self._run_id = manifest.run_id
        self.connection.project = manifest.project

    def position(self, writer_id: str) -> int | None:
        """The number that the service expects next of a writer."""
        self._pause.check()
        path = path_of_writer(self._run_id, writer_id)
        try:
            held = self._held(self.connection.send("GET", path))
        except (ServiceUnavailableError, RefusedError) as error:
            self._pause.failed(error)
            raise
        self._expected[writer_id] = held
        if held:
            self._arrived.set()
        return held

    def write(self, batch: RecordBatch) -> None:
        """Send a batch.

        Raises:
            ServiceUnavailableError: the service cannot be reached or asks for time.
            SessionStoreError: it does not know the key, holds less than this batch builds on, or claims to hold more
                than it was sent.
        """
        self._pause.check()
        try:
            self._send(batch)
        except ServiceUnavailableError as error:
            self._pause.failed(error)
            raise
        except RefusedError as error:
            if error.code != "sequence_gap":  # that is answered by asking for the position, at once
                self._pause.failed(error)
            raise
        self._pause.passed()
        self._arrived.set()

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()

    def spec(self) -> dict[str, Any]:
        """Address and namespace; the key comes from QUARK_USER_KEY then."""
        return {"url": self.connection.url, "namespace": self.connection.namespace}

    def _send(self, batch: RecordBatch) -> None:
        waiting = [batch]
        while waiting:
            part = waiting.pop()
            try:
                self._post(part, batch.stop)
            except RefusedError as error:
                waiting += reversed(_instead_of(part, error, batch.rejected))

    def _post(self, batch: RecordBatch, most: int) -> None:
        """Send lines; ``most`` is the number behind everything that this process has for the service by now."""
        origin, last = batch.origin, sequence_of(batch.data[batch.data.rstrip(b"\n").rfind(b"\n") + 1 :])
        if last is None:  # all lines were refused: a position moves only with records
            return
        first = min(batch.first, self._expected.get(origin.writer_id, batch.first))
        path = f"{path_of_writer(origin.run_id, origin.writer_id)}/records"
        query = {
            "first": first, "stop": last + 1, "rank": origin.rank, "attempt": origin.attempt,
            "dropped": batch.dropped,
        }  # fmt: skip
        body, headers = _packed(batch.data)
        held = self._held(self.connection.send("POST", path, query, body, headers))
        if not last < held <= most:
            raise SessionStoreError(
                f"the service claims to hold the records below {held}, and was sent those from {first} to {last}; "
                f"does something else write as {origin.writer_id}? The records wait in the journal"
            )
        self._expected[origin.writer_id] = held

    def _held(self, answer: bytes) -> int:
        """The ``next`` of an answer; anything else is no answer."""
        told = json_of(answer, self.connection.url)
        held = told.get("next") if isinstance(told, dict) else None
        if type(held) is not int or not 0 <= held < _LIMIT:
            raise ServiceUnavailableError(
                f"what answered at {self.connection.url} is no Quark service; is QUARK_PERSISTENCE_URL right?"
            )
        return held


def _instead_of(part: RecordBatch, error: RefusedError, rejected: list[tuple[bytes, str]]) -> list[RecordBatch]:
    """What to send in place of a refused part; raises the refusal if it is not for its records."""
    lines = part.data.splitlines(keepends=True)
    if error.status == 413 and len(lines) > 1:
        return _halves(part, lines)
    index = 0 if error.status == 413 else error.index if error.status == 422 else None
    if type(index) is not int or not 0 <= index < len(lines):
        raise error
    rejected.append((lines.pop(index), str(error)))
    return [RecordBatch(part.origin, part.first, part.stop, b"".join(lines), part.dropped)]


def _packed(data: bytes) -> tuple[bytes, dict[str, str]]:
    headers = {"Content-Type": "application/x-ndjson"}
    if len(data) < PACKED_FROM:
        return data, headers
    encoding, compress = _compressor()
    return compress(data), {**headers, "Content-Encoding": encoding}


@cache
def _compressor() -> tuple[str, Callable[[bytes], bytes]]:
    """The fastest that is installed: zstd with the extra ``service``, else gzip."""
    try:
        import zstandard
    except ImportError:
        return "gzip", partial(gzip.compress, compresslevel=1)
    return "zstd", lambda data: zstandard.ZstdCompressor(level=1).compress(data)


def _halves(batch: RecordBatch, lines: list[bytes]) -> list[RecordBatch]:
    middle = len(lines) // 2
    border = sequence_of(lines[middle]) or batch.first
    return [
        RecordBatch(batch.origin, batch.first, border, b"".join(lines[:middle]), batch.dropped),
        RecordBatch(batch.origin, border, batch.stop, b"".join(lines[middle:])),
    ]
