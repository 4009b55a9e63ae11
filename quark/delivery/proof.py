"""What proves how a program ended: the frame at the bottom of its thread, and the exception behind an exit."""

import dis
import operator
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FrameType

_RETURNS = frozenset(dis.opmap[name] for name in ("RETURN_VALUE", "RETURN_CONST") if name in dis.opmap)


def reason_of(error: BaseException) -> str:
    """error, or interrupted for Ctrl-C, an exit, a signal and the cancellation of a task."""
    cancelled = getattr(sys.modules.get("asyncio"), "CancelledError", InterruptedError)
    if isinstance(error, (InterruptedError, cancelled)):
        return "interrupted"
    return "error" if isinstance(error, Exception) else "interrupted"


def cause_of(error: BaseException, *passed: BaseException) -> BaseException:
    """The exception behind ``error``: a framework catches it, prints it, and leaves by ``sys.exit(1)``.

    An exit that reports success (code 0 or none) has nothing behind it. Closing a generator may have: the exception
    that is being handled where it is closed. ``passed``: exits that led here; they may lead in a circle.
    """
    if isinstance(error, SystemExit):
        if error.code in (None, 0):
            return error
    elif not isinstance(error, GeneratorExit):
        return error
    behind = error.__cause__ or error.__context__
    if behind is None or _is_exit_request(behind) or any(behind is exit for exit in passed):
        return error
    if isinstance(behind, (SystemExit, GeneratorExit)):
        deeper = cause_of(behind, error, *passed)
        return error if deeper is behind else deeper
    if isinstance(behind.__cause__, KeyboardInterrupt):  # click turns Ctrl-C into its Abort
        return behind.__cause__
    return behind


def verdict_of_exit(error: SystemExit, caller: FrameType) -> "Verdict":
    """What a call of ``sys.exit`` says of the program, should the exit not be caught.

    ``sys.exit(main())`` passes the None that ``main`` returned, and click exits of its own accord once the command has
    returned: the program ran through. Who exits with another code may still hold the exception that it caught.
    """
    if error.args == (None,) or (error.code in (None, 0) and _is_click(caller) and "rv" in caller.f_locals):
        return COMPLETED
    if error.__context__ is None:
        error.__context__ = next(_exceptions_in(caller), None)
    cause = cause_of(error)
    return Verdict(reason_of(cause), cause)


def _is_click(frame: FrameType) -> bool:
    module = frame.f_globals.get("__name__") or ""
    return module.partition(".")[0] in ("click", "typer") and frame.f_code.co_name in ("main", "_main")


def _exceptions_in(frame: FrameType) -> Iterator[BaseException]:
    """Exceptions in local variables, also behind a method of theirs that is to report them, as in click."""
    if frame.f_locals is frame.f_globals:
        return
    for value in frame.f_locals.values():
        for error in (value, getattr(value, "__self__", None)):
            if isinstance(error, BaseException):
                yield error


def _is_exit_request(error: BaseException) -> bool:
    """click and typer ask for an exit by an exception of their own, which is no failure."""
    return type(error).__name__ == "Exit" and hasattr(error, "exit_code")


def returned(frame: FrameType) -> bool:
    """Whether the frame has ended, and by returning: one that an exception left stands at another instruction."""
    place, code = frame.f_lasti, frame.f_code.co_code
    return 0 <= place < len(code) and code[place] in _RETURNS


def returned_success(frame: FrameType) -> bool:
    """Whether a frame that has returned did so with a constant that is None or 0 as an exit code."""
    last = [step for step in dis.get_instructions(frame.f_code) if step.offset <= frame.f_lasti][-2:]
    step = last[-1] if last[-1].opname == "RETURN_CONST" else last[0]
    return step.opname in ("RETURN_CONST", "LOAD_CONST", "LOAD_SMALL_INT") and step.argval in (None, 0)


_EXITS = ("exit", "_exit", "quit", "SystemExit")


def _exit_codes() -> Iterator[tuple[FrameType, FrameType]]:
    """The frames here that are in ``sys.exit(main())``, which has looked ``sys.exit`` up before ``main`` began."""
    callee, frame = sys._getframe(), sys._getframe().f_back
    while frame is not None:
        if _is_argument_of_exit(frame):
            yield frame, callee
        callee, frame = frame, frame.f_back


def _is_argument_of_exit(frame: FrameType) -> bool:
    if not any(name in frame.f_code.co_names for name in _EXITS):
        return False
    steps = [step for step in dis.get_instructions(frame.f_code) if step.opname not in ("PRECALL", "CACHE")]
    following = [step for step in steps if step.offset > frame.f_lasti][:1]
    names = [step.argval for step in steps if step.offset < frame.f_lasti and step.argval in _EXITS]
    return bool(names) and following[0].opname.startswith("CALL") and following[0].arg == 1


def _ended_frame() -> FrameType:
    return sys._getframe()


FRAMES_TELL = returned(_ended_frame())
"""Whether the interpreter keeps the last instruction of a frame that has ended, as CPython does."""


_STARTERS = (("threading", "Thread._bootstrap_inner"), ("multiprocessing.process", "BaseProcess._bootstrap"))
"""Functions that call the code of a thread or process."""

_CATCHERS = (
    ("concurrent.futures.thread", "_WorkItem.run"), ("concurrent.futures.process", "_process_worker"),
    ("multiprocessing.pool", "worker"), ("joblib.externals.loky.process_executor", "_process_worker"),
    ("bdb", "Bdb.run"), ("profile", "_Utils.run"), ("profile", "_Utils.runctx"),
)  # fmt: skip
"""Functions of pools, debuggers and profilers that call a task or a script; what it raises is caught around them."""


def _codes(functions: tuple[tuple[str, str], ...]) -> set[CodeType]:
    """The code of those functions whose modules are imported and have them."""
    found = set()
    for module, name in functions:
        try:
            found.add(operator.attrgetter(name)(sys.modules[module]).__code__)
        except (KeyError, AttributeError):
            continue
    return found


def _bottom(frame: FrameType, callers: set[CodeType]) -> FrameType:
    while (back := frame.f_back) is not None and back.f_code not in callers:
        frame = back
    return frame


def _is_running(frame: FrameType) -> bool:
    for top in sys._current_frames().values():
        current: FrameType | None = top
        while current is not None:
            if current is frame:
                return True
            current = current.f_back
    return False


@dataclass(slots=True)
class Verdict:
    """A stop reason, and the exception that it rests on."""

    reason: str
    error: BaseException | None = None


COMPLETED = Verdict("completed")
OPEN_AT_PROMPT = Verdict("interrupted", InterruptedError("the interactive session ended while the run was open"))
"""Nobody can tell whether a notebook or a prompt was done with the run."""


@dataclass(slots=True)
class Proof:
    """The frames that must return before a run that nobody ended counts as completed.

    They are the bottom frames of the main thread and of the thread that began the run, or of the task of a pool or the
    script under a debugger that did. An exception that left one of
    them, an exit or an end of the process while one still runs leaves it at another instruction than a return. That
    holds also where ``sys.exit``, ``sys.excepthook`` and signal handlers were replaced.
    """

    own: FrameType
    main: FrameType
    thread: threading.Thread
    interactive: bool
    last_error: int
    exit_codes: list[tuple[FrameType, FrameType]]
    """Frames that pass what a function returns on to ``exit``, and the frame of that function."""
    caught: bool
    """Whether a pool, debugger or profiler catches what leaves ``own``."""

    @classmethod
    def here(cls) -> "Proof":
        """Of a run that begins now, in this thread."""
        starters, catchers = _codes(_STARTERS), _codes(_CATCHERS)
        own = _bottom(sys._getframe(), starters | catchers)
        main_thread = threading.main_thread()
        main = sys._current_frames().get(main_thread.ident or 0)
        return cls(
            own, own if main is None else _bottom(main, starters), threading.current_thread(),
            interactive=hasattr(sys, "ps1"), last_error=id(last_uncaught()), exit_codes=list(_exit_codes()),
            caught=own.f_back is not None and own.f_back.f_code in catchers,
        )  # fmt: skip

    def verdict(self, exits: Mapping[int | None, "Verdict"], cell: "Verdict | None" = None) -> Verdict:
        """How the program ended.

        Args:
            exits: what the last call of ``sys.exit`` of each thread (by its ident) said.
            cell: how the last cell of a notebook ended.
        """
        if self.interactive:
            return cell or self._of_prompt()
        own = self._of_frame(self.own, exits.get(self.thread.ident))
        main = self._of_frame(self.main, exits.get(threading.main_thread().ident))
        if self.main is not self.own and main.reason == "error":
            return main
        return own if own.reason != "completed" else main

    def _of_prompt(self) -> Verdict:
        error = self._new_error()
        return OPEN_AT_PROMPT if error is None else Verdict(reason_of(error), error)

    def _new_error(self) -> BaseException | None:
        error = last_uncaught()
        return None if id(error) == self.last_error else error

    def _of_frame(self, frame: FrameType, exit: Verdict | None) -> Verdict:
        error = self._new_error()
        if returned(frame) or (not FRAMES_TELL and exit is None and error is None):
            return COMPLETED
        current = sys.exception()  # a child process of multiprocessing ends in its finally clause
        if current is not None:
            error = cause_of(current)
            return Verdict(reason_of(error), error)
        if error is not None and _left(frame, error, untraced=frame is self.main):
            return Verdict(reason_of(error), error)
        return self._of_exit(frame, exit)

    def _of_exit(self, frame: FrameType, exit: Verdict | None) -> Verdict:
        for caller, main in self.exit_codes:
            if returned(main) and not returned(caller):
                return COMPLETED if returned_success(main) else Verdict("interrupted", SystemExit())
        if exit is not None:
            return exit
        if self.caught and frame is self.own and not _is_running(frame):
            return Verdict("error", RuntimeError("an exception left the code that began the run, and was caught"))
        if frame is not self.main and self.thread.is_alive():
            return Verdict("interrupted", InterruptedError("the program ended while the thread of the run still ran"))
        if _in_child_process():
            return Verdict("error", ChildProcessError("the process was left by an exception; see its error output"))
        return Verdict("interrupted", SystemExit())


def last_uncaught() -> BaseException | None:
    """The last exception that nobody caught; the interpreter sets it before it calls ``sys.excepthook``."""
    return getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)


def _left(frame: FrameType, error: BaseException, *, untraced: bool) -> bool:
    """Whether ``error`` passed through ``frame``; ``untraced`` is the answer for an error without a traceback."""
    trace = error.__traceback__
    if trace is None:
        return untraced
    while trace is not None and trace.tb_frame is not frame:
        trace = trace.tb_next
    return trace is not None


def _in_child_process() -> bool:
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None
