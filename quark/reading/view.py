"""A run as it is read: what it is, its metrics as arrays and tables, its records and its artifacts."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, TypeVar, Unpack

from ..analysis.verdict import Verdict, roles_from, verdict_from, verdict_of
from ..core.choice import Texts
from ..core.control import DEFAULT_GRACE_S, Alive, RunControl, check_grace
from ..core.reader import RecordFilter, StoreReader
from ..errors import InvalidRunStateError
from ..producers.reports import Checkpoint
from ..records.analysis import AlertRecord, HealthScoreRecord, PhaseRecord
from ..records.artifact import ArtifactRecord
from ..records.base import Origin, Record
from ..records.batch import BatchDiagnosticRecord
from ..records.event import EventRecord
from ..records.grammar import one_of
from ..records.kinds import KINDS
from ..records.layer import LayerSummaryRecord
from ..records.literals import ANALYZED
from ..records.metric import MetricRecord
from ..records.naming import by_keys
from ..records.parameter import ParameterSummaryRecord
from ..records.run import RunRecord
from ..records.telemetry import SystemTelemetryRecord
from .checkpoints import Bounds, checkpoints
from .editing import Editing
from .loading import Loading
from .measured import Measured
from .source import Payloads
from .told import Told

R = TypeVar("R", bound=Record)


class RunView(Measured, Told, Loading, Editing):
    """A run of a store, as it was when it was looked up; ``refresh`` looks again. Records are read when asked for.

    ``records`` streams; the shorthands ``metrics``, ``events``, ... give a tuple of all that match, in the order in
    which the store received them.
    """

    __module__ = "quark"

    def __init__(
        self, reader: StoreReader, record: RunRecord, payloads: Payloads, alive: Alive | None = None,
        files: Callable[[str], Path] | None = None,
    ) -> None:  # fmt: skip
        self._reader = reader
        self._files = files
        self._payloads = payloads
        self._alive = alive
        self.record = record

    # What it is

    @property
    def reader(self) -> StoreReader:
        """The store that it is read from."""
        return self._reader

    @property
    def files(self) -> Path:
        """The directory of its files on this machine."""
        return Path(self.record.run_path) if self._files is None else self._files(self.id)

    @property
    def id(self) -> str:
        """Identity of the run."""
        return self.record.id

    @property
    def name(self) -> str | None:
        """Its name for people, if it has one."""
        return self.record.name

    @property
    def project(self) -> str:
        """Name of its project."""
        return self.record.project_name

    @property
    def status(self) -> str:
        """running, completed, failed or interrupted."""
        return self.record.status

    @property
    def reason(self) -> str | None:
        """Why it ended, such as completed, error or lost; None while it runs."""
        return self.record.reason

    @property
    def config(self) -> dict[str, Any]:
        """Its configuration, secrets redacted."""
        return self.record.config

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags."""
        return self.record.tags

    @property
    def environment(self) -> dict[str, Any]:
        """Host, user, packages, hardware and command at the start."""
        return self.record.environment

    @property
    def started_at(self) -> str:
        """When it started, RFC 3339 in UTC."""
        return self.record.started_at

    @property
    def ended_at(self) -> str | None:
        """When it ended; None while it runs."""
        return self.record.ended_at

    @property
    def user_id(self) -> str | None:
        """Login name of who started it; None for a run of which nobody captured it."""
        return self.environment.get("user")

    @property
    def version(self) -> str | None:
        """Version of its code: the commit of the working directory at the start; None outside a repository."""
        return self.record.git_commit

    @property
    def resources(self) -> dict[str, Any]:
        """What it started on: ``cpu_count``, ``memory_bytes`` and the names of the ``gpus``; None where not known."""
        return {name: self.environment.get(name) for name in ("cpu_count", "memory_bytes", "gpus")}

    @property
    def status_updated_at(self) -> str:
        """When its status last changed: its end, else the start of its latest attempt; looked up if it was resumed."""
        if self.ended_at is not None or not self.record.resume_count:
            return self.ended_at or self.started_at
        resumed = self.events("run_resumed", sort="-arrival", limit=1)
        return resumed[0].timestamp if resumed else self.started_at

    def refresh(self) -> Self:
        """Look the run up again: its status, tags and end may have changed. Returns itself."""
        self.record = self._reader.run(self.id)
        return self

    def writers(self) -> tuple[tuple[Origin, int], ...]:
        """The processes that wrote it, in the order of their arrival, each with the sequence number expected next."""
        return tuple(self._reader.writers(self.id))

    # Control from afar

    def control(self) -> RunControl:
        """Signs of life, and the requests that wait for the run; looked up now."""
        return self._reader.control(self.id)

    @property
    def stale(self) -> bool:
        """Whether it should be running and shows no sign of life: looked up now.

        In a service: no heartbeat for three of its intervals. In a folder: no process holds its journal.
        """
        if self.status != "running":
            return False
        return not self._alive(self.id) if self._alive is not None else self.control().stale

    @property
    def last_seen(self) -> str:
        """When it last showed a sign of life, RFC 3339 in UTC: its last heartbeat, else what was last said of it."""
        return max(self.control().last_seen or "", self.record.updated_at)

    def stop(self, grace_period_s: float | timedelta = DEFAULT_GRACE_S) -> RunControl:
        """Ask it to stop after its current step. It hears of it with its next heartbeat.

        Args:
            grace_period_s: seconds or a timedelta, at least 1 s, that it has to end by itself; past it ``quark run``
                ends the process.

        Raises:
            InvalidRunStateError: it has ended.
            SchemaValidationError, WrongTypeError: a grace period that cannot be used.
        """
        return self._reader.request_stop(self.id, check_grace(grace_period_s))

    def restart(self, grace_period_s: float | timedelta = DEFAULT_GRACE_S) -> RunControl:
        """Ask the ``quark run`` that started it to start it anew: the same run, its history kept.

        Args:
            grace_period_s: seconds or a timedelta, at least 1 s, from SIGTERM to SIGKILL.

        Raises:
            InvalidRunStateError: it has ended, or ``quark run`` did not start it.
            SchemaValidationError, WrongTypeError: a grace period that cannot be used.
        """
        if not self.environment.get("launcher"):
            raise InvalidRunStateError(
                f"run {self.id} was not started by `quark run`, so nobody could start it anew; stop it, and resume it"
            )
        return self._reader.request_restart(self.id, check_grace(grace_period_s))

    def delete(self) -> None:
        """Hide it: it is in no list any more. ``Store.restore`` brings it back, ``Store.purge`` removes it for good.

        Raises:
            InvalidRunStateError: it is running.
        """
        self._reader.delete_run(self.id)

    # Records

    def records(self, kind: str, where: RecordFilter | None = None) -> Iterator[Record]:
        """The records of a kind one by one.

        Args:
            kind: the kind's name, such as metric, event, telemetry or layer.
            where: bounds and fields that restrict them.
        """
        return self._reader.records(self.id, one_of(kind, KINDS, "kind"), _keyed(where))

    def records_page(
        self, kind: str, where: RecordFilter | None = None, limit: int = 1000
    ) -> tuple[tuple[Record, ...], int | None]:
        """Up to ``limit`` records of a kind, and the ``RecordFilter.after`` for those behind them; None at the end."""
        found, cursor = self._reader.records_page(self.id, one_of(kind, KINDS, "kind"), _keyed(where), limit)
        return tuple(found), cursor

    def _all(self, cls: type[R], where: Mapping[str, Any], bounds: Mapping[str, Any]) -> tuple[R, ...]:
        wanted = {name: value for name, value in where.items() if value is not None}
        return tuple(self.records(cls.kind, RecordFilter(where=wanted, **bounds)))  # type: ignore[return-value]

    def metrics(
        self, metric_key: str | None = None, *, namespace: str | None = None, metric_name: str | None = None,
        **bounds: Unpack[Bounds],
    ) -> tuple[MetricRecord, ...]:  # fmt: skip
        """Points of metrics as records; ``series`` gives them as arrays, and faster."""
        where = {"metric_key": metric_key, "namespace": namespace, "metric_name": metric_name}
        return self._all(MetricRecord, where, bounds)

    def events(
        self, event_type: str | tuple[str, ...] | None = None, *, severity: str | tuple[str, ...] | None = None,
        **bounds: Unpack[Bounds],
    ) -> tuple[EventRecord, ...]:  # fmt: skip
        """Events and log messages; ``sort="-timestamp", limit=20`` gives the newest ones."""
        return self._all(EventRecord, {"event_type": event_type, "severity": severity}, bounds)

    def checkpoints(
        self, *, ids: Texts = None, status: Texts = None, **bounds: Unpack[Bounds]
    ) -> tuple[Checkpoint, ...]:
        """Its checkpoints, incomplete ones too; of one place only what was written there last.

        Args:
            ids: identities of checkpoints.
            status: ``complete``, ``incomplete`` or both.
        """
        return tuple(checkpoints(self._reader, bounds, {"run": self.id, "ids": ids, "status": status}))

    def telemetry(self, *, boundary: str | None = None, **bounds: Unpack[Bounds]) -> tuple[SystemTelemetryRecord, ...]:
        """What the machine did."""
        return self._all(SystemTelemetryRecord, {"boundary": boundary}, bounds)

    def alerts(
        self, *, rule_id: str | None = None, category: str | None = None,
        severity: str | tuple[str, ...] | None = None, **bounds: Unpack[Bounds],
    ) -> tuple[AlertRecord, ...]:  # fmt: skip
        """What is or was wrong."""
        return self._all(AlertRecord, {"rule_id": rule_id, "category": category, "severity": severity}, bounds)

    def artifacts(
        self, *, artifact_type: str | tuple[str, ...] | None = None, artifact_key: str | None = None,
        namespace: str | None = None, **bounds: Unpack[Bounds],
    ) -> tuple[ArtifactRecord, ...]:  # fmt: skip
        """Stored artifacts; ``load`` gives their payloads."""
        where = {"artifact_type": artifact_type, "artifact_key": artifact_key, "namespace": namespace}
        return self._all(ArtifactRecord, where, bounds)

    def layers(
        self, *, module_name: str | None = None, summary_type: str | None = None, watcher: str | None = None,
        **bounds: Unpack[Bounds],
    ) -> tuple[LayerSummaryRecord, ...]:  # fmt: skip
        """Statistics of layers; ``watcher`` picks those of one network among several."""
        where = {"module_name": module_name, "summary_type": summary_type, "watcher": watcher}
        return self._all(LayerSummaryRecord, where, bounds)

    def parameters(
        self, *, parameter_name: str | None = None, watcher: str | None = None, **bounds: Unpack[Bounds]
    ) -> tuple[ParameterSummaryRecord, ...]:
        """Norms of parameters, gradients and updates; ``watcher`` picks those of one network among several."""
        return self._all(ParameterSummaryRecord, {"parameter_name": parameter_name, "watcher": watcher}, bounds)

    def batches(self, *, sample_id: str | None = None, **bounds: Unpack[Bounds]) -> tuple[BatchDiagnosticRecord, ...]:
        """Diagnostics of batches; ``sample_id`` picks those that held a sample."""
        return self._all(BatchDiagnosticRecord, {"sample_id": sample_id}, bounds)

    def health_scores(self, *, score_key: str | None = None, **bounds: Unpack[Bounds]) -> tuple[HealthScoreRecord, ...]:
        """Scores of the run's health."""
        return self._all(HealthScoreRecord, {"score_key": score_key}, bounds)

    def verdict(self) -> Verdict | None:
        """What the last analysis said in one sentence, or what the alerts so far say; None without an analysis."""
        analyzed = self.events(ANALYZED)
        verdict = verdict_from(analyzed[-1].payload) if analyzed else None
        alerts = self.alerts()
        if verdict is not None and not any(alert.timestamp > analyzed[-1].timestamp for alert in alerts):
            return verdict
        overall = self.health_scores(score_key="overall")
        if overall:
            return verdict_of(alerts, overall[-1].status, overall[-1].score)
        return verdict_of(alerts) if alerts else None

    def roles(self) -> dict[str, str]:
        """Which metrics the last analysis took for what, such as the loss; empty without an analysis."""
        analyzed = self.events(ANALYZED)
        return roles_from(analyzed[-1].payload) if analyzed else {}

    def phases(self, *, phase_name: str | None = None, **bounds: Unpack[Bounds]) -> tuple[PhaseRecord, ...]:
        """Phases of the training."""
        return self._all(PhaseRecord, {"phase_name": phase_name}, bounds)

    def __repr__(self) -> str:
        named = f" {self.name!r}" if self.name else ""
        return f"<RunView {self.id}{named} of {self.project!r}: {self.status}>"

    def _repr_html_(self) -> str:
        from ..drawing.run import page_of

        return page_of(self.record, self._reader)


def _keyed(where: RecordFilter | None) -> RecordFilter | None:
    """The filter with the keys of the names in it."""
    return where if where is None or not where.where else replace(where, where=by_keys(where.where))
