"""Where a Trainer is listened to: batches, the values on their way to its loggers, checkpoints that were saved.

No public hook gives these. ``Callback.on_train_batch_end`` and ``on_validation_end`` come before Lightning has put the
values together, and ``trainer.callback_metrics`` mixes those of this epoch with those of the one before: in Lightning 2
the validation comes first, so that a row made there would show the loss of the previous epoch. Listening at the one
place that every logger is fed from gives the values, steps and epochs that ``CSVLogger`` writes, and as tensors, before
Lightning has waited for the device to turn them into numbers. It also costs less than a hook, for which Lightning opens
a span of its profiler.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

CONNECTOR_METHODS = ("log_metrics", "on_batch_start", "update_train_step_metrics")


class Taps:
    """Wraps methods of one Trainer object until ``remove``.

    Args:
        trainer: the Trainer.
        report: gets a cause and an exception of ours, which must not reach the training.
        on_saved: gets path, ``weights_only`` and seconds of a checkpoint that was written.
        on_values: gets the metrics and the step (None: the current one) of everything else that goes to the loggers.
        on_batch_start: gets a training batch before anything is done with it.
        on_batch_done: gets, when all hooks of the batch have run, the time (``time.perf_counter_ns``), the values that
            the module logged, and whether Lightning gave them to its loggers.
    """

    def __init__(
        self, trainer: Any, *, report: Callable[[str, Exception], None], on_saved: Callable[[str, bool, float], None],
        on_values: Callable[[Mapping[str, Any], int | None], None] | None = None,
        on_batch_start: Callable[[Any], None] | None = None,
        on_batch_done: Callable[[int, Mapping[str, Any], bool], None] | None = None,
    ) -> None:  # fmt: skip
        self._trainer = trainer
        self._connector: Any = getattr(trainer, "_logger_connector", None)
        self._report = report
        self._on_saved = on_saved
        self._on_values = on_values
        self._on_batch_start = on_batch_start
        self._on_batch_done = on_batch_done
        self._wrapped: list[tuple[Any, str, Any, Any]] = []
        self._step_values: Mapping[str, Any] | None = None
        self._in_step = False
        self._heard = Heard()
        self.forwarding = False
        self.complete = False

    def install(self) -> None:
        """Begin to listen; ``complete`` is False afterwards where this Lightning has no such places."""
        connector = self._connector
        self.complete = all(callable(getattr(connector, name, None)) for name in CONNECTOR_METHODS)
        if self.complete and self._on_values is not None:
            self._wrap(connector, "log_metrics", self._log_metrics)
        if self.complete and self._on_batch_start is not None and self._on_batch_done is not None:
            self._wrap(connector, "on_batch_start", self._batch_start(self._on_batch_start))
            self._wrap(connector, "update_train_step_metrics", self._batch_done(self._on_batch_done))
            self._heard = Heard(getattr(connector, "_logged_metrics", {}))
            connector._logged_metrics = self._heard
        self._wrap(self._trainer, "save_checkpoint", self._save_checkpoint)

    def remove(self) -> None:
        """Leave the Trainer as it was."""
        for owner, name, wrapper, before in reversed(self._wrapped):
            if vars(owner).get(name) is wrapper:
                if before is None:
                    delattr(owner, name)
                else:
                    setattr(owner, name, before)
        self._wrapped.clear()
        shown = getattr(self._connector, "_logged_metrics", None)
        if isinstance(shown, Heard):  # ours, or the copy that Lightning makes of it at the end
            self._connector._logged_metrics = dict(shown)

    def _wrap(self, owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        before = vars(owner).get(name)
        wrapper = make(getattr(owner, name))
        setattr(owner, name, wrapper)
        self._wrapped.append((owner, name, wrapper, before))

    def _log_metrics(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def log_metrics(metrics: Mapping[str, Any], step: int | None = None) -> Any:
            if self._in_step and step is None:
                self._step_values = metrics
            elif metrics and self._on_values is not None:
                try:
                    self._on_values(metrics, step)
                except Exception as error:  # noqa: BLE001  our fault must not reach the training
                    self._report("lightning_values", error)
            self.forwarding = True
            try:
                return original(metrics, step)
            finally:
                self.forwarding = False

        return log_metrics

    def _batch_start(self, tell: Callable[[Any], None]) -> Callable[..., Any]:
        state = self._trainer.state
        training = getattr(type(state.stage), "TRAINING", None)

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            def on_batch_start(batch: Any, dataloader_idx: int | None = None) -> None:
                original(batch, dataloader_idx)
                if state.stage is training:  # and not a batch of a validation
                    try:
                        tell(batch)
                    except Exception as error:  # noqa: BLE001  our fault must not reach the training
                        self._report("lightning_step", error)

            return on_batch_start

        return make

    def _batch_done(self, tell: Callable[[int, Mapping[str, Any], bool], None]) -> Callable[..., Any]:
        connector, clock = self._connector, time.perf_counter_ns

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            def update_train_step_metrics() -> None:
                ended_ns = clock()
                self._in_step, self._step_values = True, None
                try:
                    original()
                finally:
                    self._in_step = False
                values = self._step_values
                try:
                    tell(ended_ns, self._heard.take(connector) if values is None else values, values is not None)
                except Exception as error:  # noqa: BLE001  our fault must not reach the training
                    self._report("lightning_step", error)

            return update_train_step_metrics

        return make

    def _save_checkpoint(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def save_checkpoint(filepath: Any, weights_only: Any = None, *rest: Any, **options: Any) -> Any:
            begun = time.perf_counter()
            saved = original(filepath, weights_only, *rest, **options)
            try:
                self._on_saved(str(filepath), bool(weights_only), time.perf_counter() - begun)
            except Exception as error:  # noqa: BLE001  our fault must not reach the training
                self._report("lightning_checkpoint", error)
            return saved

        return save_checkpoint


class Heard(dict[str, Any]):
    """What ``trainer.logged_metrics`` is, and the values that were added to it last.

    Lightning puts the values of a batch together and adds them here; doing that again would cost as much.
    """

    last: Any = None

    def update(self, values: Any = (), /, **named: Any) -> None:
        """Add values, and keep the mapping that they came in."""
        dict.update(self, values, **named)
        self.last = values

    def take(self, connector: Any) -> Mapping[str, Any]:
        """The values that were added since the last call; those that Lightning puts together if it adds none here."""
        last, self.last = self.last, None
        return last if isinstance(last, dict) else connector.metrics["log"]


def current_step(trainer: Any) -> int:
    """The step that Lightning's loggers would be given now: optimizer steps taken before the current batch."""
    loop = trainer.fit_loop.epoch_loop
    step = getattr(loop, "_batches_that_stepped", None)
    return loop.global_step if step is None else step


def is_accumulating(trainer: Any) -> bool:
    """Whether the current batch only adds its gradients to those of the next."""
    if trainer.accumulate_grad_batches == 1 or not trainer.lightning_module.automatic_optimization:
        return False
    return trainer.fit_loop._should_accumulate()


def stage_of(trainer: object) -> str:
    """The namespace of what is logged now: ``val``, ``test``, or empty for training."""
    if getattr(trainer, "training", False):
        return ""
    if getattr(trainer, "validating", False):
        return "val"
    return "test" if getattr(trainer, "testing", False) else ""
