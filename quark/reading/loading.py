"""The payloads of a run's artifacts, as they were stored or decoded."""

from typing import Any

from ..errors import RunNotFoundError, WrongTypeError
from ..producers.payload import decode_payload
from ..records.artifact import ArtifactRecord
from ..records.grammar import shown
from ..records.run import RunRecord
from .source import Payloads


class Loading:
    """The part of a RunView that reads files of artifacts."""

    record: RunRecord
    _payloads: Payloads

    def artifacts(self) -> tuple[ArtifactRecord, ...]:
        """Its artifacts; a RunView knows how."""
        raise NotImplementedError("a reader of payloads defines artifacts")

    def load(self, artifact: str | ArtifactRecord) -> Any:
        """The payload of an artifact, given its record or its id: JSON values, text or bytes, never objects.

        Raises:
            RunNotFoundError: the run has no artifact of this id.
            SessionStoreError: the file is missing, or its digest is not the recorded one.
        """
        record = self._artifact(artifact, "load")
        return decode_payload(self._payloads(self.record, record), record.payload_format)

    def load_bytes(self, artifact: str | ArtifactRecord) -> bytes:
        """The payload of an artifact as the bytes that were stored; raises as ``load``."""
        return self._payloads(self.record, self._artifact(artifact, "load_bytes"))

    def _artifact(self, artifact: Any, what: str) -> ArtifactRecord:
        record = artifact
        if isinstance(artifact, str):
            record = next((found for found in self.artifacts() if found.id == artifact), None)
            if record is None:
                raise RunNotFoundError(
                    f"run {self.record.id} has no artifact {artifact!r}; artifacts() lists its ids",
                    code="artifact_not_found",
                )
        if not isinstance(record, ArtifactRecord):
            raise WrongTypeError(f"{what} takes an ArtifactRecord or its id, got {shown(artifact)}")
        return record
