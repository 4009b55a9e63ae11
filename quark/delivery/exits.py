"""The ways out of a process: its end, signals and fork, and who has to know of them.

Everything that belongs to the whole process (``sys.exit``, handlers of signals) is changed when the first run begins
and given back when the last one ends.
"""

import _sitebuiltins
import atexit
import contextlib
import os
import sys
import threading
import traceback
import weakref
from pathlib import Path
from typing import Any, Protocol

from . import signals, unasked
from .patches import Patch
from .proof import COMPLETED, OPEN_AT_PROMPT, Proof, Verdict, cause_of, reason_of, verdict_of_exit


class Exiting(Protocol):
    """Something that must know when its process ends or forks."""

    @property
    def journal_directory(self) -> Path:
        """Where its journal lies."""
        ...

    def exit_by_end(self, reason: str, error: BaseException | None) -> None:
        """The interpreter ends; ``reason`` is a stop reason."""
        ...

    def exit_by_signal(self, name: str) -> None:
        """A signal will end the process as soon as this returns."""
        ...

    def signalled(self, name: str) -> None:
        """A signal came that a handler of the user's deals with; the process may go on."""
        ...

    def thread_failed(self, error: BaseException) -> None:
        """An exception that nobody caught has ended a thread that worked on this."""
        ...

    def after_fork_in_child(self) -> None:
        """This is a child now; only set flags."""
        ...


_open: "weakref.WeakKeyDictionary[Any, Proof]" = weakref.WeakKeyDictionary()
_exits: dict[int | None, Verdict] = {}
"""The last exit that each thread asked for; it may have been caught since."""
_cell: Verdict | None = None
_child_end: Any = None
_fork_hook = False


def watch(session: Exiting) -> None:
    """Tell ``session`` of the ways out until ``unwatch``."""
    _exits.clear()
    _open[session] = Proof.here()
    _install(session.journal_directory)


def unwatch(session: Exiting) -> None:
    """The session has ended by itself."""
    _open.pop(session, None)
    if not _open:
        _give_back()


def cell_ended(error: BaseException | None) -> None:
    """A cell of a notebook has ended, with the exception that left it if there is one."""
    global _cell
    cause = None if error is None else cause_of(error)
    _cell = OPEN_AT_PROMPT if cause is None else Verdict(reason_of(cause), cause)


def _note_exit(error: SystemExit) -> None:
    error.__context__ = sys.exception()
    caller = sys._getframe(3)  # behind the wrapper and the function that it calls
    if caller.f_globals.get("__name__") == "multiprocessing.spawn":
        return  # the function of the child process has ended before, and this only passes on how
    _exits[threading.get_ident()] = verdict_of_exit(error, caller)


def _note_thread(arguments: Any, /) -> None:
    """``threading.excepthook``: an exception has ended a thread."""
    error = arguments.exc_value
    if error is None or isinstance(error, SystemExit):  # which ends a thread in silence
        return
    for session, proof in list(_open.items()):
        if proof.thread is arguments.thread or unasked.works_on(error, session):
            session.thread_failed(error)


def _note_exit_of_fork(code: Any) -> None:
    """``os._exit``: a forked child ends by it without any function of atexit; other processes vanish."""
    if os.getpid() == sys.modules[__name__.partition(".")[0]]._imported_by:
        return
    verdict = COMPLETED
    if code != 0:
        error = SystemExit(code)
        error.__context__ = sys.exception()
        cause = cause_of(error)
        verdict = Verdict(reason_of(cause), cause)
    for session in list(_open):
        with contextlib.suppress(KeyboardInterrupt):  # the process ends now, whatever comes
            session.exit_by_end(verdict.reason, verdict.error)


_patches = (
    Patch(sys, "exit", lambda *status: _note_exit(SystemExit(*status))),
    Patch(_sitebuiltins.Quitter, "__call__", lambda quitter, code=None: _note_exit(SystemExit(code))),
    Patch(threading, "excepthook", _note_thread),
    Patch(os, "_exit", _note_exit_of_fork),
)


def _note_printed(*_: Any, **__: Any) -> None:
    """``traceback.print_exc``: multiprocessing prints what left the function of a child process, then forgets it."""
    error = sys.exception()
    if error is not None and sys._getframe(2).f_code.co_name == "_bootstrap":
        _exits[threading.get_ident()] = Verdict(reason_of(error), error)


_printed = Patch(traceback, "print_exc", _note_printed)


def _install(directory: Path) -> None:
    global _fork_hook
    signals.install(_open.keys, directory)
    if not _fork_hook:
        _fork_hook = True
        os.register_at_fork(before=signals.before_fork, after_in_parent=signals.unblock, after_in_child=_after_fork)
    atexit.unregister(end_open_runs)
    atexit.register(end_open_runs)  # again: a child of multiprocessing forgets what was registered before
    _watch_child_process()
    for patch in _patches:
        patch.apply()
    unasked.install(_open.keys)


def _watch_child_process() -> None:
    """A child of multiprocessing may end without the functions of atexit; its own finalizers are always called."""
    global _child_end
    process, util = sys.modules.get("multiprocessing.process"), sys.modules.get("multiprocessing.util")
    if _child_end is None and process is not None and util is not None and process.parent_process() is not None:
        _child_end = util.Finalize(None, end_open_runs, exitpriority=-100)
        _printed.apply()


def _give_back() -> None:
    global _child_end
    _exits.clear()
    signals.give_back()
    atexit.unregister(end_open_runs)
    if _child_end is not None:
        _child_end.cancel()
        _child_end = None
    _printed.remove()
    for patch in _patches:
        patch.remove()
    unasked.remove()


def end_open_runs() -> None:
    """The process ends: so do the runs that nobody has ended."""
    interrupted = False
    for session, proof in list(_open.items()):
        verdict = proof.verdict(_exits, _cell)
        interrupted = interrupted or isinstance(verdict.error, KeyboardInterrupt)
        try:
            session.exit_by_end(verdict.reason, verdict.error)
        except KeyboardInterrupt:  # the run has its end; what is left of the program is to end too
            interrupted = True
    if interrupted:
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


def _after_fork() -> None:
    global _cell, _child_end
    sessions = list(_open)
    _open.clear()
    _cell = _child_end = None
    signals.after_fork()
    atexit.unregister(end_open_runs)
    _exits.clear()
    for patch in _patches:
        patch.remove()
    unasked.remove()
    for session in sessions:
        session.after_fork_in_child()
