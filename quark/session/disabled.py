"""Sessions that record nothing: that of QUARK_DISABLE=1, and the base of others. No thread, no file, no socket."""

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..core.lifecycle import RunManifest, StepState
from ..core.reader import StoreReader
from ..errors import QuarkError
from ..producers.device import DeviceValues
from ..records.base import Origin, Record, format_timestamp
from ..records.foreign import must_propagate
from ..records.jsonable import json_object
from ..records.line import build
from ..records.naming import RecordedNames
from ..records.run import ProjectRecord, RunContext, RunRecord, project_id
from ..sinks.discovery import sink_from
from ..sinks.memory import MemorySink
from .loop import Stepper
from .nothing import NoRecords
from .session import TrainingSession

R = TypeVar("R", bound=Record)


class NoJournal:
    """Takes every line and keeps none."""

    next = 0
    dropped = 0

    def __init__(self, origin: Origin) -> None:
        self.origin = origin

    def put(self, number: int, line: bytes) -> bool:
        """Nothing is stored."""
        return True

    def append(self, encode: Callable[[int], bytes]) -> int:
        """Nothing is stored."""
        return 0


class SilentSession(TrainingSession):
    """A session that records nothing; the training code runs as it is. What it reads is its subclass's."""

    disabled = True

    def __init__(self, context: RunContext) -> None:
        run = context.run
        self._context = context
        self._manifest = RunManifest(run_id=run.id, project=run.project_name, name=run.name, run_path=run.run_path)
        self._origin = Origin(run.id, "0-1-disabled")
        self._devices = DeviceValues()
        self.journal = NoJournal(self._origin)  # type: ignore[assignment]
        self.known_keys = set()
        self.names = RecordedNames()
        self.strict = False
        self._stepper = Stepper(self)
        self.attached = []

    def log(
        self, values: Mapping[str, Any] | None = None, *, step: int | None = None, epoch: int | None = None, **more: Any
    ) -> None:
        """Nothing."""

    def log_artifact(self, file: Any, name: str | None = None, **options: Any) -> None:
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
        return build(cls, self._origin, 0, time.time_ns(), given)

    def lifecycle(self, action: str, body: Mapping[str, Any]) -> None:
        """Nothing."""

    def defer(self, key: str, value: Any, step: int | None, epoch: int | None, time: int) -> None:
        """Nothing."""

    def offer(self) -> None:
        """Nothing."""

    def refuse(self, error: BaseException, *, what: str, subject: str | None = None) -> None:
        """Nothing, but an interrupt goes on."""
        if must_propagate(error):
            raise error

    def report(self, cause: str, error: BaseException | str | None = None) -> None:
        """Nothing."""

    def add_tracker(self, tracker: Any, *, name: str | None = None) -> Any:
        """The tracker or sink, which is told nothing; of a name or class that gives none a sink that keeps nothing."""
        if not isinstance(tracker, (str, type)):
            return tracker
        try:
            return sink_from(tracker)
        except QuarkError:
            return MemorySink()

    def set_progress(self, *arguments: Any, **options: Any) -> None:
        """Nothing."""

    def watch(self, model: Any, optimizer: Any = None, **options: Any) -> Any:
        """An engine that looks at nothing."""
        from ..producers.hooks import HookEngine

        return HookEngine(self, model)

    @property
    def journal_directory(self) -> Path:
        """There is none."""
        return Path(os.devnull)

    def tell_step(self, state: StepState) -> None:
        """Nobody is told."""

    def tick(self) -> None:
        """Nothing."""

    def after_fork_in_child(self) -> None:
        """Nothing."""

    def exit_by_signal(self, name: str) -> None:
        """Only the status changes."""
        self.finish("interrupted")

    def flush(self, timeout_s: float | None = None) -> bool:
        """There is nothing to wait for."""
        return True

    def health(self) -> dict[str, Any]:
        """Nothing is recorded and nothing fails."""
        return {
            "run_id": self.run_id, "recorded": 0, "dropped": 0, "on_device": 0, "sinks": {}, "refused": 0, "faults": {},
        }  # fmt: skip

    def finish(self, reason: str | None = None, *, timeout_s: float | None = None) -> None:
        """Only the status changes."""
        if self._reason is None:
            self._reason = reason or "completed"
            self.mark_ended(self._reason)
            self._leave()


def unrecorded_context(run_id: str, project: str, name: str | None = None) -> RunContext:
    """The context of a run that this process does not record: who it is, and no place where anything lies."""
    now = format_timestamp(time.time_ns())
    identity = project_id(project)
    return RunContext(
        storage_dir="", store_root="", db_path="",
        project=ProjectRecord(id=identity, name=project, root_path="", created_at=now, updated_at=now),
        run=RunRecord(
            id=run_id, name=name, project_id=identity, project_name=project, status="running",
            lineage_root_run_id=run_id, run_path="", config={}, environment={}, started_at=now, updated_at=now,
        ),
    )  # fmt: skip


class DisabledSession(SilentSession):
    """A session that records nothing, with the whole interface of one that does; what it is asked to read is empty.

    ``start_run`` returns it where QUARK_DISABLE is set. Made by hand it stands in for a run on the ranks of a job that
    do not record; it is not the current run then.

    Args:
        project: name of the project.
        config: what ``config`` holds, which the program may read its settings from.
    """

    __module__ = "quark"

    def __init__(self, project: str, config: Any = None) -> None:
        super().__init__(unrecorded_context("disabled", project))
        self.config.update(json_object(config, "config", strict=False, otherwise="value"))

    def reader(self) -> StoreReader:
        """A reader that finds nothing."""
        return NoRecords(self._context.run)

    def reload(self) -> RunContext:
        """The context as it is."""
        return self._context
