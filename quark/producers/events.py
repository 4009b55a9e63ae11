"""Structured events and log messages."""

from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from ..core.handle import RunHandle
from ..core.reader import RecordFilter
from ..errors import SchemaValidationError
from ..records.base import REFUSED, unrecorded
from ..records.event import EventRecord
from ..records.foreign import clean_text, described, shown
from ..records.grammar import check_index, check_severity, index_or_none, one_of
from ..records.jsonable import json_object
from ..records.literals import LOG_IDENTIFIERS
from ..records.naming import without_digests
from .attach import Attachment, check_batch_size
from .naming import event_type_of

_RESERVED = ("message", "identifier")
_DEFAULTS = {
    "run_failed": "error", "runtime_error": "error", "metric_nonfinite": "error", "runtime_interruption": "warning",
    "run_interrupted": "warning",
}  # fmt: skip
_SEVERITY_OF_IDENTIFIER = {"Debug": "debug", "Info": "info", "Warning": "warning", "Error": "error"}


def default_severity(event_type: str) -> str:
    """The severity of an event whose writer named none: by its type, else info."""
    if event_type in _DEFAULTS:
        return _DEFAULTS[event_type]
    if event_type.endswith(("_error", "_failed")):
        return "error"
    return "warning" if event_type.endswith("_warning") else "info"


def log_event(
    handle: RunHandle, event_type: str, *, severity: str | None = None, step: int | None = None,
    epoch: int | None = None, status: str | None = None, payload: Mapping[str, Any] | None = None,
    timestamp: str | None = None,
) -> EventRecord:  # fmt: skip
    """Check and journal an event; the one way that every event takes.

    Raises:
        SchemaValidationError, WrongTypeError: an argument breaks a rule.
    """
    name = event_type_of(handle, event_type)
    fields = {
        "event_type": name,
        "severity": default_severity(without_digests(name)) if severity is None else check_severity(severity),
        "status": None if status is None else clean_text(str(status)),
        "payload": json_object(payload, "payload", strict=handle.strict),
    }
    return handle.emit(
        EventRecord, fields, step=check_index(step, "step"), epoch=check_index(epoch, "epoch"), timestamp=timestamp
    )


def log_message(
    handle: RunHandle, message: str, *, identifier: str | None = "Info", step: int | None = None,
    epoch: int | None = None, status: str | None = None, payload: Mapping[str, Any] | None = None,
    timestamp: str | None = None, event_type: str = "user_log",
) -> EventRecord:  # fmt: skip
    """Check and journal a log message: an event whose payload holds ``message`` and ``identifier``.

    Raises:
        SchemaValidationError: the identifier is not Debug, Info, Warning or Error, or the payload uses a reserved key.
    """
    word = "Info" if identifier is None else one_of(identifier, LOG_IDENTIFIERS, "identifier")
    if not isinstance(message, str) or not message:
        raise SchemaValidationError(f"message must be text that is not empty, got {shown(message)}")
    details = json_object(payload, "payload", strict=handle.strict)
    taken = [key for key in _RESERVED if key in details]
    if taken:
        raise SchemaValidationError(f"payload may not hold the reserved key {taken[0]!r}; rename it")
    return log_event(
        handle, event_type, severity=_SEVERITY_OF_IDENTIFIER[word], step=step, epoch=epoch, status=status,
        payload={"message": clean_text(message), "identifier": word, **details}, timestamp=timestamp,
    )  # fmt: skip


def refused_event(handle: RunHandle, error: BaseException, what: str, arguments: Mapping[str, Any]) -> EventRecord:
    """Refuse an event and return a record that says so."""
    handle.refuse(error, what=what)
    fields = {
        "event_type": "refused", "severity": "error", "payload": {"error": described(error)},
        "step": index_or_none(arguments.get("step")), "epoch": index_or_none(arguments.get("epoch")),
    }  # fmt: skip
    return unrecorded(EventRecord, handle.journal.origin, REFUSED, fields)


class EventLogger(Attachment):
    """Logs structured events of a run.

    Args:
        session: a TrainingSession, or the RunContext of one.
        batch_size: how many of the records logged since the last ``flush`` it returns at most.
    """

    __module__ = "quark"

    def __init__(self, session: Any, *, batch_size: int = 100) -> None:
        super().__init__(session)
        self._recent: deque[EventRecord] = deque(maxlen=check_batch_size(batch_size))

    def log(
        self,
        event_type: str,
        *,
        severity: str | None = None,
        step: int | None = None,
        epoch: int | None = None,
        status: str | None = None,
        payload: Mapping[str, Any] | None = None,
        timestamp: str | None = None,
    ) -> EventRecord:
        """Record an event and return it; without ``severity`` common types get a sensible one.

        Raises:
            SchemaValidationError, WrongTypeError, ClosedError: strict mode only; otherwise the event is refused,
                counted and warned about, and a record is returned whose ``refused`` is True. A payload that JSON
                cannot hold is converted, see ``jsonable``.
        """
        return self._guarded(
            log_event, event_type, severity=severity, step=step, epoch=epoch, status=status, payload=payload,
            timestamp=timestamp,
        )  # fmt: skip

    def add_log(
        self,
        message: str,
        *,
        identifier: str | None = "Info",
        step: int | None = None,
        epoch: int | None = None,
        status: str | None = None,
        payload: Mapping[str, Any] | None = None,
        timestamp: str | None = None,
        event_type: str = "user_log",
    ) -> EventRecord:
        """Record a log message with the identifier Debug, Info, Warning or Error; raises like ``log``."""
        return self._guarded(
            log_message, message, identifier=identifier, step=step, epoch=epoch, status=status, payload=payload,
            timestamp=timestamp, event_type=event_type,
        )  # fmt: skip

    def _guarded(self, act: Any, first: Any, **arguments: Any) -> EventRecord:
        try:
            self._check_open()
            record = act(self._handle, first, **arguments)
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            return refused_event(self._handle, error, f"event {shown(first)}", arguments)
        self._recent.append(record)
        return record

    def flush(self) -> tuple[EventRecord, ...]:
        """Bring everything to the store and return the records logged since the last flush, at most ``batch_size``."""
        self._handle.flush()
        recent = tuple(self._recent)
        self._recent.clear()
        return recent

    def read(
        self, *, event_type: str | None = None, event_types: Sequence[str] | None = None, severity: str | None = None,
        step: int | None = None, step_min: int | None = None, step_max: int | None = None, epoch: int | None = None,
        epoch_min: int | None = None, epoch_max: int | None = None, limit: int | None = None,
    ) -> tuple[EventRecord, ...]:  # fmt: skip
        """The run's events in the order of recording, the first ``limit`` of them; bounds are inclusive."""
        types = one_or_many(event_type, event_types, "event_type", "event_types")
        where = {"event_type": types, "severity": None if severity is None else check_severity(severity)}
        return self._read(
            EventRecord, where, RecordFilter(
                step=step, step_min=step_min, step_max=step_max, epoch=epoch, epoch_min=epoch_min, epoch_max=epoch_max,
                limit=limit,
            ),
        )  # fmt: skip

    def __enter__(self) -> "EventLogger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def one_or_many(one: str | None, many: Sequence[str] | None, one_name: str, many_name: str) -> Any:
    """The filter value of a pair of arguments like ``event_type`` and ``event_types``; both together intersect."""
    if many is None:
        return one
    if isinstance(many, str):
        raise SchemaValidationError(f"{many_name} must be a sequence of names, got {shown(many)}; use {one_name}")
    chosen = tuple(many)
    return chosen if one is None else tuple(name for name in chosen if name == one)
