"""Notebook cells: one that runs again ends the run that it had opened, and the last one tells how the kernel ends."""

import logging
import re
import sys
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..delivery import exits

if TYPE_CHECKING:
    from .session import TrainingSession

logger = logging.getLogger("quark")

_INPUT = re.compile(r"<ipython-input-\d+-(\w+)>")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell in one of its executions."""

    place: str
    execution: int


_opened: "weakref.WeakKeyDictionary[TrainingSession, Cell]" = weakref.WeakKeyDictionary()


def current_cell() -> Cell | None:
    """The notebook cell that runs now; None outside of IPython."""
    shell = _shell()
    if shell is None:
        return None
    place = _identity(shell) or _code(shell)
    return None if place is None else Cell(place, int(shell.execution_count))


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def _identity(shell: Any) -> str | None:
    """The id that the notebook gives its cells, where it does; it stays when the code is edited."""
    try:
        metadata = shell.get_parent()["metadata"]
        return metadata.get("cellId") or metadata.get("colab", {}).get("cell_id")
    except (AttributeError, KeyError, TypeError):  # a terminal, or a front end that names no cells
        return None


def _code(shell: Any) -> str | None:
    """The file name of the cell's code, which is made from its text."""
    frame = sys._getframe()
    found = None
    while frame is not None:
        if frame.f_globals is shell.user_ns and frame.f_code.co_name == "<module>":
            found = frame.f_code.co_filename
        frame = frame.f_back
    return None if found is None else _INPUT.sub(r"\1", found)


def end_earlier(cell: Cell | None) -> None:
    """End as interrupted what earlier executions of this cell opened and did not end."""
    if cell is None:
        return
    for session, opener in list(_opened.items()):
        if opener.place == cell.place and opener.execution != cell.execution and session.status == "running":
            logger.warning(
                "quark: this cell runs again, so the run %s that it had opened is ended as interrupted; "
                "end a run with run.end_run(), or open it with 'with'", session.run_id,
            )  # fmt: skip
            session.exit_by_end("interrupted", InterruptedError("the notebook cell that opened the run was run again"))


def opened_by(cell: Cell | None, session: "TrainingSession") -> None:
    """Remember which cell opened a session, and listen for how this and the cells after it end."""
    if cell is None:
        return
    _opened[session] = cell
    events = getattr(_shell(), "events", None)
    if events is not None and _cell_ended not in events.callbacks["post_run_cell"]:
        events.register("post_run_cell", _cell_ended)


def _cell_ended(result: Any) -> None:
    exits.cell_ended(result.error_before_exec or result.error_in_exec)
    if not any(session.status == "running" for session in _opened):
        _shell().events.unregister("post_run_cell", _cell_ended)
