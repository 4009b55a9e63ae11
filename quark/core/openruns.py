"""The runs of this process: whoever is given a RunContext finds the run behind it, live or ended."""

from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from ..errors import ClosedError, WrongTypeError
from ..records.grammar import shown
from ..records.run import RunContext
from .handle import RunHandle

_live: dict[str, RunHandle] = {}
_ended: "WeakValueDictionary[str, RunHandle]" = WeakValueDictionary()
_reopen: Callable[[RunContext], RunHandle | None] | None = None


def reopen_with(reopen: Callable[[RunContext], RunHandle | None]) -> None:
    """How the run of a context is opened for reading when no session of this process has it."""
    global _reopen
    _reopen = reopen


def register_handle(handle: RunHandle) -> None:
    """Let what is given a RunContext find the live run behind it."""
    _live[handle.run_id] = handle


def forget_handle(handle: RunHandle) -> None:
    """The run takes no more records; its context leads to it as long as it is in use."""
    if _live.get(handle.run_id) is handle:
        del _live[handle.run_id]
        _ended[handle.run_id] = handle


def is_open(run_id: str) -> bool:
    """Whether a session of this process records the run."""
    return run_id in _live


def only_open() -> RunHandle | None:
    """The one run that is open in this process; None if there is none, or several."""
    live = list(_live.values())
    return live[0] if len(live) == 1 else None


def open_run(run_id: str) -> RunHandle | None:
    """The session of this process that records the run."""
    return _live.get(run_id)


def resolve_handle(session: Any) -> RunHandle:
    """The run behind a session, or behind the RunContext of one.

    A run that has ended, or that another process records, can be read; what is written to it is refused.

    Raises:
        WrongTypeError: neither of them.
        ClosedError: where the context's run is stored is not known in this process.
    """
    if isinstance(session, RunContext):
        handle = _live.get(session.run_id) or _ended.get(session.run_id) or (_reopen and _reopen(session))
        if handle is None:
            raise ClosedError(
                f"run {session.run_id} is not open in this process; pass the session that "
                "start_run or resume_run returned, or read it with quark.open"
            )
        return handle
    if not hasattr(session, "emit") or not hasattr(session, "run_id"):
        raise WrongTypeError(f"a TrainingSession or RunContext is needed, got {shown(session)}")
    return session
