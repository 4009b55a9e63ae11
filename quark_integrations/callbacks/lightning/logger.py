"""QuarkLogger: a Lightning logger that writes to a Quark run, as ``Trainer(logger=QuarkLogger())``."""

import os
import sys
import weakref
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from ..runs import Plan, new_run_id
from ..settings import plain
from .framework import Bridged, silent_run
from .recording import Recording
from .taps import Taps, stage_of


class QuarkLogger(Bridged):
    """Writes what Lightning logs to a Quark run: hyperparameters, metrics, checkpoints, and how it ended.

    It records on rank 0 and what Lightning gives to its loggers, in every ``Trainer(log_every_n_steps=...)`` steps.
    Beside a QuarkCallback it writes to the callback's run, and nothing is recorded twice.

    Args:
        project, run, config, tags, storage_dir, name, trackers, strict_mode, close_timeout_s: as for QuarkCallback.

    Raises:
        MissingDependencyError: neither ``lightning`` nor ``pytorch_lightning`` is installed.
    """

    bridges_to: ClassVar[str] = "loggers.Logger"

    def __init__(
        self, project: str | None = None, *, run: Any = None, config: Mapping[str, Any] | None = None,
        tags: Iterable[str] | None = None, storage_dir: str | Path | None = None, name: str | None = None,
        trackers: Iterable[Any] | str = (), strict_mode: bool = False, close_timeout_s: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        plan = Plan(
            project=project, run=run, config=config, tags=tags, storage_dir=storage_dir, name=name, trackers=trackers,
            strict_mode=strict_mode, close_timeout_s=close_timeout_s,
        )  # fmt: skip
        self._recording = Recording(plan)
        self._leader: Any = None
        self._reserved: str | None = None
        self._params: dict[str, Any] = {}
        self._trainer: Any = None
        self._taps: Taps | None = None
        self._silent: Any = None

    # What Lightning asks a logger

    @property
    def name(self) -> str:
        """The project; a part of the path of checkpoints."""
        run = self._current()
        return run.project_name if run is not None else self._recording.plan.project or "quark"

    @property
    def version(self) -> str:
        """Id of the run; a part of the path of checkpoints. It may be asked for before the run starts."""
        run = self._current()
        if run is not None:
            return run.run_id
        last = self._recording.state().get("run_id")
        if last is None and self._reserved is None:
            self._reserved = new_run_id()
        return last or str(self._reserved)

    @property
    def save_dir(self) -> str | None:
        """The storage directory, if one was given; else Lightning takes the Trainer's ``default_root_dir``.

        ``trainer.log_dir``, which is made of it, is a directory for each run: LightningCLI writes its file there, and
        refuses to write over the one of an earlier run.
        """
        place = self._recording.plan.storage_dir
        root = None if place is None or "://" in str(place) else str(place)
        caller = sys._getframe(1)
        if caller.f_code.co_name != "log_dir":
            return root
        default = getattr(caller.f_locals.get("self"), "default_root_dir", None) or "."
        return os.path.join(root or default, self.name, self.version)

    @property
    def experiment(self) -> Any:
        """The session of the run; before the run starts something that starts it when it is used."""
        run = self._current()
        if run is not None:
            return run
        if self._is_first():
            return _Later(self)
        if self._silent is None:
            self._silent = silent_run(self.name)
        return self._silent

    def log_hyperparams(
        self, params: dict[str, Any] | Namespace, metrics: Mapping[str, Any] | float | None = None, **kwargs: Any
    ) -> None:
        """Hyperparameters become configuration, of the run that starts or of the one that runs.

        ``metrics``: values at step 0, by name; a plain number is ``hp_metric``, as for TensorBoardLogger.
        """
        if not self._is_first():
            return
        run = self._current()
        if run is None:
            self._params.update(plain(params))
        else:
            plans = [self._recording.plan, *([] if self._leader is None else [self._leader.recording_plan])]
            said = {name for plan in plans for name in plain(plan.config or {})}  # which goes before
            run.config.update({name: value for name, value in plain(params).items() if name not in said})
        if metrics is not None:
            found = metrics if isinstance(metrics, Mapping) else {"hp_metric": metrics}
            (run or self._open()).log(dict(found), step=0)

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Called once before each fit, validation, test or prediction: the run starts here.

        A model without a Trainer, as of Fabric, starts nothing: there the run starts with what is logged first.
        """
        trainer = getattr(model, "_trainer", None)
        if trainer is None or self._led(trainer):
            return
        self._trainer = weakref.ref(trainer)
        if not self._is_first() or trainer.fast_dev_run:
            return
        recording = self._recording
        recording.reserved, self._reserved = self._reserved, None
        run = recording.begin(trainer, model, params=self._params, alone=True)
        self._params = {}
        if run.disabled or self._taps is not None:
            return
        self._taps = Taps(
            trainer, report=run.report,
            on_saved=lambda path, weights_only, seconds: recording.saved(trainer, path, weights_only, seconds),
        )  # fmt: skip
        self._taps.install()

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record values of a step; beside a QuarkCallback those of Lightning have been recorded there already."""
        leader = self._leader
        if (leader is not None and leader.feeds_loggers) or not self._is_first():
            return
        run = self._current()
        if run is None:
            run = self._open()
        trainer = self._trainer() if self._trainer is not None else None
        values = dict(metrics)
        epoch = values.pop("epoch") if type(values.get("epoch")) is int else None
        if epoch is None and trainer is not None:
            epoch = trainer.current_epoch
        stage = "" if trainer is None else stage_of(trainer)
        key = self._recording.names.key
        run.log({key(str(name), stage): value for name, value in values.items()}, step=step, epoch=epoch)
        if run.stop_requested and trainer is not None and trainer.world_size == 1:  # many must agree: see the callback
            trainer.should_stop = True

    def save(self) -> None:
        """Nothing: what is logged is safe already."""

    def finalize(self, status: str) -> None:
        """The Trainer is done: the run that was started here ends, ``failed`` with the exception in flight."""
        if self._taps is not None:
            self._taps.remove()
            self._taps = None
        trainer = self._trainer() if self._trainer is not None else None
        if status == "failed":
            self._recording.fail(sys.exc_info()[1])
        elif status == "success" and trainer is not None:
            self._recording.end(trainer)

    # With the callback, and without

    def follow(self, callback: Any) -> None:
        """From now on write to the run of a QuarkCallback."""
        self._leader = callback

    def offered_plan(self) -> Plan:
        """What the user said of the run here, for a QuarkCallback that runs beside."""
        if self._recording.active:
            return Plan(run=self._recording.run)
        plan = self._recording.plan
        if self._reserved is not None:
            plan, self._reserved = plan.with_run_id(self._reserved), None
        return plan

    def _led(self, trainer: Any) -> bool:
        from .callback import QuarkCallback

        return any(isinstance(callback, QuarkCallback) for callback in trainer.callbacks)

    def _current(self) -> Any:
        """The run that records now: the callback's, or our own."""
        for run in (getattr(self._leader, "run", None), self._recording.run):
            if run is not None and run.status == "running":
                return run
        return None

    def _open(self) -> Any:
        """Start the run before, or after, Lightning does something."""
        trainer = self._trainer() if self._trainer is not None else None
        recording = self._recording
        recording.reserved, self._reserved = self._reserved, None
        if trainer is not None and trainer.lightning_module is not None:
            return recording.begin(trainer, trainer.lightning_module, params=self._params, alone=True)
        return recording.begin_early(self._params)

    def _is_first(self) -> bool:
        """Whether this process is rank 0 of its job."""
        for base in type(self).__mro__:
            package = base.__module__.rpartition(".loggers")[0]
            only = getattr(sys.modules.get(f"{package}.utilities.rank_zero"), "rank_zero_only", None)
            if only is not None:
                return (getattr(only, "rank", None) or 0) == 0
        return True

    def __getstate__(self) -> dict[str, Any]:
        """Without what belongs to this process: the run and its threads."""
        state = dict(self.__dict__)
        recording = Recording(self._recording.plan)
        recording.last_run = self._recording.last_run
        state.update(_recording=recording, _leader=None, _trainer=None, _taps=None, _silent=None)
        return state


class _Later:
    """A run that starts when it is used: Lightning asks every logger for it before a checkpoint is loaded."""

    def __init__(self, logger: QuarkLogger) -> None:
        self._logger = logger

    def _run(self) -> Any:
        return self._logger._current() or self._logger._open()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._run(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_logger":
            object.__setattr__(self, name, value)
        else:
            setattr(self._run(), name, value)

    def __enter__(self) -> Any:
        return self._run().__enter__()

    def __exit__(self, *error: Any) -> Any:
        return self._run().__exit__(*error)

    def _repr_html_(self) -> str:
        return self._run()._repr_html_()

    def __repr__(self) -> str:
        return "<a Quark run that has not started>"
