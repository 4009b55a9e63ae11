"""Records to a Quark service, exactly once: how far it has come is what the service says, and nothing else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import orjson

from ..client.connection import Connection, RefusedError, namespace_of
from ..core.batch import RecordBatch
from ..core.lifecycle import RunManifest
from ..core.sink import Sink
from ..errors import SessionStoreError
from ..records.line import sequence_of

PART = 8 << 20
"""Bytes of an artifact that are sent at once; an upload that breaks off goes on behind the last whole part."""

PACKED_FROM = 1024


class ServiceSink(Sink):
    """Sends a run to a service. What the service cannot be told now waits in the journal.

    A line that the service refuses is set aside alone; a batch that is too large for it is halved. The payloads of
    artifacts are sent before their records, so that no record of a file without the file is ever held.

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
        self._run_id = ""
        self._run_path = Path()

    def __repr__(self) -> str:
        return f"ServiceSink({self.connection.url!r})"

    def on_start(self, manifest: RunManifest) -> None:
        """Learn which run it is; the service is not asked before there is something to send."""
        self._run_id = manifest.run_id
        self._run_path = Path(manifest.run_path)

    def position(self, writer_id: str) -> int | None:
        """The number that the service expects next of a writer."""
        path = f"/runs/{quote(self._run_id, safe='')}/writers/{quote(writer_id, safe='')}"
        return orjson.loads(self.connection.send("GET", path))["next"]

    def write(self, batch: RecordBatch) -> None:
        """Send a batch.

        Raises:
            ServiceUnavailableError: the service cannot be reached or asks for time.
            SessionStoreError: it does not know the key, or holds less than this batch builds on.
        """
        for part in _before_and_after_artifacts(batch):
            for digest, path in self._payloads(part):
                self._upload(digest, path)
            self._send(part)

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()

    def spec(self) -> dict[str, Any]:
        """Address and namespace; the key comes from QUARK_USER_KEY then."""
        return {"url": self.connection.url, "namespace": self.connection.namespace}

    def _send(self, batch: RecordBatch) -> None:
        origin = batch.origin
        path = f"/runs/{quote(origin.run_id, safe='')}/writers/{quote(origin.writer_id, safe='')}/records"
        query = {
            "first": batch.first, "stop": batch.stop, "rank": origin.rank, "attempt": origin.attempt,
            "dropped": batch.dropped,
        }  # fmt: skip
        body, headers = _packed(batch.data)
        try:
            _check_taken(self.connection.send("POST", path, query, body, headers), batch)
        except RefusedError as error:
            if error.status == 413 and batch.data.count(b"\n") > 1:
                for half in _halves(batch):
                    self._send(half)
            elif error.status in (413, 422) and (line := _line_at(batch, error.index or 0)) is not None:
                self._send(_without(batch, line, str(error)))
            else:
                raise

    def _payloads(self, batch: RecordBatch) -> Iterator[tuple[str, Path]]:
        if b'"kind":"artifact"' not in batch.data:
            return
        for record in batch.records():
            if record.kind == "artifact":
                yield record.sha256, self._run_path / record.payload_relative_path  # type: ignore[attr-defined]

    def _upload(self, digest: str, path: Path) -> None:
        """Send what the service lacks of a payload; a file that is gone is passed over, its record tells of it."""
        target = f"/runs/{quote(self._run_id, safe='')}/blobs/{digest}"
        if not path.is_file():
            return
        held = orjson.loads(self.connection.send("GET", target))
        total = path.stat().st_size
        at = 0 if held["size"] > total else held["size"]
        with path.open("rb") as file:
            file.seek(at)
            while not held["complete"]:
                part = file.read(PART)
                headers = {"Content-Range": f"bytes {at}-{at + len(part) - 1}/{total}"} if part else {}
                try:
                    held = orjson.loads(self.connection.send("PUT", target, body=part, headers=headers))
                except RefusedError as error:
                    if error.status in (413, 422):  # too large there, or changed since: the record goes without it
                        return
                    raise
                at += len(part)
                if not part:
                    return


def _check_taken(answer: bytes, batch: RecordBatch) -> None:
    try:
        held = int(orjson.loads(answer)["next"])
    except (ValueError, KeyError, TypeError) as error:
        raise SessionStoreError("what answered is no Quark service; is QUARK_PERSISTENCE_URL right?") from error
    if held < batch.stop:
        raise SessionStoreError(
            f"the service holds the records below {held} after it was sent those below {batch.stop}"
        )


def _packed(data: bytes) -> tuple[bytes, dict[str, str]]:
    headers = {"Content-Type": "application/x-ndjson"}
    if len(data) < PACKED_FROM:
        return data, headers
    import zstandard

    return zstandard.ZstdCompressor(level=1).compress(data), {**headers, "Content-Encoding": "zstd"}


def _before_and_after_artifacts(batch: RecordBatch) -> Iterator[RecordBatch]:
    """The batch in parts that each begin with an artifact at most: its run must be there before a payload can be."""
    if b'"kind":"artifact"' not in batch.data:
        yield batch
        return
    first, lines = batch.first, []
    for raw in batch.data.splitlines(keepends=True):
        if raw.startswith(b'{"kind":"artifact"') and lines:
            stop = sequence_of(raw) or first
            yield RecordBatch(batch.origin, first, stop, b"".join(lines), batch.dropped)
            first, lines = stop, []
        lines.append(raw)
    yield RecordBatch(batch.origin, first, batch.stop, b"".join(lines), batch.dropped)


def _halves(batch: RecordBatch) -> Iterator[RecordBatch]:
    lines = batch.data.splitlines(keepends=True)
    middle = len(lines) // 2
    border = sequence_of(lines[middle]) or batch.first
    yield RecordBatch(batch.origin, batch.first, border, b"".join(lines[:middle]), batch.dropped)
    yield RecordBatch(batch.origin, border, batch.stop, b"".join(lines[middle:]), batch.dropped)


def _line_at(batch: RecordBatch, index: int) -> bytes | None:
    lines = batch.data.splitlines(keepends=True)
    return lines[index] if 0 <= index < len(lines) else None


def _without(batch: RecordBatch, line: bytes, reason: str) -> RecordBatch:
    batch.rejected.append((line, reason))
    kept = b"".join(raw for raw in batch.data.splitlines(keepends=True) if raw != line)
    rest = RecordBatch(batch.origin, batch.first, batch.stop, kept, batch.dropped)
    rest.rejected = batch.rejected
    return rest
