"""Where a Keras model is listened to while it is in a fit: its training step and the files that it saves.

``on_train_batch_end`` runs on other threads where all callbacks allow it, so that the training need not wait for the
values of its metrics; the end of a step is seen at ``train_function`` instead. Of saved files no callback hears.
"""

import time
from collections.abc import Callable
from typing import Any


class Taps:
    """Wraps methods of one model until ``remove``.

    Args:
        model: the Keras model.
        report: gets a cause and an exception of ours, which must not reach the training.
        on_begin: gets the data of a step before it is trained on.
        on_end: called when a step is done, before any callback hears of it.
        on_saved: gets path, whether it holds weights only, and seconds of a file that was written.
    """

    def __init__(
        self, model: Any, *, report: Callable[[str, Exception], None], on_begin: Callable[[Any], None],
        on_end: Callable[[], None], on_saved: Callable[[str, bool, float], None],
    ) -> None:  # fmt: skip
        self._model = model
        self._report = report
        self._on_begin = on_begin
        self._on_end = on_end
        self._on_saved = on_saved
        self._step: Any = None
        self._original: Any = None
        self._saving: dict[str, Any] = {}

    def install(self) -> None:
        """Begin to listen, or again where the model has made itself another step since."""
        model = self._model
        current = getattr(model, "train_function", None)
        if current is not None and current is not self._step:
            self._original = current
            self._step = model.train_function = self._listening(current)
        for name in ("save", "save_weights"):
            if name not in self._saving:
                self._saving[name] = wrapper = self._telling(getattr(model, name), weights_only=name == "save_weights")
                setattr(model, name, wrapper)

    def remove(self) -> None:
        """Leave the model as it was."""
        model = self._model
        if self._step is not None and model.train_function is self._step:
            model.train_function = self._original
        self._step = None
        for name, wrapper in self._saving.items():
            if vars(model).get(name) is wrapper:
                delattr(model, name)
        self._saving.clear()

    def _listening(self, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def train_function(data: Any) -> Any:
            self._guarded(self._on_begin, data)
            logs = original(data)
            self._guarded(self._on_end)
            return logs

        return train_function

    def _telling(self, original: Callable[..., Any], *, weights_only: bool) -> Callable[..., Any]:
        def save(filepath: Any, *rest: Any, **options: Any) -> Any:
            begun = time.perf_counter()
            saved = original(filepath, *rest, **options)
            self._guarded(self._on_saved, str(filepath), weights_only, time.perf_counter() - begun)
            return saved

        return save

    def _guarded(self, act: Callable[..., None], *arguments: Any) -> None:
        try:
            act(*arguments)
        except Exception as error:  # noqa: BLE001  our fault must not reach the training
            self._report("keras_step", error)
