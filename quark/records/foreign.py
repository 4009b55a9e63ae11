"""What a caller's own object may do while it is looked at: raise anything, print itself endlessly, or lie."""

import re
import signal
from contextlib import suppress
from types import CodeType

LONGEST_TEXT = 200
"""Characters of an object's text that are kept; a network would print pages."""

_MANY = 1000
"""Items of a collection, those within it included, whose text would take longer than a log call may."""

_COLLECTIONS = (list, tuple, dict, set, frozenset)

_ADDRESS = r" at 0x[0-9a-fA-F]+"
_SURROGATES = "[\ud800-\udfff]"


def must_propagate(error: BaseException) -> bool:
    """Whether an exception is meant for the program and not the fault of a value that was being recorded.

    Interrupts and exits are, and so is what a signal handler raised (a timeout by SIGALRM) while the value was read.
    """
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return True
    trace = error.__traceback__
    if trace is None or trace.tb_next is None:
        return False
    handlers = _signal_handlers()
    while trace is not None:
        if trace.tb_frame.f_code in handlers:
            return True
        trace = trace.tb_next
    return False


def _signal_handlers() -> set[CodeType]:
    codes = set()
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        function = getattr(handler, "__func__", handler)  # of a bound method
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType):
            codes.add(code)
    return codes


def type_name(value: object) -> str:
    """The name of a value's type, whatever its metaclass does."""
    return str(type.__dict__["__name__"].__get__(type(value)))


def clean_text(text: str) -> str:
    """Text that UTF-8 can hold: lone surrogates become U+FFFD."""
    if text.isascii():
        return text
    return re.sub(_SURROGATES, "\N{REPLACEMENT CHARACTER}", text)


def has_more(value: object, most: int) -> bool:
    """Whether a collection of Python's own kinds, and what lies in it, has more than ``most`` items.

    What it holds twice counts twice: a few lists that hold each other are without end as text.
    """
    waiting: list[object] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, _COLLECTIONS):
            most -= len(item)
            if most < 0:
                return True
            waiting.extend(item.values() if isinstance(item, dict) else item)
    return False


def shown(value: object) -> str:
    """A value for an error message: its repr, cut short, and its type; never an exception of its own."""
    name = type_name(value)
    with suppress_foreign():
        if isinstance(value, _COLLECTIONS) and has_more(value, _MANY):
            return f"{len(value):,} items ({name})"
        text = " ".join(clean_text(str.__str__(repr(value))).split("\n"))
        return f"{text if len(text) <= 120 else text[:117] + '...'} ({name})"
    return f"<an object whose repr raises> ({name})"


def shown_name(name: object) -> str:
    """A name for an error message, in quotes; what is no text with its type."""
    return shown(name).removesuffix(" (str)") if type(name) is str else shown(name)


def described(value: object) -> str:
    """An object as its author prints it: ``str`` without memory addresses, cut short; its type if that raises.

    Large collections are named by their type and size.
    """
    with suppress_foreign():
        if isinstance(value, _COLLECTIONS) and has_more(value, _MANY):
            return f"<{type_name(value)} of {len(value):,} items>"
        text = re.sub(_ADDRESS, "", clean_text(str.__str__(str(value))))
        return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 3] + "..."
    return f"<{type_name(value)}>"


def error_text(error: BaseException) -> str:
    """``ValueError: its text``, for a message; an exception may have any class, and its ``__str__`` raise anything."""
    with suppress_foreign():
        return f"{type_name(error)}: {clean_text(str.__str__(str(error)))}"
    return f"{type_name(error)}: (its text is not known)"


class suppress_foreign(suppress):  # noqa: N801  it reads like the suppress that it is
    """Suppress whatever a foreign object raises, but for what ``must_propagate``."""

    def __init__(self) -> None:
        super().__init__(BaseException)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        """Whether the exception ends here."""
        return error is not None and not must_propagate(error)
