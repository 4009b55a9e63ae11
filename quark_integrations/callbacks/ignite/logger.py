"""QuarkLogger: an Ignite logger that writes to a Quark run."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ignite.handlers.base_logger import BaseLogger

import quark

from ..names import MetricNames
from ..runs import Plan, resumed, start, tell_differences
from ..settings import plain
from .handlers import OptimizerParamsHandler, OutputHandler
from .trainer import TrainerEvents

logger = logging.getLogger("quark")


class QuarkLogger(BaseLogger):
    """Writes what engines do to a Quark run: one line for a whole training, or handler by handler as in Ignite.

    The run starts when it is first needed and ends with ``close``, with a ``with`` block around the training, or with
    the process, for the reason that is true then. A checkpoint that holds the logger (``to_save={"quark": logger}``)
    carries the run: loaded before the training starts, the run goes on, or a child of it starts where it was completed.

    Args:
        project: name of the project; QUARK_PROJECT or ``ignite`` if omitted.
        run: a session that was started already; it is written to, and ended by whoever started it.
        config: configuration of the run.
        tags: tags of the run.
        storage_dir: where the run is kept; as for ``quark.start_run``.
        name: a name for people.
        trackers: trackers and sinks of the run, or names of sinks such as ``"jsonl"``.
        strict_mode: raise on bad metric names and values instead of counting and warning.
        close_timeout_s: seconds that the end of a run waits for its sinks; QUARK_CLOSE_TIMEOUT or 10 if omitted.
    """

    def __init__(
        self, project: str | None = None, *, run: Any = None, config: Mapping[str, Any] | None = None,
        tags: Iterable[str] | None = None, storage_dir: str | Path | None = None, name: str | None = None,
        trackers: Iterable[Any] | str = (), strict_mode: bool = False, close_timeout_s: float | None = None,
    ) -> None:  # fmt: skip
        self._plan = Plan(
            project=project, run=run, config=config, tags=tags, storage_dir=storage_dir, name=name, trackers=trackers,
            strict_mode=strict_mode, close_timeout_s=close_timeout_s,
        )  # fmt: skip
        self._run: Any = run
        self._carried: Mapping[str, Any] | None = None
        self._names = MetricNames()
        self._trainers: list[TrainerEvents] = []
        self._joined = False
        self.last_step: int | None = None
        self.last_epoch: int | None = None

    # The run

    @property
    def run(self) -> Any:
        """The session; it is started by the first use."""
        if self._run is None:
            self._run = self._open()
        return self._run

    def join(self, other: "QuarkLogger") -> bool:
        """Write to the run of another logger from now on, unless this one has a run already; whether it does."""
        if self._run is None and self._carried is None:
            self._run, self._joined = other.run, True
            logger.warning(
                "quark: several loggers of Quark are attached to one trainer, which is one run: the first one records "
                "it, and the others join; attach a single one"
            )
        return self._joined

    def offered(self, other: "QuarkLogger") -> None:
        """Take what this logger leaves open of its run from one that will join it."""
        if self._run is None and other._run is None and other._carried is None:
            self._plan = self._plan.completed_by(other._plan)

    def _open(self) -> Any:
        plan, carried, parent = self._plan, self._carried, None
        self._carried = None
        if carried is not None:
            run, parent = resumed(plan, carried, plan.storage_dir or carried.get("storage_dir"))
            if run is not None:
                tell_differences(run, plain(plan.config or {}))
                return run
        return start(plan, "ignite", plain(plan.config or {}), parent)

    def record(self, values: Mapping[str, Any], *, step: int | None, epoch: int | None = None) -> None:
        """Record values at a step; handlers of your own may call it. Only rank 0 of a job writes metrics.

        Args:
            values: numbers or one-element tensors by name.
            step: the step, in iterations of the trainer.
            epoch: the epoch, as Ignite counts them: from 1.
        """
        if self.run.rank == 0:
            self.run.log_values(self.keyed(values), step=step, epoch=epoch)

    def keyed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values by names that Quark can take."""
        self._names.strict = self.run.strict
        return {self._names.key(name, ""): value for name, value in values.items()}

    def close(self) -> None:
        """End the run with the reason that is known by now; one that was passed is left open."""
        error = next((events.error for events in self._trainers if events.error is not None), None)
        self.__exit__(None if error is None else type(error), error, None if error is None else error.__traceback__)

    def __enter__(self) -> "QuarkLogger":
        return self

    def __exit__(
        self, type: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the run; with an exception that leaves the block as ``error`` or ``interrupted``."""
        if type is None and any(events.error is not None for events in self._trainers):
            self.close()
            return
        for events in self._trainers:
            events.remove()
        self._trainers = []
        if self._run is not None and self._plan.run is None and not self._joined:
            self._run.__exit__(type, value, traceback)

    # The checkpoint carries the run

    def state_dict(self) -> dict[str, Any]:
        """Id and place of the run, and the last step and epoch that are recorded."""
        run = self.run
        return {
            "run_id": run.run_id, "project": run.project_name, "storage_dir": run.storage_dir, "step": self.last_step,
            "epoch": self.last_epoch,
        }  # fmt: skip

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """The training is about to go on from a checkpoint: so does its run, if none was started yet."""
        if self._run is None:
            self._carried = dict(state_dict)
        elif state_dict.get("run_id") != self._run.run_id:
            quark.EventLogger(self._run).log("checkpoint_loaded", payload=plain(state_dict))

    # Engines

    def attach_trainer(
        self, trainer: Any, *, optimizers: Any = None, evaluators: Mapping[str, Any] | None = None, model: Any = None,
        hooks: quark.HookEngineConfig | None = None, output_transform: Any = None, telemetry: bool = True,
        every_n_steps: int | None = 1, grad_scale: Any = None,
    ) -> TrainerEvents:  # fmt: skip
        """Record everything of a training: in every iteration its output, learning rates and times; its metrics.

        Args:
            trainer: the engine that trains. A plain number that it puts out is ``train/loss``.
            optimizers: an optimizer or several: their learning rates, and what they do to the parameters of ``model``.
            evaluators: engines by the namespace of their metrics: ``{"val": evaluator}`` gives ``val/accuracy``.
            model: the network, to watch its layers and parameters as ``hooks`` says.
            hooks: what to record of the layers, and in which iterations; a default where a model is given.
            output_transform: makes a number or a dictionary of what the trainer puts out.
            telemetry: record step, data and compute time, the machine and throughput.
            every_n_steps: in every how many iterations values are recorded; None: only at the end of an epoch.
            grad_scale: the gradient scaler of mixed precision, a ``torch.amp.GradScaler``.

        Raises:
            SchemaValidationError: ``every_n_steps`` is below 1, or ``hooks`` without a model.
        """
        if every_n_steps is not None and every_n_steps < 1:
            raise quark.SchemaValidationError(
                f"every_n_steps must be at least 1 or None, got {every_n_steps!r}; None records at the end of an epoch"
            )
        if hooks is not None and model is None:
            raise quark.SchemaValidationError("hooks= says how to watch a network, got none; pass it as model=")
        several = isinstance(optimizers, (list, tuple))
        chosen = [] if optimizers is None else list(optimizers) if several else [optimizers]
        events = TrainerEvents(
            self, trainer, optimizers=chosen, evaluators=evaluators or {}, model=model, hooks=hooks,
            output_transform=output_transform, telemetry=telemetry, every=every_n_steps,
            grad_scale=grad_scale,
        )  # fmt: skip
        self._trainers.append(events)
        return events

    def _create_output_handler(self, *args: Any, **kwargs: Any) -> OutputHandler:
        return OutputHandler(*args, **kwargs)

    def _create_opt_params_handler(self, *args: Any, **kwargs: Any) -> OptimizerParamsHandler:
        return OptimizerParamsHandler(*args, **kwargs)
