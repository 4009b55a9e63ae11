"""QuarkCallback: records what a Lightning Trainer does, as ``Trainer(callbacks=[QuarkCallback()])``."""

import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import quark

from ..names import number
from ..optimizers import gradient_norm, optimizer_names
from ..probes import Probes
from ..runs import Plan, leading
from .framework import Bridged, lightning_bases
from .recording import Recording
from .steps import Steps
from .taps import Taps, current_step

_OF_TRAINING_BATCHES = ("on_train_batch_start", "on_train_batch_end")
_OF_OTHER_BATCHES = (
    "on_before_zero_grad", "on_before_backward", "on_after_backward", "on_before_optimizer_step",
    "on_validation_batch_start", "on_validation_batch_end", "on_test_batch_start", "on_test_batch_end",
    "on_predict_batch_start", "on_predict_batch_end",
)  # fmt: skip


class QuarkCallback(Bridged):
    """Records the training of a Lightning Trainer in a Quark run.

    Every fit is a run of its own: hyperparameters, everything that is logged with ``self.log`` at its step and epoch,
    learning rates, times of step, data and compute, throughput, the machine, checkpoints, and how it ended. A
    checkpoint carries the id of its run: a fit that starts from it continues the run, or starts a child of it where it
    was completed. In a job of many processes all of them record into one run.

    Args:
        project: name of the project; QUARK_PROJECT or the name of the module's class if omitted.
        run: a session that was started already; it is written to, and ended by whoever started it.
        config: configuration of the run, besides the hyperparameters of module and data module.
        tags: tags of the run.
        storage_dir: where the run is kept; as for ``quark.start_run``.
        name: a name for people.
        trackers: trackers and sinks of the run, or names of sinks such as ``"jsonl"``.
        hooks: what to record of layers and parameters, and in which steps; nothing if omitted.
        grad_norms: record the norm of the gradients in every step, unscaled and before they are clipped.
        learning_rates: record the learning rates of every step.
        telemetry: record step, data and compute time of every step, the machine and throughput once a second.
        every_n_steps: in every how many steps the values of a step are recorded; None: only in those in which
            ``Trainer(log_every_n_steps=...)`` gives them to its loggers. What is logged at the end of an epoch, a
            validation or a test is recorded always.
        strict_mode: raise on bad metric names and values instead of counting and warning.
        close_timeout_s: seconds that the end of a run waits for its sinks; QUARK_CLOSE_TIMEOUT or 10 if omitted.

    Raises:
        MissingDependencyError: neither ``lightning`` nor ``pytorch_lightning`` is installed.
    """

    bridges_to: ClassVar[str] = "callbacks.Callback"

    def __init__(
        self, project: str | None = None, *, run: Any = None, config: Mapping[str, Any] | None = None,
        tags: Iterable[str] | None = None, storage_dir: str | Path | None = None, name: str | None = None,
        trackers: Iterable[Any] | str = (), hooks: quark.HookEngineConfig | None = None, grad_norms: bool = False,
        learning_rates: bool = True, telemetry: bool = True, every_n_steps: int | None = 1,
        strict_mode: bool = False, close_timeout_s: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        plan = Plan(
            project=project, run=run, config=config, tags=tags, storage_dir=storage_dir, name=name, trackers=trackers,
            strict_mode=strict_mode, close_timeout_s=close_timeout_s,
        )  # fmt: skip
        if every_n_steps is not None and every_n_steps < 1:
            raise quark.SchemaValidationError(
                f"every_n_steps must be at least 1 or None, got {every_n_steps!r}; None records as the loggers do"
            )
        self._recording = Recording(plan)
        self._hooks = hooks
        self._grad_norms = grad_norms
        self._learning_rates = learning_rates
        self._telemetry = telemetry
        self._every = every_n_steps
        self._taps: Taps | None = None
        self._steps: Steps | None = None
        self._substitute: Any = None
        self._stage_began = 0.0
        self._leader: QuarkCallback | None = None
        self._leave_out()

    def _leave_out(self, needless: Iterable[str] = ()) -> None:
        """Lightning opens a span of its profiler for every hook that can be called; those of every batch add up."""
        idle = {*_OF_OTHER_BATCHES, *needless} - ({"on_before_optimizer_step"} if self._grad_norms else set())
        own = {name for cls in type(self).__mro__ if cls not in lightning_bases(type(self)) for name in vars(cls)}
        for name in (*_OF_OTHER_BATCHES, *_OF_TRAINING_BATCHES):
            self.__dict__.pop(name, None)
        for name in idle - (own - vars(QuarkCallback).keys()):
            setattr(self, name, None)

    @property
    def run(self) -> Any:
        """The session while there is one, else None; beside another QuarkCallback the one that both have joined."""
        leader = self._leader
        return self._recording.run if leader is None else leader.run

    @property
    def run_id(self) -> str | None:
        """Id of the run, or of the last one."""
        leader = self._leader
        return self._recording.state().get("run_id") if leader is None else leader.run_id

    @property
    def state_key(self) -> str:
        """Under which name a checkpoint holds the run; of several QuarkCallbacks only the one that records does so."""
        if sys._getframe(1).f_code.co_name == "_validate_callbacks_list":  # where Lightning wants them to differ
            return f"QuarkCallback {id(self)}"
        return "QuarkCallback"

    @property
    def recording_plan(self) -> Plan:
        """What the user said of the run."""
        return self._recording.plan

    @property
    def is_plain(self) -> bool:
        """Whether the user said nothing at all, so that any other QuarkCallback knows better."""
        return self._hooks is None and self._recording.plan == Plan()

    # The life of the run

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """The checkpoint is loaded, except by strategies that set the model up first."""
        late = trainer.strategy.restore_checkpoint_after_setup and getattr(trainer, "ckpt_path", None) is not None
        if not late:
            self._begin(trainer, pl_module)

    def on_sanity_check_start(self, trainer: Any, pl_module: Any) -> None:
        """What the sanity check logs is not recorded; it is only here that a late checkpoint is loaded."""
        self._begin(trainer, pl_module)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Training begins: from here on values are recorded."""
        run = self._begin(trainer, pl_module)
        if run is None or run.disabled:
            return
        self._steps = Steps(
            self._recording, trainer, every=self._every, telemetry=self._telemetry,
            learning_rates=self._learning_rates, engine=self._engine_of(trainer, pl_module, run),
        )  # fmt: skip
        self._listen(trainer)
        self._steps.pace.asked()

    def _engine_of(self, trainer: Any, module: Any, run: Any) -> Any:
        if self._hooks is None or run.rank != 0:
            return None
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        return Probes(run, module, trainer.optimizers, self._hooks, scaler)

    def _begin(self, trainer: Any, module: Any) -> Any:
        recording = self._recording
        if recording.active:
            return recording.run
        several = [callback for callback in trainer.callbacks if isinstance(callback, QuarkCallback)]
        leader, plans = leading(several)
        self._leader = None if leader is self else leader
        if self._leader is not None:
            return None
        loggers = self._loggers(trainer)
        run = recording.begin(trainer, module, offered=[*plans, *(logger.offered_plan() for logger in loggers)])
        for logger in loggers:
            logger.follow(self)
        return run

    def _loggers(self, trainer: Any) -> list[Any]:
        from .logger import QuarkLogger

        return [logger for logger in trainer.loggers if isinstance(logger, QuarkLogger)]

    def _listen(self, trainer: Any) -> None:
        run, recording = self._recording.run, self._recording
        if self._taps is not None or run.disabled:
            return
        primary, steps = run.rank == 0, self._steps
        taps = self._taps = Taps(
            trainer,
            report=run.report,
            on_saved=lambda path, weights_only, seconds: self._saved(trainer, path, weights_only, seconds),
            on_values=(lambda metrics, step: recording.values(trainer, metrics, step)) if primary else None,
            on_batch_start=None if steps is None else steps.batch_begins,
            on_batch_done=None if steps is None else steps.batch_done,
        )
        taps.install()
        self._leave_out(_OF_TRAINING_BATCHES if taps.complete else ())
        if primary and not taps.complete and not self._loggers(trainer):  # a Lightning that is not built as we know it
            from .logger import QuarkLogger

            self._substitute = QuarkLogger()
            self._substitute.follow(self)
            trainer.loggers = [*trainer.loggers, self._substitute]

    @property
    def feeds_loggers(self) -> bool:
        """Whether a value that reaches a QuarkLogger now has been recorded here already."""
        return self._taps is not None and self._taps.forwarding

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Fit, validate, test or predict is done."""
        self._stop_listening(trainer)
        self._recording.end(trainer)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Fit, validate, test or predict is broken off, by Ctrl-C too."""
        self._stop_listening(trainer)
        self._recording.fail(exception)

    def _stop_listening(self, trainer: Any) -> None:
        taps, steps, substitute = self._taps, self._steps, self._substitute
        self._taps = self._steps = self._substitute = None
        if taps is not None:
            taps.remove()
        if substitute is not None:
            trainer.loggers = [logger for logger in trainer.loggers if logger is not substitute]
        recording = self._recording
        if steps is not None:
            rate = steps.pace.throughput()
            steps.pace.close()
            if rate and recording.last_step is not None and recording.active:
                recording.run.log_values(rate, step=recording.last_step, epoch=recording.last_epoch)

    # Steps of the training

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """The time from here to the first batch is its time for data."""
        if self._steps is not None:
            self._steps.epoch_begins()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """A batch has arrived; called only where the Trainer cannot be listened to."""
        if self._steps is not None and self._taps is not None and not self._taps.complete:
            self._steps.batch_begins(batch)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A batch is through; called only where the Trainer cannot be listened to."""
        if self._steps is not None and self._taps is not None and not self._taps.complete:
            self._steps.batch_done(time.perf_counter_ns(), {}, False)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """The gradients are unscaled and not yet clipped."""
        steps = self._steps
        if steps is None or not self._grad_norms or self._recording.run.rank != 0:
            return
        try:
            norm = gradient_norm(optimizer)
            if norm is not None:
                names = dict(zip(map(id, trainer.optimizers), optimizer_names(trainer.optimizers), strict=True))
                own = getattr(optimizer, "optimizer", optimizer)  # Lightning wraps those of manual optimization
                steps.add(f"{names.get(id(own), 'optimizer')}/grad_norm", number(norm))
        except Exception as error:  # noqa: BLE001  our fault must not reach the training
            self._recording.run.report("lightning_grad_norm", error)

    # Validation, test, prediction, checkpoints

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """A validation begins, within a fit or by itself."""
        self._stage_starts(trainer, pl_module)

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        """A test begins."""
        self._stage_starts(trainer, pl_module)

    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        """A prediction begins."""
        self._stage_starts(trainer, pl_module)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """A validation is done."""
        self._stage_ends(trainer, "validation")

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        """A test is done."""
        self._stage_ends(trainer, "test")

    def on_predict_end(self, trainer: Any, pl_module: Any) -> None:
        """A prediction is done."""
        self._stage_ends(trainer, "predict")

    def _stage_starts(self, trainer: Any, module: Any) -> None:
        if trainer.sanity_checking:
            return
        self._begin(trainer, module)
        if self._recording.run is not None:
            self._listen(trainer)
        self._stage_began = time.perf_counter()

    def _stage_ends(self, trainer: Any, stage: str) -> None:
        run = self._recording.run
        if trainer.sanity_checking or run is None or run.rank != 0:
            return
        seconds = time.perf_counter() - self._stage_began
        run.log_values({f"system/{stage}/duration_s": seconds}, step=current_step(trainer), epoch=trainer.current_epoch)
        if self._steps is not None:
            self._steps.pace.asked()

    def _saved(self, trainer: Any, path: str, weights_only: bool, seconds: float) -> None:
        steps, last = self._steps, self._recording.last_step
        within = steps is not None and not steps.between  # the row of this step is still to come
        step = current_step(trainer) if within or last is None else last
        self._recording.saved(trainer, path, weights_only, seconds, step)
        if steps is not None:
            steps.pace.paused(seconds)

    # The checkpoint carries the run

    def state_dict(self) -> dict[str, Any]:
        """Id, project and place of the run, and the last step and epoch that are recorded."""
        return {} if self._leader is not None else self._recording.state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """A fit is about to start from a checkpoint: its run goes on."""
        self._recording.carried = state_dict

    def __getstate__(self) -> dict[str, Any]:
        """Without what belongs to this process: the run and its threads."""
        state = dict(self.__dict__)
        recording = Recording(self._recording.plan)
        recording.carried, recording.last_run = self._recording.carried, self._recording.last_run
        state.update(_recording=recording, _taps=None, _steps=None, _substitute=None, _leader=None)
        return state
