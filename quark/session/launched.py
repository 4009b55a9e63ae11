"""A process that `quark run` started: which run it is to record, as which attempt, and how it says where that lives."""

import os
from pathlib import Path

import msgspec

from ..core.sink import Sink
from ..records.run import RunContext
from ..settings import setting
from .checks import run_id_from

TAKEN_VARIABLE = "QUARK_RUN_TAKEN"
"""Set by the process that took QUARK_RUN_ID, for those that it starts: their runs are others."""

_taken: set[str] = set()


def assigned_run_id(rank: int = 0) -> str | None:
    """The id that this process was given for its run.

    A second run of the process is another one, and so are those of the processes that it starts and of later ones of
    the same `quark run`. The other ranks of a job join the run by the id.
    """
    run_id = run_id_from("QUARK_RUN_ID")
    if run_id is None or run_id in _taken:
        return None
    if rank == 0 and (os.environ.get(TAKEN_VARIABLE) == run_id or _is_noted(run_id)):
        return None
    _taken.add(run_id)
    if rank == 0:
        os.environ[TAKEN_VARIABLE] = run_id
    return run_id


def _is_noted(run_id: str) -> bool:
    """Whether an earlier process of this attempt of `quark run` has told the launcher of the run."""
    path = setting("QUARK_RUN_FILE")
    if not path:
        return False
    try:
        note = msgspec.json.decode(Path(path).read_bytes())
    except (OSError, msgspec.MsgspecError):
        return False
    return isinstance(note, dict) and (note.get("run_id"), note.get("given")) == (run_id, attempt_of(run_id))


def attempt_of(run_id: str) -> int:
    """Which attempt at the run this is: counted by the launcher, and by torchrun where it restarts its workers."""
    if run_id != setting("QUARK_RUN_ID"):
        return 1
    restarts = os.environ.get("TORCHELASTIC_RESTART_COUNT", "")
    return setting("QUARK_RUN_ATTEMPT") + (int(restarts) if restarts.isdigit() else 0)


def leave_note(run_id: str, context: RunContext, attempt: int, home: Sink) -> None:
    """Tell the launcher where the run lives, if it asked about this one. See ``launcher/note.py``."""
    path = setting("QUARK_RUN_FILE")
    if not path:
        return
    if run_id != setting("QUARK_RUN_ID"):
        _say_there_are_others(path)
        return
    note = {
        "run_id": run_id, "storage_dir": context.storage_dir, "project": context.project.name, "attempt": attempt,
        "given": attempt_of(run_id), "home": {"name": home.name, "kind": home.name, "options": home.spec()},
    }  # fmt: skip
    made = Path(f"{path}.{os.getpid()}")
    try:
        made.write_bytes(msgspec.json.encode(note))
        os.replace(made, path)
    except OSError:
        return  # the launcher is gone, or the command runs on another machine


def _say_there_are_others(path: str) -> None:
    """The exit code of a process that records several runs says nothing of any one of them."""
    try:
        Path(f"{path}.others").touch()
    except OSError:
        return
