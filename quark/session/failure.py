"""The exception that ended a run, as a log message: whatever it is, it never keeps the run from ending."""

from typing import TYPE_CHECKING

from ..delivery.proof import reason_of
from ..producers.events import log_message
from ..records.grammar import clean_text
from ..redaction import redact_text

if TYPE_CHECKING:
    from .recorder import Recorder

LONGEST = 4000


def described(error: BaseException) -> str:
    """The type and the text of an exception; its ``__str__`` may raise."""
    name = type(error).__name__
    try:
        text = redact_text(clean_text(str(error)))
    except Exception as problem:  # noqa: BLE001  any code may run here
        text = f"(its text is not known: __str__ raised {type(problem).__name__})"
    return f"{name}: {text}"[:LONGEST] if text else name


def record_failure(session: "Recorder", error: BaseException, step: int | None) -> None:
    """Log ``error`` as what ended the run; with what explains it where memory ran out."""
    failed = reason_of(error) == "error"
    try:
        log_message(
            session, described(error), identifier="Error" if failed else "Warning", step=step,
            payload={"exception_type": type(error).__name__},
            event_type="runtime_error" if failed else "runtime_interruption",
        )  # fmt: skip
        if failed:
            from ..producers.out_of_memory import bundle_out_of_memory  # only here: a good run need not import it

            bundle_out_of_memory(session, error, step=step)
    except Exception as problem:  # noqa: BLE001  the run must get its end
        session.report("runtime_error", described(problem))
