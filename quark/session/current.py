"""The current run of this thread of execution, for code that has no session in hand."""

from contextvars import ContextVar, Token
from typing import Any

_current: ContextVar[Any] = ContextVar("quark_current_run", default=None)


def current_run() -> Any:
    """The innermost open session of this context (thread, task), or None outside a run."""
    return _current.get()


def enter(session: Any) -> "Token[Any]":
    """Make ``session`` the current one."""
    return _current.set(session)


def leave(token: "Token[Any]") -> None:
    """Go back to the session before; a token of another thread or task changes nothing here."""
    try:
        _current.reset(token)
    except (ValueError, RuntimeError):
        return
