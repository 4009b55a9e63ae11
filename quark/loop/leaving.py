"""How a bare ``for`` was left. An iterator is not told; it only sees that nobody holds it any more."""

import dis
import sys
from types import CodeType, FrameType

_LETTING_GO = frozenset(
    dis.opmap[name]
    for name in ("POP_TOP", "POP_ITER", "DELETE_FAST", "DELETE_NAME", "DELETE_GLOBAL", "STORE_FAST", "STORE_NAME",
                 "STORE_GLOBAL")
    if name in dis.opmap
)  # fmt: skip
"""Instructions that let go of a value and never raise: ``break`` and ``return`` drop the iterator by the first two."""


def left_on_purpose(frame: FrameType | None, consumer: CodeType | None) -> bool:
    """Whether the code that went through the loop has just let go of the iterator: by break, return or del.

    An exception in the body lets go of it too, but then the frame stands at the instruction that raised. Where it
    cannot be told (another interpreter, the garbage collector's own time), the answer is no.
    """
    if frame is None or frame.f_code is not consumer or sys.implementation.name != "cpython":
        return False
    place = frame.f_lasti
    return 0 <= place < len(frame.f_code.co_code) and frame.f_code.co_code[place] in _LETTING_GO


def caller_of_finalizer() -> FrameType | None:
    """The frame in which the finalizer that calls this was run, if there is one."""
    try:
        return sys._getframe(2)
    except ValueError:
        return None


def being_cancelled() -> bool:
    """Whether the asyncio task that runs here is being cancelled."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop runs here
        return False
    return task is not None and task.cancelling() > 0
