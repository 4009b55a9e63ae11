"""A stored file: what it is, where it lies, and its digest."""

import os
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar

from .base import Record, frozen, kind
from .fields import Bytes, Epoch, Metadata, Step, Text, says
from .literals import PayloadFormat

ARTIFACT_STORAGE_LAYOUT = {
    "payload": "artifacts/{artifact_type}/{artifact_key}/{id}.{extension}",
    "metadata": "artifacts/{artifact_type}/{artifact_key}/{id}.meta.json",
    "extension": {"json": "json", "text": "txt", "bytes": "bin"},
}
"""Where an artifact lies below the run's directory (``session.run_path``), as POSIX paths."""


@kind
@frozen
class ArtifactRecord(Record):
    """Metadata of a stored artifact; the payload is a file beside it."""

    kind: ClassVar[str] = "artifact"
    label_field: ClassVar[str | None] = "artifact_key"
    named: ClassVar[bool] = True

    artifact_type: Annotated[Text, says("what it holds, such as histogram or checkpoint_metadata")]
    namespace: Annotated[str | None, says("the part of the key before its last slash; null for a bare name")] = None
    artifact_name: Annotated[Text, says("the part of the key after its last slash")]
    artifact_key: Annotated[Text, says("full name: namespace, a slash, artifact name")]
    payload_format: Annotated[PayloadFormat, says("json, text or bytes")]
    payload_relative_path: Annotated[Text, says("payload file, relative to the run's directory")]
    metadata_relative_path: Annotated[Text, says("metadata file, relative to the run's directory")]
    size_bytes: Annotated[Bytes, says("size of the payload, bytes")]
    sha256: Annotated[str, says("SHA-256 of the payload, 64 hexadecimal digits")]
    step: Step | None = None
    epoch: Epoch | None = None
    metadata: Metadata

    def payload_in(self, run_path: str | os.PathLike[str]) -> Path | None:
        """The payload below the run's directory; None if there is no such file, or a link or ``..`` leads elsewhere."""
        relative = PurePosixPath(self.payload_relative_path)
        path = Path(run_path)
        if relative.is_absolute() or ".." in relative.parts or "\0" in self.payload_relative_path:
            return None
        for part in ("", *relative.parts):
            path = path / part
            if path.is_symlink():
                return None
        return path if path.is_file() else None
