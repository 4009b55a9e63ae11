"""What is attached to an engine: who they are, which checkpoints they write, and why a training ended."""

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import Any

from ignite.handlers import Checkpoint, EarlyStopping
from ignite.handlers.checkpoint import BaseSaveHandler


def handlers_of(engines: Iterable[Any]) -> Iterator[Any]:
    """The handlers of engines, each once; of those that run only at some events what they wrap."""
    seen: set[int] = set()
    for engine in engines:
        for entries in list(engine._event_handlers.values()):
            for handler, *_ in entries:
                parent = getattr(handler, "_parent", None)
                found = parent() if callable(parent) else handler
                if found is not None and id(found) not in seen:
                    seen.add(id(found))
                    yield found


def reason_of(trainer: Any, run: Any, engines: Iterable[Any]) -> str:
    """The stop reason of a training that ended without an exception."""
    state = trainer.state
    if run.stop_requested:
        return run.stop_reason
    if early_stopping(trainer, engines) is not None:
        return "criterion_met"
    if state.max_iters is not None and state.iteration >= state.max_iters:
        return "max_steps"
    if state.max_epochs is not None and state.epoch >= state.max_epochs and not trainer.should_terminate:
        return "completed"
    return "stopped" if trainer.should_terminate else "completed"


def early_stopping(trainer: Any, engines: Iterable[Any]) -> Any:
    """The EarlyStopping handler that terminated ``trainer``, or None."""
    if not trainer.should_terminate:
        return None
    for handler in handlers_of(engines):
        if isinstance(handler, EarlyStopping) and handler.trainer is trainer and handler.counter >= handler.patience:
            return handler
    return None


class Checkpoints:
    """Hears of every file that Checkpoint handlers of some engines write, until ``remove``.

    Args:
        on_saved: gets the path or name of a file and the seconds that it took.
    """

    def __init__(self, on_saved: Callable[[str, float], None]) -> None:
        self._on_saved = on_saved
        self._before: list[tuple[Checkpoint, Any, Any]] = []

    def listen(self, engines: Iterable[Any]) -> None:
        """Hear of those that are attached by now."""
        known = {id(checkpoint) for checkpoint, *_ in self._before}
        for handler in handlers_of(engines):
            if isinstance(handler, Checkpoint) and id(handler) not in known:
                original = handler.save_handler
                heard = self._heard(original)
                handler.save_handler = heard
                self._before.append((handler, original, heard))

    def remove(self) -> None:
        """Leave the handlers as they were."""
        for checkpoint, original, heard in self._before:
            if checkpoint.save_handler is heard:
                checkpoint.save_handler = original
        self._before.clear()

    def _heard(self, original: Any) -> Any:
        def save(*arguments: Any) -> None:
            begun = perf_counter()
            original(*arguments)
            name = str(arguments[1])
            directory = getattr(original, "dirname", None)
            self._on_saved(name if directory is None else str(directory / name), perf_counter() - begun)

        if not isinstance(original, BaseSaveHandler):
            return save
        # Ignite asks what kind of handler it has: a twin of the user's, of a subclass of its class
        kind = type(original)
        twin = object.__new__(type(kind.__name__, (kind,), {"__call__": lambda self, *arguments: save(*arguments)}))
        object.__setattr__(twin, "__dict__", vars(original))  # the same state: it knows the files of both
        return twin
