"""A process that `quark run` started: which run it is to record, as which attempt, and how it says where that lives."""

import os
from pathlib import Path

import msgspec

from ..core.sink import Sink
from ..records.run import RunContext
from ..settings import setting

_taken: set[str] = set()


def assigned_run_id() -> str | None:
    """The id that this process was given for its run; a second run of the process is another one."""
    run_id = setting("QUARK_RUN_ID")
    if run_id in _taken:
        return None
    if run_id:
        _taken.add(run_id)
    return run_id


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
        "home": {"name": home.name, "kind": home.name, "options": home.spec()},
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
