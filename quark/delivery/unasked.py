"""Exceptions of pools and tasks that nobody asks for: they end no thread and no program, and vanish with their future.

While a run is open, a future whose function raised while it used the run is noted, until somebody asks for its result.
"""

import operator
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from .patches import Patch

_ASKED, _NOTE = "_quark_asked", "_quark_note"
_sessions: Callable[[], Iterable[Any]] = tuple
_waiting: "weakref.WeakSet[_Note]" = weakref.WeakSet()
_forgotten: "weakref.WeakKeyDictionary[Any, BaseException]" = weakref.WeakKeyDictionary()
"""The first exception of each session that nobody can ask for any more."""
_lock = threading.RLock()
_patches: dict[tuple[str, str], Patch] = {}


class _Note:
    """What a future holds about its exception; when the future goes unasked, so does this."""

    def __init__(self, session: Any, error: BaseException) -> None:
        self.session = weakref.ref(session)
        self.error: BaseException | None = error

    def __del__(self) -> None:
        session = self.session()
        if session is not None and self.error is not None:
            _forgotten.setdefault(session, self.error)


def works_on(error: BaseException, session: Any) -> bool:
    """Whether one of the functions that an exception has left uses ``session``."""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        names = frame.f_code.co_names
        used = [*frame.f_locals.values(), *(frame.f_globals.get(name) for name in names)]
        if any(value is session for value in used):
            return True
        trace = trace.tb_next
    return False


def error_of(session: Any) -> BaseException | None:
    """An exception of a task that used ``session``, which nobody has asked for; None if there is none."""
    with _lock:
        waiting = list(_waiting)
    for note in waiting:
        if note.session() is session and note.error is not None:
            return note.error
    return _forgotten.get(session)


def install(sessions: Callable[[], Iterable[Any]]) -> None:
    """Note the exceptions of futures and tasks for what ``sessions`` returns."""
    global _sessions
    _sessions = sessions
    for (module, path), before in _HOOKS.items():
        owner_name, _, name = path.rpartition(".")
        try:
            owner = operator.attrgetter(owner_name)(sys.modules[module])
            patch = _patches.get((module, path)) or Patch(owner, name, before)
            patch.apply()
        except (KeyError, AttributeError):  # not imported, or without this function in this version of Python
            continue
        _patches[module, path] = patch


def remove() -> None:
    """No run is open in this process any more."""
    for patch in _patches.values():
        patch.remove()
    _forgotten.clear()


def _note_failure(future: Any, error: BaseException | None) -> None:
    if error is None or _ASKED in future.__dict__:
        return
    for session in list(_sessions()):
        if works_on(error, session):
            note = future.__dict__[_NOTE] = _Note(session, error)
            with _lock:
                _waiting.add(note)


def _note_asked(future: Any, *_: Any, **__: Any) -> None:
    future.__dict__[_ASKED] = True
    note = future.__dict__.pop(_NOTE, None)
    if note is not None:
        note.error = None


def _note_pool_result(result: Any, _: int, outcome: tuple[bool, Any]) -> None:
    """``ApplyResult._set`` of multiprocessing's pools, which may call a function with the error."""
    succeeded, value = outcome
    if not succeeded and result._error_callback is None:
        _note_failure(result, value)


def _note_unhandled(loop: Any, context: dict[str, Any]) -> None:
    """``call_exception_handler`` of asyncio: an exception of a task or a callback that nobody has retrieved."""
    error = context.get("exception")
    for session in list(_sessions()):
        if error is not None and works_on(error, session):
            _forgotten.setdefault(session, error)


_HOOKS: dict[tuple[str, str], Callable[..., None]] = {
    ("concurrent.futures", "Future.set_exception"): _note_failure,
    ("concurrent.futures", "Future.result"): _note_asked,
    ("concurrent.futures", "Future.exception"): _note_asked,
    ("multiprocessing.pool", "ApplyResult._set"): _note_pool_result,
    ("multiprocessing.pool", "MapResult._set"): _note_pool_result,
    ("multiprocessing.pool", "ApplyResult.get"): _note_asked,
    ("multiprocessing.pool", "ApplyResult.successful"): _note_asked,
    ("asyncio", "BaseEventLoop.call_exception_handler"): _note_unhandled,
}
"""Where exceptions of tasks pass, and where somebody asks for them."""
