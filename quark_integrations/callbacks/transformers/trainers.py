"""Where a Trainer is listened to: Transformers tells its callbacks neither who calls nor that something went wrong.

A callback is not given the Trainer, is not called when a training breaks off, and does not see the batches. So the
Trainer is looked up among the callers, once, and a few methods of that one object are wrapped.
"""

import sys
from collections.abc import Iterable
from typing import Any

DEEPEST = 25
HEARD = {
    # An exception that leaves one of these three has ended the training; which of them there are differs by version.
    "_inner_training_loop": "breakable", "_run_epoch": "breakable", "_finalize_training": "breakable",
    "evaluate": "alone", "predict": "alone", "get_batch_samples": "fetches", "training_step": "trains",
    "_get_grad_norm": "takes_norm", "_save_checkpoint": "saves",
}  # fmt: skip
"""Methods of a Trainer, and the method of the callback that each is run by."""


def calling_trainer() -> Any:
    """The Trainer on whose behalf this is called, or None."""
    frame = sys._getframe(1)
    for _ in range(DEEPEST):
        if frame is None:
            break
        found = frame.f_locals.get("self")
        if hasattr(found, "callback_handler") and hasattr(found, "_inner_training_loop"):
            return found
        frame = frame.f_back
    return None


class Method:
    """A method of one Trainer object that is run by the callback, as long as that is one of the Trainer's callbacks.

    Attributes:
        trainer: the Trainer.
        name: the name of the method.
        original: the method as it would be without the callback.
    """

    def __init__(self, trainer: Any, name: str, callback: Any) -> None:
        self.trainer = trainer
        self.name = name
        self._callback = callback
        self._own = vars(trainer).get(name)  # someone else has put it there

    @property
    def original(self) -> Any:
        return self._own or getattr(type(self.trainer), self.name).__get__(self.trainer)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        callback = self._callback
        if callback not in self.trainer.callback_handler.callbacks:
            return self.original(*arguments, **options)
        return getattr(callback, HEARD[self.name])(self, arguments, options)

    def is_of(self, callback: Any) -> bool:
        """Whether it is this callback that listens."""
        return self._callback is callback


def wrap(trainer: Any, callback: Any, needless: Iterable[str] = ()) -> None:
    """Listen to a Trainer, for as long as ``callback`` is one of its callbacks; not to what it need not hear."""
    for name in HEARD:
        known = vars(trainer).get(name)
        heard = isinstance(known, Method) and known.is_of(callback)
        if name not in needless and callable(getattr(trainer, name, None)) and not heard:
            setattr(trainer, name, Method(trainer, name, callback))
