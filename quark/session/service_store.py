"""The low-level client of a service: runs, records and artifacts by single calls, for tools, migrations and tests."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast

from ..client.connection import Connection, namespace_of
from ..client.remote import RemoteStore
from ..core.handle import RunHandle
from ..errors import InvalidRunStateError, RunNotFoundError
from ..producers.events import log_event, log_message
from ..producers.payload import decode_payload, encode_payload
from ..records.analysis import AlertRecord, HealthScoreRecord, PhaseRecord
from ..records.artifact import ArtifactRecord
from ..records.base import Record
from ..records.batch import BatchDiagnosticRecord
from ..records.event import EventRecord
from ..records.grammar import one_of, shown
from ..records.jsonable import json_object
from ..records.layer import LayerSummaryRecord
from ..records.metric import MetricRecord
from ..records.run import ProjectRecord, RunContext
from ..records.telemetry import SystemTelemetryRecord
from .checks import check_tag
from .direct import DirectRun, described_artifact, filter_of, started_run, time_now

R = TypeVar("R", bound=Record)
Given = Iterable[Record | Mapping[str, Any]]
"""Records, or mappings of their fields; ``sequence`` may hold a number that was allocated, ``timestamp`` a time."""

_REASONS = {"completed": "completed", "failed": "error", "interrupted": "interrupted"}


class LocalSessionStore:
    """A service by single calls: each is stored when it returns, and raises when it is not.

    A training loop is better served by ``start_run``, which never waits for the service. Records are written in batches
    that are stored whole or not at all; reading takes the filters of the producers' ``read``.

    Args:
        storage_dir: the storage namespace, as runs are started with it; QUARK_STORAGE_DIR if None.
        base_url: address of the service; QUARK_PERSISTENCE_URL if None.
        user_key: the key; QUARK_USER_KEY if None.
        auth_mode: how the key travels, ``header`` or ``bearer``; QUARK_PERSISTENCE_AUTH_MODE if None.
        timeout_seconds: seconds that a request may take; QUARK_PERSISTENCE_TIMEOUT_SECONDS if None.

    Raises (every method):
        RunNotFoundError: there is no such run.
        InvalidRunStateError: the run's status does not allow it.
        SessionStoreError: the service refuses or cannot be reached; ``status`` and ``code`` say how.
        SchemaValidationError, WrongTypeError: an argument breaks a rule; nothing was sent.
    """

    __module__ = "quark"

    def __init__(
        self, storage_dir: str | Path | None = None, *, base_url: str | None = None, user_key: str | None = None,
        auth_mode: str | None = None, timeout_seconds: float | None = None,
    ) -> None:  # fmt: skip
        self._connection = Connection(
            base_url, user_key=user_key, auth_mode=auth_mode, timeout_s=timeout_seconds,
            namespace=namespace_of(storage_dir),
        )  # fmt: skip
        self._store = RemoteStore(self._connection)
        self._runs: dict[str, DirectRun] = {}

    # Runs

    def create_run(
        self, *, project: str, config: Mapping[str, Any] | None = None, tags: Iterable[str] | None = None,
        parent_run_id: str | None = None, strict_mode: bool = False, name: str | None = None, run_id: str | None = None,
    ) -> RunContext:  # fmt: skip
        """Start a run; its end is the caller's to tell with ``end_run``. An id that is taken is refused."""
        root = None if parent_run_id is None else self._store.run(parent_run_id).lineage_root_run_id
        run = started_run(project, config, tags, parent_run_id, root, strict_mode, name, run_id)
        if run_id is not None and self._has(run_id):
            raise InvalidRunStateError(
                f"there is a run {run_id!r} already; resume it, or leave run_id out", status=409, code="run_exists"
            )
        context = self._context(run)
        handle = self._runs[run.id] = DirectRun(self._connection, run.id, 1, self._store)
        content = {"project": context.project.to_dict(), "run": run.to_dict(), "rank": 0, "world_size": 1}
        handle.lifecycle("start", content)
        log_event(cast("RunHandle", handle), "run_started", payload={"project": run.project_name})
        return self.load_run(run.id)

    def load_run(self, run_id: str) -> RunContext:
        """The run as it is now; a status ``active`` of the service reads ``running``."""
        return self._context(self._store.run(run_id))

    def resume_run(self, run_id: str) -> RunContext:
        """Go on with a run that failed or was interrupted, as a further attempt."""
        run = self._store.run(run_id)
        if run.status in ("completed", "running"):
            raise InvalidRunStateError(
                f"run {run_id} is {run.status} and cannot be resumed", status=409, code="invalid_run_state"
            )
        attempt = run.resume_count + 2
        handle = self._runs[run_id] = DirectRun(self._connection, run_id, attempt, self._store)
        handle.lifecycle("resume", {"attempt": attempt, "resumed_at": time_now()})
        log_event(cast("RunHandle", handle), "run_resumed", payload={"attempt": attempt})
        return self.load_run(run_id)

    def end_run(self, run_id: str, status: str = "completed") -> RunContext:
        """End a run as completed, failed or interrupted; again with the same status changes nothing."""
        reason = _REASONS[one_of(status, tuple(_REASONS), "status")]
        context = self.load_run(run_id)
        if context.status == status:
            return context
        if context.status != "running":
            raise InvalidRunStateError(
                f"run {run_id} has ended as {context.status}; it cannot end as {status}", status=409,
                code="invalid_run_state",
            )  # fmt: skip
        handle = self._handle(run_id)
        log_event(cast("RunHandle", handle), "run_ended", status=status, payload={"reason": reason})
        handle.lifecycle("end", {"status": status, "reason": reason, "ended_at": time_now()})
        return self.load_run(run_id)

    def add_tag(self, run_id: str, tag: str) -> RunContext:
        """Add a tag; one that is there already changes nothing."""
        self._handle(run_id).lifecycle("tag", {"tag": check_tag(tag)})
        return self.load_run(run_id)

    def add_log(
        self, run_id: str, message: str, *, identifier: str | None = "Info", step: int | None = None,
        epoch: int | None = None, status: str | None = None, payload: Mapping[str, Any] | None = None,
        timestamp: str | None = None, event_type: str = "user_log",
    ) -> EventRecord:  # fmt: skip
        """A log message with the identifier Debug, Info, Warning or Error."""
        return log_message(
            cast("RunHandle", self._handle(run_id)), message, identifier=identifier, step=step, epoch=epoch,
            status=status, payload=json_object(payload, "payload", strict=False), timestamp=timestamp,
            event_type=event_type,
        )  # fmt: skip

    # Sequence numbers: one row for all kinds of a run's records

    def allocate_event_sequence(self, run_id: str) -> int:
        """A sequence number for an event that is written later."""
        return self._handle(run_id).writer.allocate()

    allocate_metric_sequence = allocate_event_sequence
    allocate_system_telemetry_sequence = allocate_event_sequence

    def get_next_layer_summary_sequence(self, run_id: str) -> int:
        """The sequence number that the next record gets, of whatever kind."""
        return self._handle(run_id).writer.next

    get_next_batch_diagnostic_sequence = get_next_layer_summary_sequence
    get_next_artifact_sequence = get_next_layer_summary_sequence

    # Records

    def write_events(self, run_id: str, events: Given) -> tuple[EventRecord, ...]:
        """Store events; they come back with their ids and sequence numbers."""
        return self._handle(run_id).write(EventRecord, events)

    def read_events(self, run_id: str, **filters: Any) -> tuple[EventRecord, ...]:
        """Events by event_type, event_types, severity, step and epoch with their bounds, limit."""
        return self._read(run_id, EventRecord, filters)

    def write_scalar_metrics(self, run_id: str, metrics: Given) -> tuple[MetricRecord, ...]:
        """Store metrics."""
        return self._handle(run_id).write(MetricRecord, metrics)

    def read_scalar_metrics(self, run_id: str, **filters: Any) -> tuple[MetricRecord, ...]:
        """Metrics by metric_key, namespace, metric_name, step and epoch with their bounds, limit."""
        return self._read(run_id, MetricRecord, filters)

    def write_system_telemetry(self, run_id: str, records: Given) -> tuple[SystemTelemetryRecord, ...]:
        """Store telemetry."""
        return self._handle(run_id).write(SystemTelemetryRecord, records)

    def read_system_telemetry(self, run_id: str, **filters: Any) -> tuple[SystemTelemetryRecord, ...]:
        """Telemetry by boundary, step and epoch with their bounds, limit."""
        return self._read(run_id, SystemTelemetryRecord, filters)

    def write_layer_summaries(self, run_id: str, records: Given) -> tuple[LayerSummaryRecord, ...]:
        """Store layer summaries."""
        return self._handle(run_id).write(LayerSummaryRecord, records)

    def read_layer_summaries(self, run_id: str, **filters: Any) -> tuple[LayerSummaryRecord, ...]:
        """Layer summaries by module_name, module_type, summary_type, hook_direction, step and epoch, limit."""
        return self._read(run_id, LayerSummaryRecord, filters)

    def write_batch_diagnostics(self, run_id: str, records: Given) -> tuple[BatchDiagnosticRecord, ...]:
        """Store batch diagnostics."""
        return self._handle(run_id).write(BatchDiagnosticRecord, records)

    def read_batch_diagnostics(self, run_id: str, **filters: Any) -> tuple[BatchDiagnosticRecord, ...]:
        """Batch diagnostics by step and epoch with their bounds, limit."""
        return self._read(run_id, BatchDiagnosticRecord, filters)

    # Artifacts

    def persist_artifact(
        self, run_id: str, *, artifact_type: str, name: str, payload: Any, namespace: str | None = None,
        payload_format: str | None = None, step: int | None = None, epoch: int | None = None,
        metadata: Mapping[str, Any] | None = None, timestamp: str | None = None,
    ) -> ArtifactRecord:  # fmt: skip
        """Store a payload, then its record: text for strings, bytes for bytes-like objects, else JSON."""
        chosen, content = encode_payload(payload, payload_format)
        if isinstance(content, Path):
            content = content.read_bytes()
        fields = described_artifact(artifact_type, name, namespace, chosen, content, metadata)
        handle = self._handle(run_id)
        handle.upload(fields["sha256"], content)
        return handle.emit(ArtifactRecord, fields, step=step, epoch=epoch, timestamp=timestamp)

    def read_artifacts(self, run_id: str, **filters: Any) -> tuple[ArtifactRecord, ...]:
        """Artifacts by artifact_type, artifact_types, namespace, artifact_name, artifact_key, payload_format, limit."""
        return self._read(run_id, ArtifactRecord, filters)

    def load_artifact_payload(self, run_id: str, artifact: str | ArtifactRecord) -> Any:
        """The payload of an artifact, given its record or its id: JSON values, text or bytes."""
        found = [one for one in self.read_artifacts(run_id) if one.id == getattr(artifact, "id", artifact)]
        if not found:
            raise RunNotFoundError(
                f"run {run_id} has no artifact {shown(artifact)}", status=404, code="artifact_not_found"
            )
        content = self._store.payload(self._store.run(run_id), found[0])
        if hashlib.sha256(content).hexdigest() != found[0].sha256:
            raise InvalidRunStateError(
                f"the payload of {shown(artifact)} is not what was recorded", code="wrong_digest"
            )
        return decode_payload(content, found[0].payload_format)

    # Analysis

    def write_analysis_outputs(
        self, run_id: str, *, alerts: Given = (), health_scores: Given = ()
    ) -> tuple[tuple[AlertRecord, ...], tuple[HealthScoreRecord, ...]]:
        """Store alerts and health scores in the place of all earlier ones, at once."""
        handle = self._handle(run_id)
        found = handle.replace({AlertRecord: alerts, HealthScoreRecord: health_scores})
        return found[AlertRecord], found[HealthScoreRecord]  # type: ignore[return-value]

    def read_alerts(self, run_id: str, **filters: Any) -> tuple[AlertRecord, ...]:
        """Alerts by rule_id, category, severity, limit."""
        return self._read(run_id, AlertRecord, filters)

    def read_health_scores(self, run_id: str, **filters: Any) -> tuple[HealthScoreRecord, ...]:
        """Health scores by score_key, category, status, limit."""
        return self._read(run_id, HealthScoreRecord, filters)

    def write_phases(self, run_id: str, phases: Given) -> tuple[PhaseRecord, ...]:
        """Store phases in the place of all earlier ones, at once."""
        return self._handle(run_id).replace({PhaseRecord: phases})[PhaseRecord]  # type: ignore[return-value]

    def read_phases(self, run_id: str, **filters: Any) -> tuple[PhaseRecord, ...]:
        """Phases by phase_name, limit."""
        return self._read(run_id, PhaseRecord, filters)

    # The connection

    def close(self) -> None:
        """Close the connections; a later call opens them again."""
        self._connection.close()

    def __enter__(self) -> "LocalSessionStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LocalSessionStore({self._connection.url!r}, namespace={self._connection.namespace!r})"

    def _handle(self, run_id: str) -> DirectRun:
        """What writes to a run; the service is asked whether it is there when it is first needed."""
        handle = self._runs.get(run_id)
        if handle is None:
            run = self._store.run(run_id)
            handle = self._runs[run_id] = DirectRun(self._connection, run_id, run.resume_count + 1, self._store)
        return handle

    def _read(self, run_id: str, cls: type[R], filters: Mapping[str, Any]) -> tuple[R, ...]:
        return tuple(self._store.records(run_id, cls.kind, filter_of(cls, filters)))  # type: ignore[arg-type]

    def _has(self, run_id: str) -> bool:
        try:
            self._store.run(run_id)
        except RunNotFoundError:
            return False
        return True

    def _context(self, run: Any) -> RunContext:
        project = ProjectRecord(
            id=run.project_id, name=run.project_name, root_path="", created_at=run.started_at, updated_at=run.updated_at
        )
        return RunContext(
            storage_dir=self._connection.namespace, store_root="", db_path=self._connection.url, project=project,
            run=replace(run),
        )  # fmt: skip
