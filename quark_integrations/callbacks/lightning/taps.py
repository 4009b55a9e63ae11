"""Where a Trainer is listened to: the values on their way to its loggers, the end of a batch, a saved checkpoint.

No public hook gives these. ``Callback.on_train_batch_end`` and ``on_validation_end`` come before Lightning has put the
values together, and ``trainer.callback_metrics`` mixes those of this epoch with those of the one before: in Lightning 2
the validation comes first, so that a row made there would show the loss of the previous epoch. Listening at the one
place that every logger is fed from gives the values, steps and epochs that ``CSVLogger`` writes, and as tensors, before
Lightning has waited for the device to turn them into numbers.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

CONNECTOR_METHODS = ("log_metrics", "update_train_step_metrics")


class Taps:
    """Wraps methods of one Trainer object until ``remove``.

    Args:
        trainer: the Trainer.
        on_values: gets the metrics and the step (None: the current one) of everything that goes to the loggers.
        on_batch_done: gets the values of a training batch when all its hooks have run.
        on_saved: gets path, ``weights_only`` and seconds of a checkpoint that was written.
        report: gets a cause and an exception of ours, which must not reach the training.
    """

    def __init__(
        self, trainer: Any, *, on_values: Callable[[Mapping[str, Any], int | None], None],
        on_batch_done: Callable[[Mapping[str, Any] | None], None], on_saved: Callable[[str, bool, float], None],
        report: Callable[[str, Exception], None],
    ) -> None:  # fmt: skip
        self._trainer = trainer
        self._on_values = on_values
        self._on_batch_done = on_batch_done
        self._on_saved = on_saved
        self._report = report
        self._wrapped: list[tuple[Any, str, Any, Any]] = []
        self._step_values: Mapping[str, Any] | None = None
        self._in_step = False
        self.forwarding = False
        self.complete = False

    def install(self, *, values: bool = True) -> None:
        """Begin to listen; ``complete`` is False where this Lightning has no such place for values."""
        if self._wrapped:
            return
        connector = getattr(self._trainer, "_logger_connector", None)
        self.complete = all(callable(getattr(connector, name, None)) for name in CONNECTOR_METHODS)
        if values and self.complete:
            self._wrap(connector, "log_metrics", self._log_metrics)
            self._wrap(connector, "update_train_step_metrics", self._update_train_step_metrics)
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

    def _wrap(self, owner: Any, name: str, around: Callable[..., Any]) -> None:
        original, before = getattr(owner, name), vars(owner).get(name)

        def wrapper(*arguments: Any, **options: Any) -> Any:
            return around(original, *arguments, **options)

        setattr(owner, name, wrapper)
        self._wrapped.append((owner, name, wrapper, before))

    def _log_metrics(self, original: Callable[..., Any], metrics: Mapping[str, Any], step: int | None = None) -> Any:
        if self._in_step and step is None:
            self._step_values = metrics
        elif metrics:
            try:
                self._on_values(metrics, step)
            except Exception as error:  # noqa: BLE001  our fault must not reach the training
                self._report("lightning_values", error)
        self.forwarding = True
        try:
            return original(metrics, step)
        finally:
            self.forwarding = False

    def _update_train_step_metrics(self, original: Callable[..., Any]) -> None:
        self._in_step, self._step_values = True, None
        try:
            original()
        finally:
            self._in_step = False
        try:
            self._on_batch_done(self._step_values)
        except Exception as error:  # noqa: BLE001  our fault must not reach the training
            self._report("lightning_step", error)

    def _save_checkpoint(
        self, original: Callable[..., Any], filepath: Any, weights_only: Any = None, *rest: Any, **options: Any
    ) -> Any:
        begun = time.perf_counter()
        saved = original(filepath, weights_only, *rest, **options)
        try:
            self._on_saved(str(filepath), bool(weights_only), time.perf_counter() - begun)
        except Exception as error:  # noqa: BLE001  our fault must not reach the training
            self._report("lightning_checkpoint", error)
        return saved


def current_step(trainer: Any) -> int:
    """The step that Lightning's loggers would be given now: optimizer steps taken before the current batch."""
    loop = trainer.fit_loop.epoch_loop
    step = getattr(loop, "_batches_that_stepped", None)
    return loop.global_step if step is None else step


def is_accumulating(trainer: Any) -> bool:
    """Whether the current batch only adds its gradients to those of the next."""
    if not trainer.lightning_module.automatic_optimization or trainer.accumulate_grad_batches == 1:
        return False
    return trainer.fit_loop._should_accumulate()


def step_values(trainer: Any) -> Mapping[str, Any]:
    """What the module has logged in this training batch for loggers."""
    return trainer._logger_connector.metrics["log"]
