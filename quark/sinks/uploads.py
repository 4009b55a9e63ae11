"""The payloads of artifacts to a Quark service, beside the records; an upload that breaks off goes on where it was."""

import hashlib
import os
import threading
from pathlib import Path
from typing import Any, ClassVar

from ..client.connection import Connection, namespace_of
from ..client.paths import path_of_run
from ..client.pause import Pause
from ..client.refusals import RefusedError, ServiceUnavailableError, json_of
from ..core.batch import RecordBatch
from ..core.lifecycle import RunManifest
from ..core.sink import Sink
from ..errors import SchemaValidationError
from ..records.line import line_of
from ..storage.artifacts import opened_payload
from .discovery import sink_from_spec

PART = 4 << 20
"""Bytes that are sent at once."""

ARRIVAL_WAIT_S = 1.0
"""How long the first upload waits for the run's records to be there."""


class ServiceFilesSink(Sink):
    """Reads the journal for artifacts and uploads their files; the companion of a ServiceSink.

    Its cursor in the journal is what says which uploads are still to be made, so that none is lost with the process.
    A file that is gone, too large for the service, or another than was recorded is set aside with the reason.

    Args:
        url, namespace, connection: as of ServiceSink.
        arrived: set when the service knows the run; None if it does already.
    """

    name: ClassVar[str] = "service-files"
    isolates: ClassVar[bool] = True

    def __init__(
        self, url: str | None = None, *, namespace: str | None = None, connection: Connection | None = None,
        arrived: threading.Event | None = None,
    ) -> None:  # fmt: skip
        where = namespace_of(None) if namespace is None else namespace
        self.connection = connection or Connection(url, namespace=where)
        self._pause = Pause(self.connection.clock, self.connection.rng)
        self._arrived = arrived
        self._stopped = False
        self._run_path = Path()

    def __reduce__(self) -> tuple[Any, ...]:
        return sink_from_spec, (self.name, self.spec())

    def __repr__(self) -> str:
        return f"ServiceFilesSink({self.connection.url!r})"

    def on_start(self, manifest: RunManifest) -> None:
        """Learn where the files are, and of which project."""
        self.connection.project = manifest.project
        self._run_path = Path(manifest.run_path)

    def write(self, batch: RecordBatch) -> None:
        """Upload what the service lacks of the batch's artifacts.

        Raises:
            ServiceUnavailableError: the service cannot be reached, asks for time, or does not know the run yet.
            SessionStoreError: it refuses.
        """
        if b'"kind":"artifact"' not in batch.data:
            return
        self._pause.check()
        if self._arrived is not None and not self._arrived.wait(ARRIVAL_WAIT_S):
            raise ServiceUnavailableError("the run's records have not reached the service yet; its files follow them")
        aside: list[tuple[bytes, str]] = []
        try:
            for record in batch.records():
                if record.kind == "artifact":
                    path = record.payload_relative_path  # type: ignore[attr-defined]
                    reason = self._upload(batch.origin.run_id, record.sha256, path)  # type: ignore[attr-defined]
                    if reason is not None:
                        aside.append((line_of(record) + b"\n", reason))
        except (ServiceUnavailableError, RefusedError) as error:
            self._pause.failed(error)
            raise
        self._pause.passed()
        batch.rejected += aside

    def interrupt(self) -> None:
        """The run's time is over: stop after the part that is on its way; the rest is for ``quark sync``."""
        self._stopped = True

    def close(self) -> None:
        """Close the connections."""
        self.connection.close()

    def spec(self) -> dict[str, Any]:
        """Address and namespace; the key comes from QUARK_USER_KEY then."""
        return {"url": self.connection.url, "namespace": self.connection.namespace}

    def _upload(self, run_id: str, digest: str, path: str) -> str | None:
        """Send what is lacking of a file; why it never can be sent, or None."""
        target = f"{path_of_run(run_id)}/blobs/{digest}"
        held, complete = self._held(self.connection.send("GET", target))
        if complete:
            return None
        try:
            with opened_payload(self._run_path, path) as file:
                total = os.fstat(file.fileno()).st_size
                held = 0 if held > total else held
                file.seek(held)
                while not complete:
                    if self._stopped:
                        raise ServiceUnavailableError("the run ended during the upload; it goes on later")
                    part = file.read(PART)
                    headers = {"Content-Range": f"bytes {held}-{held + len(part) - 1}/{total}"} if part else {}
                    held, complete = self._held(self.connection.send("PUT", target, body=part, headers=headers))
                    if not complete and not part:
                        return f"the file {path} became shorter while it was sent"
        except (OSError, SchemaValidationError) as error:
            return f"the file of the artifact cannot be read ({error})"
        except RefusedError as error:
            if error.status == 413 or (error.status == 422 and _digest(self._run_path, path) != digest):
                return str(error)
            raise  # bytes were mixed up on their way: the service has forgotten them, and they are sent again
        return None

    def _held(self, answer: bytes) -> tuple[int, bool]:
        told = json_of(answer, self.connection.url)
        if not isinstance(told, dict) or type(told.get("size")) is not int or type(told.get("complete")) is not bool:
            raise ServiceUnavailableError(
                f"what answered at {self.connection.url} is no Quark service; is QUARK_PERSISTENCE_URL right?"
            )
        return told["size"], told["complete"]


def _digest(run_path: Path, path: str) -> str | None:
    try:
        with opened_payload(run_path, path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
