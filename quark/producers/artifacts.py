"""Artifacts: histograms, snapshots and other payloads, stored as files with a digest."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

from ..core.reader import RecordFilter
from ..errors import ClosedError, RunNotFoundError, SchemaValidationError, WrongTypeError
from ..records.artifact import ArtifactRecord
from ..records.base import REFUSED, parse_timestamp, unrecorded
from ..records.foreign import described, shown, shown_name
from ..records.grammar import check_index, clean_json, index_or_none, one_of, to_float
from ..records.jsonable import json_object
from ..records.literals import PAYLOAD_FORMATS
from ..redaction import redact
from .attach import Attachment
from .events import one_or_many
from .naming import artifact_key_for
from .payload import decode_payload, encode_payload, size_of

RetentionHook = Callable[["ArtifactStore", ArtifactRecord], Any]


class ArtifactStore(Attachment):
    """Stores payloads of a run as files, each with a record that holds its size and SHA-256.

    Args:
        session: a TrainingSession, or the RunContext of one.
        retention_hooks: called as ``hook(store, record)`` after each stored artifact.
        raise_on_retention_error: whether a hook's exception is raised; the run's strict mode decides if omitted.
    """

    __module__ = "quark"

    def __init__(
        self,
        session: Any,
        *,
        retention_hooks: Sequence[RetentionHook] | None = None,
        raise_on_retention_error: bool | None = None,
    ) -> None:
        super().__init__(session)
        self._hooks = tuple(retention_hooks or ())
        for hook in self._hooks:
            if not callable(hook):
                raise WrongTypeError(f"a retention hook must be callable, got {shown(hook)}")
        self._raise = self._handle.strict if raise_on_retention_error is None else bool(raise_on_retention_error)

    def store(
        self,
        artifact_type: str,
        name: str,
        payload: Any,
        *,
        step: int | None = None,
        epoch: int | None = None,
        namespace: str | None = None,
        payload_format: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        timestamp: str | None = None,
    ) -> ArtifactRecord:
        """Store a payload: text for strings, bytes for bytes-like objects, else JSON, unless ``payload_format`` says.

        The file is complete and on the disk before its record is journaled.

        Raises:
            SchemaValidationError, WrongTypeError: strict mode, and the name breaks the grammar or the payload does
                not fit its format; otherwise it is refused, counted and warned about, and a record is returned whose
                ``refused`` is True, as if the disk did not take the file. Values that JSON cannot hold are converted
                outside strict mode, see ``jsonable``; images, figures, data frames and models are refused: save
                them to a file, and give its ``Path``.
        """
        try:
            self._check_open()
            kind = artifact_key_for(self._handle, artifact_type, what="artifact_type")
            key = artifact_key_for(self._handle, name, namespace)
            step, epoch = check_index(step, "step"), check_index(epoch, "epoch")
            extra = redact(json_object(metadata, "metadata", strict=self._handle.strict))
            chosen, content = encode_payload(payload, payload_format, strict=self._handle.strict)
            if timestamp is not None:
                parse_timestamp(timestamp)
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            self._handle.refuse(error, what=f"artifact {shown_name(name)}", subject=described(name))
            return self._refused(artifact_type, name, step, epoch)
        try:
            record = self._write(kind, key, content, chosen, step, epoch, extra, timestamp)
        except ClosedError as error:
            self._handle.refuse(error, what=f"artifact {shown_name(name)}", subject=described(name))
            return self._refused(artifact_type, name, step, epoch)
        except OSError as error:
            self._handle.report("artifact", error)
            if self._handle.strict:
                raise
            return self._refused(artifact_type, name, step, epoch)
        self._retain(record)
        return record

    def _refused(self, artifact_type: object, name: object, step: object, epoch: object) -> ArtifactRecord:
        key = described(name)
        fields = {
            "artifact_type": described(artifact_type), "artifact_name": key.rpartition("/")[2], "artifact_key": key,
            "payload_format": "bytes", "payload_relative_path": "", "metadata_relative_path": "", "size_bytes": 0,
            "sha256": "", "step": index_or_none(step), "epoch": index_or_none(epoch), "metadata": {},
        }  # fmt: skip
        return unrecorded(ArtifactRecord, self._handle.journal.origin, REFUSED, fields)

    def _write(
        self, kind: str, key: str, content: bytes | Path, payload_format: str, step: int | None, epoch: int | None,
        metadata: dict[str, Any], timestamp: str | None,
    ) -> ArtifactRecord:  # fmt: skip
        from ..storage.artifacts import write_payload

        if self._handle.disabled:
            relative, meta, size, digest = "off", "off", size_of(content), "0" * 64
        else:
            described = {
                "artifact_type": kind, "artifact_key": key, "payload_format": payload_format, "step": step,
                "epoch": epoch, "metadata": metadata,
            }  # fmt: skip
            relative, meta, size, digest = write_payload(
                Path(self._handle.run_path), kind, key, _file_id(), content, payload_format, described
            )
        namespace, _, name = key.rpartition("/")
        fields = {
            "artifact_type": kind, "namespace": namespace or None, "artifact_name": name, "artifact_key": key,
            "payload_format": payload_format, "payload_relative_path": relative, "metadata_relative_path": meta,
            "size_bytes": size, "sha256": digest, "metadata": metadata,
        }  # fmt: skip
        return self._handle.emit(ArtifactRecord, fields, step=step, epoch=epoch, timestamp=timestamp)

    def _retain(self, record: ArtifactRecord) -> None:
        for hook in self._hooks:
            try:
                hook(self, record)
            except Exception as error:
                if self._raise:
                    raise
                self._handle.report(f"retention_hook_{getattr(hook, '__name__', type(hook).__name__)}", error)

    def log_histogram(
        self,
        name: str,
        *,
        bins: Sequence[float],
        counts: Sequence[float],
        step: int | None = None,
        epoch: int | None = None,
        namespace: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        timestamp: str | None = None,
    ) -> ArtifactRecord:
        """Store a histogram: ``n + 1`` strictly rising bin edges and ``n`` counts of at least 0."""
        try:
            payload = _histogram(bins, counts)
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            self._handle.refuse(error, what=f"histogram {shown_name(name)}", subject=described(name))
            return self._refused("histogram", name, step, epoch)
        return self.store(
            "histogram", name, payload, step=step, epoch=epoch, namespace=namespace, payload_format="json",
            metadata=metadata, timestamp=timestamp,
        )  # fmt: skip

    def log_snapshot(
        self,
        name: str,
        payload: Any,
        *,
        snapshot_type: str = "batch_diagnostics_snapshot",
        step: int | None = None,
        epoch: int | None = None,
        namespace: str | None = None,
        payload_format: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        timestamp: str | None = None,
    ) -> ArtifactRecord:
        """Store a snapshot of some state under the artifact type ``snapshot_type``."""
        return self.store(
            snapshot_type, name, payload, step=step, epoch=epoch, namespace=namespace, payload_format=payload_format,
            metadata=metadata, timestamp=timestamp,
        )  # fmt: skip

    def read(
        self, *, artifact_id: str | None = None, artifact_type: str | None = None,
        artifact_types: Sequence[str] | None = None, namespace: str | None = None, artifact_name: str | None = None,
        artifact_key: str | None = None, payload_format: str | None = None, step: int | None = None,
        step_min: int | None = None, step_max: int | None = None, epoch: int | None = None,
        epoch_min: int | None = None, epoch_max: int | None = None, limit: int | None = None,
    ) -> tuple[ArtifactRecord, ...]:  # fmt: skip
        """The run's artifact records in the order of recording, the first ``limit`` of them; bounds are inclusive."""
        if payload_format is not None:
            one_of(payload_format, PAYLOAD_FORMATS, "payload_format")
        where = {
            "artifact_type": one_or_many(artifact_type, artifact_types, "artifact_type", "artifact_types"),
            "namespace": namespace, "artifact_name": artifact_name, "artifact_key": artifact_key,
            "payload_format": payload_format,
        }  # fmt: skip
        found = self._read(
            ArtifactRecord, where, RecordFilter(
                step=step, step_min=step_min, step_max=step_max, epoch=epoch, epoch_min=epoch_min, epoch_max=epoch_max,
                limit=None if artifact_id is not None else limit,
            ),
        )  # fmt: skip
        if artifact_id is None:
            return found
        return tuple(record for record in found if record.id == artifact_id)[:limit]

    def load(self, artifact: str | ArtifactRecord) -> Any:
        """The payload of an artifact, given its record or its id: JSON values, text or bytes, never objects.

        Raises:
            RunNotFoundError: no artifact of this run has the id.
            SessionStoreError: the file is missing, or its digest is not the recorded one.
        """
        from ..storage.artifacts import read_payload

        record = artifact
        if isinstance(artifact, str):
            found = self.read(artifact_id=artifact)
            if not found:
                run_id = self._handle.run_id
                raise RunNotFoundError(f"run {run_id} has no artifact {artifact!r}; see read() for its ids")
            record = found[0]
        if not isinstance(record, ArtifactRecord):
            raise WrongTypeError(f"load takes an ArtifactRecord or its id, got {shown(artifact)}")
        return decode_payload(read_payload(Path(self._handle.run_path), record), record.payload_format)

    def __enter__(self) -> "ArtifactStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _file_id() -> str:
    """The name of a payload's file: sorts by time, unique over processes."""
    return f"{time.time_ns():016x}-{os.urandom(4).hex()}"


def _histogram(bins: Any, counts: Any) -> dict[str, list[float]]:
    edges = [to_float(edge, "bins") for edge in bins]
    heights = [to_float(count, "counts") for count in counts]
    if len(edges) != len(heights) + 1:
        raise SchemaValidationError(
            f"a histogram has one more bin edge than counts, got {len(edges)} bins and {len(heights)} counts; "
            "pass the edges, as numpy.histogram returns them"
        )
    if any(not low < high for low, high in pairwise(edges)):
        raise SchemaValidationError(f"bins must rise strictly, got {shown(edges)}; sort them and drop duplicates")
    if any(not 0 <= height < float("inf") for height in heights):
        raise SchemaValidationError(f"counts must be finite and at least 0, got {shown(heights)}")
    clean_json(edges, "bins")
    return {"bins": edges, "counts": heights}
