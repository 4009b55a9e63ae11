"""The ways out of a process: normal end, exception, sys.exit, signals and fork, told to whoever still runs."""

import atexit
import os
import signal
import sys
import threading
import weakref
from types import FrameType, TracebackType
from typing import Any, Protocol

SIGNALS = ("SIGTERM", "SIGHUP")


class Exiting(Protocol):
    """Something that must know when its process ends or forks."""

    def exit_by_end(self, reason: str, error: BaseException | None) -> None:
        """The interpreter ends; ``reason`` is a stop reason."""
        ...

    def exit_by_signal(self, name: str) -> None:
        """A signal will end the process as soon as this returns."""
        ...

    def signalled(self, name: str) -> None:
        """A signal came that a handler of the user's deals with; the process may go on."""
        ...

    def after_fork_in_child(self) -> None:
        """This is a child now; only set flags."""
        ...


_open: "weakref.WeakSet[Any]" = weakref.WeakSet()
_installed = False
_ending: tuple[str, BaseException | None] | None = None
_previous: dict[int, Any] = {}
_handling: set[int] = set()


def reason_of(error: BaseException) -> str:
    """error, or interrupted for Ctrl-C, an exit, a signal and the cancellation of a task."""
    cancelled = getattr(sys.modules.get("asyncio"), "CancelledError", InterruptedError)
    if isinstance(error, (InterruptedError, cancelled)):
        return "interrupted"
    return "error" if isinstance(error, Exception) else "interrupted"


def watch(session: Exiting) -> None:
    """Tell ``session`` of the ways out until ``unwatch``."""
    _install()
    _open.add(session)


def unwatch(session: Exiting) -> None:
    """The session has ended by itself."""
    _open.discard(session)


def _install() -> None:
    global _installed
    if threading.current_thread() is threading.main_thread():
        _install_signals()
    if _installed:
        return
    _installed = True
    atexit.register(_at_exit)
    os.register_at_fork(after_in_child=_after_fork)
    sys.excepthook = _noting_excepthook(sys.excepthook)
    sys.exit = _noting_exit(sys.exit)


def _at_exit() -> None:
    reason, error = _ending or ("completed", None)
    for session in list(_open):
        session.exit_by_end(reason, error)
    if isinstance(error, KeyboardInterrupt):
        _keep_interrupt_code()


def _keep_interrupt_code() -> None:
    """Let the process still end as killed by SIGINT.

    The interpreter notes an unhandled Ctrl-C and forgets it when any code is compiled from text after that, which
    importing a database driver at the end does. Running this line notes it again.
    """
    try:
        exec("raise KeyboardInterrupt")  # noqa: S102  a constant
    except KeyboardInterrupt:
        pass


def _noting_excepthook(original: Any) -> Any:
    def excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        global _ending
        _ending = (reason_of(error), error)
        original(kind, error, trace)

    return excepthook


def _noting_exit(original: Any) -> Any:
    """``sys.exit`` is the one way out that leaves no trace by the time of atexit; it is noted as it is called."""

    def exit(status: Any = None, /) -> None:
        global _ending
        if threading.current_thread() is threading.main_thread():
            _ending = ("interrupted", SystemExit(status))
        original(status)

    return exit


def still_running() -> None:
    """A session starts or steps: an earlier ``sys.exit`` was caught, the process goes on."""
    global _ending
    _ending = None


def _install_signals() -> None:
    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is None:
            continue
        current = signal.getsignal(number)
        if current in (_on_signal, signal.SIG_IGN, None):
            continue
        _previous[number] = current
        signal.signal(number, _on_signal)


def _on_signal(number: int, frame: FrameType | None) -> None:
    name = signal.Signals(number).name
    previous = _previous.get(number, signal.SIG_DFL)
    if number in _handling:  # the handler before this one calls this one, as a framework's does that chains them
        return
    # A handler that was set later and calls this one decides what becomes of the process: without Quark it would have
    # found the default action here, which it cannot call.
    chained = signal.getsignal(number) is not _on_signal
    if chained or callable(previous):
        for session in list(_open):
            session.signalled(name)
        if callable(previous):
            _handling.add(number)
            try:
                previous(number, frame)
            finally:
                _handling.discard(number)
        return
    for session in list(_open):
        session.exit_by_signal(name)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _after_fork() -> None:
    for session in list(_open):
        session.after_fork_in_child()
    _open.clear()
