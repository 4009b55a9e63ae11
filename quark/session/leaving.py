"""How a loop over an iterator or a generator was left. It is not told; it only sees that nobody holds it any more."""

import dis
import inspect
import sys
from types import CodeType, FrameType

_LETTING_GO = frozenset(
    dis.opmap[name]
    for name in ("POP_TOP", "POP_ITER", "DELETE_FAST", "DELETE_NAME", "DELETE_GLOBAL", "STORE_FAST", "STORE_NAME",
                 "STORE_GLOBAL", "RETURN_VALUE", "RETURN_CONST")
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


def _generator() -> FrameType | None:
    """The frame of the innermost generator that runs here."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and not frame.f_code.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR):
        frame = frame.f_back
    return frame


def consumer_of_generator() -> CodeType | None:
    """The code that goes through the generator that runs here; None outside of one."""
    generator = _generator()
    return None if generator is None or generator.f_back is None else generator.f_back.f_code


def reason_of_generator(consumer: CodeType | None, exit: GeneratorExit) -> tuple[str, BaseException | None]:
    """Why the generator that runs here is closed: a stop reason, and the exception that it rests on.

    It was let go of (``break``, ``return``), closed by hand, or dropped by an exception in the body of the loop over
    it, which is not passed on to it.
    """
    generator = _generator()
    frame = None if generator is None else generator.f_back
    if left_on_purpose(frame, consumer) or _calls_close(frame):
        return "stopped", None
    if frame is not None and frame.f_code is consumer:
        return "error", RuntimeError("an exception in the body of the loop over the generator that holds the run")
    return "interrupted", exit


def _calls_close(frame: FrameType | None) -> bool:
    """Whether the frame is in a call of some ``close()``."""
    if frame is None or not 0 <= frame.f_lasti < len(frame.f_code.co_code):
        return False
    names = [
        (i.offset, i.argval) for i in dis.get_instructions(frame.f_code) if i.opname in ("LOAD_ATTR", "LOAD_METHOD")
    ]
    before = [name for offset, name in names if offset < frame.f_lasti]
    return bool(before) and before[-1] == "close"
