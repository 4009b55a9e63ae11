"""TrainingSession: one run from its start to its end, and the handle that every producer writes through."""

import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..core.lifecycle import RunManifest
from ..delivery.worker import SinkWorker
from ..errors import ClosedError, QuarkError, SchemaValidationError, WrongTypeError
from ..producers.events import log_message, refused_event
from ..producers.wide import log_values, refuse_position
from ..records.event import EventRecord
from ..records.grammar import MAX_INT, check_index, check_step, shown, whole
from ..records.run import RunContext
from ..sinks.discovery import sink_from
from .checks import check_tag, check_tracker, is_sink
from .familiar import Familiar

if TYPE_CHECKING:
    from ..producers.hooks import HookEngine
    from ..records.configs import HookEngineConfig


HTML_WAIT_S = 1.0
"""A notebook that shows a run waits this long for what was recorded last."""


_OPTIONS_ELSEWHERE = ("commit", "sync")
"""Options that ``log`` has in other trackers: switches, which are no metrics beside a mapping of them."""


class TrainingSession(Familiar):
    """A run that is being recorded. Make one with ``start_run`` or ``resume_run``; use it as a context manager.

    It is a RunHandle: producers (MetricsLogger, EventLogger, SystemTelemetry, ArtifactStore, ...) write through it.
    """

    __module__ = "quark"

    # Starting and resuming

    @classmethod
    def start_run(
        cls,
        *,
        project: str,
        config: dict[str, Any] | None = None,
        tags: Iterable[str] | None = None,
        parent_run_id: str | None = None,
        storage_dir: str | Path | None = None,
        strict_mode: bool = False,
    ) -> "TrainingSession":
        """Start a run of ``project`` and return its session.

        Args:
            project: name of the project, 1 to 200 characters.
            config: the run's configuration, a JSON object; values that look like secrets are redacted.
            tags: tags of the run.
            parent_run_id: the run that this one was derived from.
            storage_dir: where the run is kept; QUARK_STORAGE_DIR or the working directory if omitted.
            strict_mode: raise on bad arguments of log calls instead of counting and warning.

        Raises:
            SchemaValidationError, WrongTypeError: an argument breaks a rule.
            RunNotFoundError: there is no run ``parent_run_id``.
        """
        from .start import begin

        return begin(
            project=project, config=config, tags=tags, parent_run_id=parent_run_id, storage_dir=storage_dir,
            strict_mode=strict_mode,
        )  # fmt: skip

    @classmethod
    def resume_run(cls, *, run_id: str, storage_dir: str | Path | None = None) -> "TrainingSession":
        """Continue an interrupted or failed run as a new attempt: what was recorded before stays.

        Raises:
            RunNotFoundError: the store has no such run.
            InvalidRunStateError: the run is completed, or still running.
        """
        from .start import resume

        return resume(run_id=run_id, storage_dir=storage_dir)

    def __enter__(self) -> "TrainingSession":
        return self

    # Handing it on

    def __copy__(self) -> "TrainingSession":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "TrainingSession":
        return self  # a copy of what holds a run logs to the same run

    def __reduce__(self) -> tuple[Any, ...]:
        from .handed import handed_on

        return handed_on, (self.run_id, self.project_name, self._context.run.name)

    # What it is

    @property
    def project_name(self) -> str:
        """Name of the project."""
        return self._context.project.name

    @property
    def status(self) -> str:
        """running, completed, failed or interrupted."""
        return self._context.run.status

    @property
    def context(self) -> RunContext:
        """What is known of the run in this process."""
        return self._context

    @property
    def storage_dir(self) -> str:
        """The storage directory."""
        return self._context.storage_dir

    @property
    def manifest(self) -> RunManifest:
        """What trackers are told when they start."""
        return self._manifest

    @property
    def rank(self) -> int:
        """Rank of this process in a distributed job, else 0."""
        return self._origin.rank

    def reload(self) -> RunContext:
        """Read the run from the store again and return the refreshed context."""
        self.flush()
        try:
            run = self.reader().run(self.run_id)
        except QuarkError as error:
            self.report("reload", error)
            return self._context
        self._context = replace(self._context, run=run)
        return self._context

    def to_dict(self) -> dict[str, Any]:
        """The context with project and run as plain dictionaries."""
        return self._context.to_dict()

    def __repr__(self) -> str:
        return f"<TrainingSession {self.run_id} of {self.project_name!r}: {self.status}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: status, the latest metrics with small charts, alerts."""
        from ..drawing.run import head_of, page_of

        self.flush(HTML_WAIT_S)
        try:
            return page_of(self._context.run, cast("Any", self.reader()))
        except QuarkError:  # nothing is stored yet, or recording is off
            return head_of(self._context.run)
        finally:
            if self.status != "running":
                self.close_reader()

    # Recording

    def log(
        self, values: Mapping[str, Any] | None = None, *, step: int | None = None, epoch: int | None = None, **more: Any
    ) -> None:
        """Record many metrics of one step as one wide record: ``run.log({"loss": 1.0})`` or ``run.log(loss=1.0)``.

        Inside ``steps`` the step and epoch are known; elsewhere a call without ``step`` counts up from the last one,
        and a call with an epoch alone is of the last step.
        Nested mappings become ``outer/inner``. A value that is refused leaves its neighbours alone.
        """
        if more or values is None:
            values = self._together(values, more)
        stepper = self._stepper
        if step is None:
            if epoch is not None:
                self._log_of_epoch(values, epoch)  # type: ignore[arg-type]
                return
            step = stepper.step_for_log()
        if epoch is None:
            epoch = stepper.epoch
        if stepper.step_now is None or stepper.collecting:
            try:
                stepper.saw(values, step)
            except BaseException as error:  # noqa: BLE001  a mapping may raise anything; refuse lets interrupts through
                self.refuse(error, what="log")
        try:  # what log_values does, without the call
            log_values(self, values, step, epoch)  # type: ignore[arg-type]
        except BaseException as error:  # noqa: BLE001  as above
            self.refuse(error, what="log")

    def _together(self, values: Mapping[str, Any] | None, more: dict[str, Any]) -> Any:
        """Values given as a mapping and by keyword; what is no mapping is left for ``log_values`` to refuse."""
        if values is None:
            return more
        try:
            if not isinstance(values, Mapping):
                return values
            ignored = [name for name in _OPTIONS_ELSEWHERE if isinstance(more.get(name), bool)]
            if ignored:
                self.report("ignored_option", f"log has no option {ignored[0]}; values with the same step are one row")
            return {**values, **{name: value for name, value in more.items() if name not in ignored}}
        except BaseException as error:  # noqa: BLE001  a mapping may raise anything; refuse lets interrupts through
            self.refuse(error, what="log")
            return more

    def _log_of_epoch(self, values: Any, epoch: int) -> None:
        """Record values that belong to an epoch: at the step after which it is judged, which they do not count up."""
        try:
            self._stepper.saw(values, None)
        except BaseException as error:  # noqa: BLE001  a mapping may raise anything; refuse lets interrupts through
            self.refuse(error, what="log")
        self.log_values(values, step=self._stepper.step_for_epoch(epoch), epoch=epoch)

    def step(
        self, step: int, metrics: Mapping[str, Any] | None = None, *, epoch: int | None = None,
        worker_id: int | str | None = None,
    ) -> None:  # fmt: skip
        """Record a finished step explicitly: its metrics, and ``on_step`` for every tracker.

        ``worker_id``: which of several loops beside each other the step is of; its metrics go below the worker's name.
        """
        try:
            if type(step) is not int or not 0 <= step <= MAX_INT:
                step = check_step(step if self.strict else whole(step))
            if isinstance(epoch, float) and not self.strict:
                epoch = whole(epoch)
            epoch = check_index(epoch, "epoch")
            if metrics is not None and not isinstance(metrics, Mapping):
                raise WrongTypeError(f"metrics must be a mapping of names to numbers, got {shown(metrics)}")
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            self._refuse_step(error, step, metrics, epoch)
            return
        self._stepper.explicit(step, {} if metrics is None else metrics, epoch, worker_id)

    def _refuse_step(self, error: BaseException, step: Any, metrics: Any, epoch: Any) -> None:
        """Refuse a step, and each of its metrics by name."""
        try:
            if isinstance(error, (SchemaValidationError, WrongTypeError)) and isinstance(metrics, Mapping) and metrics:
                refuse_position(self, metrics, step, epoch, error)
                return
        except BaseException as other:  # noqa: BLE001  a mapping may raise anything; refuse lets interrupts through
            error = other
        self.refuse(error, what="step")

    def steps(
        self, iterable: Iterable[Any], *, epoch: int | None = None, start: int | None = None,
        progress: bool | None = None, total: int | None = None,
    ) -> Iterator[Any]:  # fmt: skip
        """Go through the batches of a loop: times data and compute, knows the step, draws a progress bar.

        The step counts on over several calls; ``start`` sets it. The loop ends early when a stop was requested.
        """
        return self._stepper.steps(iterable, epoch=epoch, start=start, progress=progress, total=total)

    def asteps(
        self, iterable: AsyncIterable[Any], *, epoch: int | None = None, start: int | None = None,
        progress: bool | None = None, total: int | None = None,
    ) -> AsyncIterator[Any]:  # fmt: skip
        """``steps`` for ``async for``."""
        return self._stepper.asteps(iterable, epoch=epoch, start=start, progress=progress, total=total)

    def add_log(
        self,
        message: str,
        *,
        identifier: str | None = "Info",
        step: int | None = None,
        epoch: int | None = None,
        status: str | None = None,
        payload: Mapping[str, Any] | None = None,
        timestamp: str | None = None,
        event_type: str = "user_log",
    ) -> EventRecord:
        """Record a log message with the identifier Debug, Info, Warning or Error."""
        try:
            return log_message(
                self, message, identifier=identifier, step=step, epoch=epoch, status=status, payload=payload,
                timestamp=timestamp, event_type=event_type,
            )  # fmt: skip
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            return refused_event(self, error, "add_log", {"step": step, "epoch": epoch})

    def add_tag(self, tag: str) -> RunContext:
        """Add a tag to the run and return the refreshed context; a tag that is there already changes nothing."""
        try:
            name = check_tag(tag)
            if name not in self._context.run.tags:
                self.lifecycle("tag", {"tag": name})
                run = replace(self._context.run, tags=(*self._context.run.tags, name))
                self._context = replace(self._context, run=run)
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            self.refuse(error, what="add_tag")
        return self._context

    def watch(
        self, model: Any, optimizer: Any = None, *, every: int = 25, config: "HookEngineConfig | None" = None,
        grad_scale: Any = None, name: str | None = None,
    ) -> "HookEngine":  # fmt: skip
        """See inside a torch model while it trains: its layers, and with an ``optimizer`` its parameters.

        In every ``every``-th step of ``steps`` summaries of activations and gradients are recorded, and norms of
        weights, gradients and updates. The other steps run as if nothing watched. In a loop without ``steps`` the steps
        are those that ``step`` or ``log(..., step=...)`` name, each time that all of them do. A model that is watched
        again is watched anew, with the arguments of the last call.

        Args:
            model: a torch.nn.Module.
            optimizer: the optimizer that trains it, or a list of several; without one the parameters are left out.
            every: the cadence in steps; a ``config`` brings its own schedule instead.
            config: which layers, when, and what of them.
            grad_scale: what the loss is multiplied by in mixed precision, such as a GradScaler.
            name: what the records call this model, to tell several models of one run apart. The first one needs none;
                a further one is named after its class.

        Raises:
            SchemaValidationError, WrongTypeError: an argument cannot be used; the message names the nearest that can.
            MissingDependencyError: torch is not installed.
        """
        from ..producers.hooks import HookEngine, ParameterDiagnostics, ParameterDiagnosticsConfig
        from ..records.configs import HookEngineConfig, HookScheduleConfig

        chosen = config or HookEngineConfig(schedule=HookScheduleConfig(every_n_steps=every))
        watchers: list[Any] = [HookEngine(self, model, optimizer, config=chosen, grad_scale=grad_scale, name=name)]
        if optimizer is not None:
            settings = ParameterDiagnosticsConfig(schedule=chosen.schedule, raise_on_error=chosen.raise_on_error)
            try:
                watchers.append(
                    ParameterDiagnostics(
                        self, model, optimizer, config=settings, grad_scale=grad_scale, name=watchers[0].name
                    )
                )
            except QuarkError:
                watchers[0].close()
                raise
        self._stepper.watch(model, watchers)
        return watchers[0]

    def add_tracker(self, tracker: Any, *, name: str | None = None) -> Any:
        """Attach a tracker or a sink, or a sink by its name; its ``on_start`` fires at once. Returns the tracker.

        A sink gets every record of the run, also those from before it was attached. In a distributed job the sinks
        of rank 0 serve all ranks.

        Raises:
            ConfigurationError: there is no sink of this name.
        """
        try:
            check_tracker(tracker)
        except WrongTypeError as error:
            self.refuse(error, what="add_tracker")
            return tracker
        if isinstance(tracker, (str, type)):
            tracker = sink_from(tracker)
        if self._reason is not None:
            self.refuse(ClosedError("the run has ended; attach trackers while it runs"), what="add_tracker")
        elif is_sink(tracker):
            if self.rank == 0 or tracker.per_writer:
                self._add_sink(tracker, name)
        else:
            self._trackers.add(tracker, self._manifest)
            self._stepper.collecting = True
        return tracker

    def _add_sink(self, sink: Any, name: str | None) -> None:
        workers: list[SinkWorker] = []
        joined = getattr(sink, "joined", None)
        if joined is not None:
            joined(self, lambda timeout_s: self._delivery.flush(time.monotonic() + timeout_s, workers))
        workers.append(self._delivery.add_sink(sink, name=name))
