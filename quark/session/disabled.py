"""The session of QUARK_DISABLE=1: every call does nothing; there is no thread, no file, no socket."""

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, TypeVar

from ..core.lifecycle import RunManifest
from ..delivery.health import Health
from ..errors import SessionStoreError
from ..records.base import Origin, Record, format_timestamp
from ..records.line import build
from ..records.run import ProjectRecord, RunContext, RunRecord, project_id
from .current import enter
from .loop import Stepper
from .session import TrainingSession

R = TypeVar("R", bound=Record)
_ORIGIN = Origin("disabled", "0-1-disabled")


class _NoJournal:
    """Takes every line and keeps none."""

    next = 0
    origin = _ORIGIN
    dropped = 0

    def put(self, number: int, line: bytes) -> bool:
        """Nothing is stored."""
        return True


class DisabledSession(TrainingSession):
    """A session that records nothing; the training code runs as it is."""

    disabled = True

    def __init__(self, project: str, config: Mapping[str, Any] | None = None) -> None:
        now = format_timestamp(time.time_ns())
        identity = project_id(project)
        self._context = RunContext(
            storage_dir="", store_root="", db_path="",
            project=ProjectRecord(id=identity, name=project, root_path="", created_at=now, updated_at=now),
            run=RunRecord(
                id="disabled", project_id=identity, project_name=project, status="running",
                lineage_root_run_id="disabled", run_path="", config={}, environment={}, started_at=now, updated_at=now,
            ),
        )  # fmt: skip
        self._manifest = RunManifest(run_id="disabled", project=project)
        self._origin = _ORIGIN
        self._health = Health()
        self.journal = _NoJournal()  # type: ignore[assignment]
        self.known_keys = set()
        self.strict = False
        self.stop_requested = False
        self.stop_step = None
        self._stepper = Stepper(self)
        self._reason = None
        self._signal = None
        self.attached = []
        self._reader = None
        self._forked = False
        enter(self)
        self.config.update(config or {})  # the program may read its settings from here

    def log(self, values: Mapping[str, Any], *, step: int | None = None, epoch: int | None = None) -> None:
        """Nothing."""

    def log_values(self, values: Mapping[str, Any], *, step: int | None = None, epoch: int | None = None) -> None:
        """Nothing."""

    def step(
        self, step: int, metrics: Mapping[str, Any] | None = None, *, epoch: int | None = None,
        worker_id: int | str | None = None,
    ) -> None:  # fmt: skip
        """Nothing."""

    def steps(self, iterable: Any, **options: Any) -> Iterator[Any]:
        """The iterable, until a stop is asked for."""
        for batch in iterable:
            if self.stop_requested:
                return
            yield batch

    async def asteps(self, iterable: Any, **options: Any) -> AsyncIterator[Any]:
        """The iterable, until a stop is asked for."""
        async for batch in iterable:
            if self.stop_requested:
                return
            yield batch

    def declare(self, tasks: Any, criterion: Any, workers: Any) -> None:
        """Nothing."""

    def emit(
        self, cls: type[R], fields: Mapping[str, Any], *, step: int | None = None, epoch: int | None = None,
        timestamp: str | None = None,
    ) -> R:  # fmt: skip
        """A record that nobody keeps."""
        given = {**fields, **{k: v for k, v in (("step", step), ("epoch", epoch)) if v is not None}}
        return build(cls, _ORIGIN, 0, time.time_ns(), given)

    def lifecycle(self, action: str, body: Mapping[str, Any]) -> None:
        """Nothing."""

    def defer(self, key: str, value: Any, step: int | None, epoch: int | None, time: int) -> None:
        """Nothing."""

    def offer(self) -> None:
        """Nothing."""

    def refuse(self, error: Exception, *, what: str) -> None:
        """Nothing."""

    def report(self, cause: str, error: BaseException | str | None = None) -> None:
        """Nothing."""

    def add_tracker(self, tracker: Any, *, name: str | None = None) -> Any:
        """The tracker, untold."""
        return tracker

    def set_progress(self, *arguments: Any, **options: Any) -> None:
        """Nothing."""

    def latest_checkpoint(self) -> None:
        """There is none."""

    def watch(self, model: Any, optimizer: Any = None, **options: Any) -> Any:
        """Nothing is watched."""

    def flush(self, timeout_s: float | None = None) -> bool:
        """There is nothing to wait for."""
        return True

    def reader(self) -> Any:
        """There is nothing to read.

        Raises:
            SessionStoreError: always.
        """
        raise SessionStoreError("recording is off (QUARK_DISABLE), so there is nothing to read; unset the variable")

    def reload(self) -> RunContext:
        """The context as it is."""
        return self._context

    def health(self) -> dict[str, Any]:
        """Nothing is recorded and nothing fails."""
        return {"run_id": self.run_id, "recorded": 0, "dropped": 0, "on_device": 0, "sinks": {}, "faults": {}}

    def finish(self, reason: str, *, timeout_s: float | None = None) -> None:
        """Only the status changes."""
        if self._reason is None:
            self._reason = reason
            self.mark_ended(reason)
            self._leave()
