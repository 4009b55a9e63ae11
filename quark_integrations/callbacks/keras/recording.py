"""What goes from a Keras model into its run: opened for a fit, an evaluation or a prediction, ended with it."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import quark

from ..names import MetricNames
from ..names import number as plain_number
from ..runs import Plan, is_running, resumed, start
from ..settings import plain
from .backup import backup_dir, carried, carry
from .endings import early_stopping, reason_of
from .settings import architecture, configuration


class Recording:
    """The run of one callback: a new one for each fit, and for each evaluation or prediction outside of one.

    A run that the user passed is only written to. One that was opened here ends with the fit; an evaluation after it
    is a run of its own then, with the fit's as its parent.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.run: Any = None
        self.last_run_id: str | None = None
        self.last_step: int | None = None
        self._given = False
        self.callbacks: list[Any] = []
        self.stage = "fit"
        self.names = MetricNames()

    @property
    def active(self) -> bool:
        """Whether there is a run that takes records."""
        return is_running(self.run)

    @property
    def primary(self) -> bool:
        """Whether this process writes the metrics of the run."""
        return self.active and self.run.rank == 0 and not self.run.disabled

    def begin(
        self, model: Any, stage: str, settings: Mapping[str, Any], callbacks: list[Any], offered: Iterable[Plan] = ()
    ) -> Any:  # fmt: skip
        """Start, resume or join the run for what Keras does now.

        Args:
            model: the Keras model.
            stage: ``fit``, ``evaluate`` or ``predict``.
            settings: how its user called it.
            callbacks: all callbacks that take part.
            offered: plans of other QuarkCallbacks that fill what the own one leaves open.
        """
        plan, self.stage, self.callbacks = self.plan, stage, callbacks
        for other in offered:
            plan = plan.completed_by(other)
        fitting = stage == "fit"
        if fitting:
            self.last_step = None
        directory = backup_dir(callbacks) if fitting else None
        known = carried(directory)
        self.names = MetricNames()
        self._given = is_running(plan.run)
        config = {**(configuration(model, settings) if fitting else {}), **plain(plan.config or {})}
        described, large = architecture(model)
        if described and fitting and not large:
            config["architecture"] = described
        if self._given:
            self.run = plan.run
        else:
            self.run = self._open(plan, config, type(model).__name__, known, fitting)
        self.names.strict = getattr(self.run, "strict", False)
        self.last_run_id = self.run.run_id
        if self.primary:
            self._note_start(config, known)
            if fitting and large:
                with quark.ArtifactStore(self.run) as store:
                    store.store("model_config", "architecture", described)
            if directory is not None:
                carry(directory, {"run_id": self.run.run_id, "storage_dir": self.run.storage_dir})
        return self.run

    def _open(
        self, plan: Plan, config: dict[str, Any], project: str, known: Mapping[str, Any] | None, fitting: bool
    ) -> Any:  # fmt: skip
        parent = getattr(plan.run, "run_id", None) or (None if fitting else self.last_run_id)
        if known is not None:
            where = plan.storage_dir or known.get("storage_dir")
            run, parent = resumed(plan, known, where, source="backup")
            if run is not None:
                return run
        return start(plan, project, config, parent)

    def _note_start(self, config: Mapping[str, Any], known: Mapping[str, Any] | None) -> None:
        payload: dict[str, Any] = {"framework": "keras", "backend": "torch"}
        if self._given:
            payload["config"] = config
        self.event(f"{self.stage}_started", payload=payload)
        if known is not None:
            self.event("checkpoint_loaded", payload=plain(known))

    def event(self, event_type: str, **details: Any) -> None:
        """Record an event of the run."""
        quark.EventLogger(self.run).log(event_type, **details)

    def keyed(self, logs: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        """The values of Keras' logs by their keys in Quark: ``val_loss`` of an epoch is ``val/loss``."""
        found = {}
        for name, value in logs.items():
            word = str(name)
            path = f"val/{word[4:]}" if prefix == "train" and word.startswith("val_") else f"{prefix}/{word}"
            found[self.names.key(path, "")] = number(value)
        return found

    def saved(self, path: str, weights_only: bool, seconds: float, epoch: int) -> None:
        """A file with the model or its weights has been written."""
        if self.primary:
            payload = {
                "path": os.path.abspath(path) if "://" not in path else path, "run_id": self.run.run_id,
                "weights_only": weights_only, "duration_s": round(seconds, 6),
            }  # fmt: skip
            self.event("checkpoint_saved", step=self.last_step, epoch=epoch, payload=payload)

    def end(self, model: Any) -> None:
        """What Keras was doing is done: end the run with the true reason, if it was opened here."""
        run, callbacks = self._let_go()
        if run is None or run.status != "running":
            return
        stopper = early_stopping(callbacks) if self.stage == "fit" else None
        if stopper is not None and run.rank == 0:
            payload = {"monitor": stopper.monitor, "best": number(stopper.best), "best_epoch": stopper.best_epoch}
            quark.EventLogger(run).log("early_stopped", epoch=stopper.stopped_epoch, payload=plain(payload))
        if not self._given:
            run.finish(reason_of(model, run, callbacks) if self.stage == "fit" else "completed")

    def broken_off(self, error: BaseException | None) -> None:
        """What Keras was doing was left with ``error``, which goes on its way; None: nobody knows why."""
        run, _ = self._let_go()
        if run is None or self._given:
            return
        if error is None:
            run.finish("interrupted")
        else:
            run.__exit__(type(error), error, error.__traceback__)

    def _let_go(self) -> tuple[Any, list[Any]]:
        run, callbacks = self.run, self.callbacks
        self.run, self.callbacks = None, []
        return run, callbacks


def number(value: Any) -> Any:
    """A value on the processor as a number; one on a device stays there, for reading it would wait for it."""
    return plain_number(getattr(value, "value", value))  # a Keras variable holds a tensor
