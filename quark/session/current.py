"""The current run of this thread of execution, for code that has no session in hand."""

from contextvars import ContextVar
from typing import Any

from ..core.openruns import only_open

_open: ContextVar[tuple[Any, ...]] = ContextVar("quark_open_runs", default=())


def current_run() -> Any:
    """The innermost open session of this context (thread, task), or None outside a run."""
    for session in reversed(_open.get()):
        if session.status == "running":
            return session
    return None


def innermost_run() -> Any:
    """The session that this context opened last and has not left, whatever its status; quick, for every print."""
    runs = _open.get()
    return runs[-1] if runs else None


def run_to_log_to() -> Any:
    """The current run, or in a thread that has none the only run that is open in this process."""
    return current_run() or only_open()


def enter(session: Any) -> None:
    """Make ``session`` the current one."""
    _open.set((*_open.get(), session))


def leave(session: Any) -> None:
    """Forget a session; sessions may end in any order."""
    _open.set(tuple(other for other in _open.get() if other is not session))
