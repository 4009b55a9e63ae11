"""SIGTERM and SIGHUP: the run ends as interrupted, then the signal does what it would have done without Quark.

A handler in Python runs when the main thread executes bytecode again. A thread of ours takes over when the main thread
is in C code for too long (a collective that hangs), and a small process when nothing in this process can run any more
(C code that holds the interpreter). See ``guard.py``.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from .guard import Guard
from .last_word import LastWord

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
TAKE_OVER_S = 1.0
"""How long the main thread may take to run the handler before the thread ends the run."""
LOOK_S = 2.0
"""How often the thread looks whether the program has set a handler of its own, which no guard may overrule."""
STOP = b"\0"

_sessions: Callable[[], Iterable[Any]] = tuple
_previous: dict[int, Any] = {}
_handling: set[int] = set()
_reacted = threading.Event()
_ending = threading.RLock()
_wake: "_Wake | None" = None
_word = LastWord()
_masks: dict[int, set[int]] = {}
"""The signals that were blocked in each thread that is about to fork."""


def install(sessions: Callable[[], Iterable[Any]], directory: Path) -> None:
    """Handle the signals for what ``sessions`` returns; ``directory`` is the journal of the one that has begun.

    Only the main thread may set handlers. A run of another thread is at least not taken for one that vanished.
    """
    global _sessions, _wake
    _sessions = sessions
    _word.beside(directory, (session.journal_directory for session in sessions()))
    if threading.current_thread() is not threading.main_thread():
        _word.write_on(SIGNALS)
        return
    _word.stop_writing()
    for number in SIGNALS:
        current = signal.getsignal(number)
        if current not in (_on_signal, signal.SIG_IGN, None):
            try:
                signal.signal(number, _on_signal)
            except ValueError:  # a subinterpreter has a main thread of its own, which may not
                _word.write_on(SIGNALS)
                return
            _previous[number] = current
    if _wake is None and signal.SIG_DFL in _previous.values():
        fatal = [number for number, previous in _previous.items() if previous is signal.SIG_DFL]
        _wake = _Wake.started(_word.descriptor, fatal)


def give_back() -> None:
    """The last run has ended: what was there before is there again, but what others have put there since stays."""
    global _wake
    _word.close()
    if threading.current_thread() is not threading.main_thread():
        return  # no other thread may; without a run the handler does what the one before it did
    for number, previous in list(_previous.items()):
        if signal.getsignal(number) is _on_signal:
            signal.signal(number, previous)
            del _previous[number]
    if _wake is not None:
        _wake.stop()
        _wake = None


def before_fork() -> None:
    """Let the signals wait that end a process at once.

    Until the child knows that it is one, it would take a signal for one of the runs of its parent: end them, and write
    into the socket on which the parent listens, which would end the training.
    """
    if _wake is not None:
        _masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, _wake.fatal)


def unblock() -> None:
    """The signals need not wait any more."""
    mask = _masks.pop(threading.get_ident(), None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def after_fork() -> None:
    """A forked child has the handlers of before, and none of our threads; what waits for it is handled by these."""
    global _ending, _wake
    wake, _wake = _wake, None
    if wake is not None:
        wake.forget()
    _ending = threading.RLock()
    _handling.clear()
    give_back()
    unblock()
    _masks.clear()


def _on_signal(number: int, frame: FrameType | None) -> None:
    _reacted.set()
    previous = _previous.get(number, signal.SIG_DFL)
    if number in _handling:  # the handler before this one calls this one, as a framework's does that chains them
        return
    # A handler that was set later and calls this one decides what becomes of the process: without Quark it would have
    # found the default action here, which it cannot call.
    chained = signal.getsignal(number) is not _on_signal
    if not (chained or callable(previous)):
        _end(number)
        return
    _tell(number)
    if callable(previous):
        _handling.add(number)
        try:
            previous(number, frame)
        finally:
            _handling.discard(number)


def _tell(number: int) -> None:
    for session in list(_sessions()):
        session.signalled(signal.Signals(number).name)


def _end(number: int) -> None:
    """End the runs, then the process by the signal's default action. Who comes second waits for the first."""
    with _ending:
        for session in list(_sessions()):
            session.exit_by_signal(signal.Signals(number).name)
        if threading.current_thread() is threading.main_thread():
            signal.signal(number, signal.SIG_DFL)
        else:
            _default_action(number)
        os.kill(os.getpid(), number)
        os._exit(128 + number)


def _default_action(number: int) -> None:
    """``signal.signal`` works in the main thread only, which is busy."""
    import ctypes  # 4 ms of a start, for what hardly any run needs

    libc_signal = ctypes.CDLL(None).signal
    libc_signal.restype, libc_signal.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
    libc_signal(number, None)


class _Wake:
    """A socket that the interpreter writes the number of each signal into at once, and the thread that reads it."""

    def __init__(self, reader: socket.socket, writer: socket.socket, guard: Guard, fatal: list[int]) -> None:
        self._reader = reader
        self._writer = writer
        self._guard = guard
        self.fatal = fatal
        self._thread = threading.Thread(target=self._listen, name="quark-signals", daemon=True)

    @classmethod
    def started(cls, word: int | None, fatal: list[int]) -> "_Wake | None":
        """None where an event loop or somebody else has the wakeup descriptor of the interpreter, or there is none.

        ``fatal``: the signals that would end the process at once without Quark.
        """
        try:
            reader, writer = socket.socketpair()
        except OSError:
            return None
        reader.settimeout(LOOK_S)
        writer.setblocking(False)
        other = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        if other != -1:
            signal.set_wakeup_fd(other)
            reader.close()
            writer.close()
            return None
        wake = cls(reader, writer, Guard.of(reader.fileno(), word, fatal), fatal)
        try:
            wake._thread.start()
        except RuntimeError:  # no more threads: the handler alone has to do
            wake.forget()
            return None
        return wake

    def stop(self) -> None:
        """Give the descriptor back and end the thread."""
        self._give_back()
        self._guard.dismiss()
        with suppress(OSError):  # full of signals that are not read yet: its end ends the thread too; or it is closed
            self._writer.send(STOP)
        with suppress(OSError):
            self._writer.close()

    def forget(self) -> None:
        """Close what this process has of it; in a forked child there is no thread that would."""
        self._give_back()
        self._guard.forget()
        for end in (self._reader, self._writer):
            with suppress(OSError):
                end.close()

    def _give_back(self) -> None:
        current = signal.set_wakeup_fd(-1)
        if current not in (-1, self._writer.fileno()):
            signal.set_wakeup_fd(current)

    def _listen(self) -> None:
        self._guard.reap()
        while True:
            try:
                number = self._reader.recv(1)
            except TimeoutError:
                self._look_at_handlers()
                continue
            except OSError:  # the program has closed all descriptors, as those do that become daemons
                break
            if number in (STOP, b""):
                break
            if number[0] in SIGNALS:
                self._arrived(number[0])
        with suppress(OSError):
            self._reader.close()

    def _look_at_handlers(self) -> None:
        if any(signal.getsignal(number) is not _on_signal for number in self.fatal):
            self._guard.dismiss()

    def _arrived(self, number: int) -> None:
        if signal.getsignal(number) is not _on_signal:
            _tell(number)  # the user's own handler decides
            return
        if _previous.get(number) is signal.SIG_DFL and not _reacted.wait(TAKE_OVER_S):
            _end(number)
        _reacted.clear()
