"""Scalar metrics: one call, one line in the journal, about a microsecond."""

import math
from collections import deque
from collections.abc import Iterator, Mapping
from time import time_ns
from types import TracebackType
from typing import Any

from orjson import OPT_APPEND_NEWLINE, dumps

from ..core.handle import RunHandle
from ..core.reader import RecordFilter
from ..errors import ClosedError, SchemaValidationError, WrongTypeError
from ..records.base import PENDING, REFUSED, Origin, parse_timestamp, unrecorded
from ..records.event import EventRecord
from ..records.foreign import clean_text, described, must_propagate, shown
from ..records.grammar import check_key, check_position, index_or_none, to_float
from ..records.jsonable import json_object
from ..records.limits import check_annotations
from ..records.line import WIDE, Line, OpenMetric, encode, metric_record
from ..records.metric import MetricRecord
from ..records.naming import NONFINITE
from ..redaction import redact, redact_text
from .attach import Attachment, check_batch_size
from .device import is_on_device
from .events import log_event
from .naming import declare, key_for

_ISFINITE = math.isfinite
_PLAIN = frozenset((float, int))

LOGGED_TEXT = "logged_text"
"""The event that keeps the texts of a ``run.log`` call: its payload holds them by name."""

DEEPEST = 16
"""Levels of mappings within each other whose names are put together."""


class MetricsLogger(Attachment):
    """Logs scalar metrics of a run.

    Args:
        session: a TrainingSession, or the RunContext of one.
        batch_size: how many of the records logged since the last ``flush`` it returns at most.
    """

    __module__ = "quark"

    def __init__(self, session: Any, *, batch_size: int = 100) -> None:
        super().__init__(session)
        self._recent: deque[MetricRecord] = deque(maxlen=check_batch_size(batch_size))
        self._journal = self._handle.journal
        self._known = self._handle.known_keys
        self._origin = self._journal.origin
        if self._handle.disabled:
            self.log = _log_nothing

    def log(
        self,
        metric: str,
        value: float,
        *,
        step: int | None = None,
        epoch: int | None = None,
        namespace: str | None = None,
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        timestamp: str | None = None,
    ) -> MetricRecord:
        """Record one sample of a metric and return it, frozen.

        The record survives the process from the moment this returns. ``value`` may be a Python, NumPy or torch scalar;
        a tensor on a device is copied without waiting for the device, and recorded when it has arrived.

        Returns:
            The record. Outside strict mode a value that was refused (see Raises) gives a record whose ``refused`` is
            True, with the value NaN unless it was a number; a value that is still on a device one whose ``pending`` is
            True. Neither is in the journal.

        Raises:
            SchemaValidationError: strict mode, and the value is not finite, the key breaks the grammar, or neither
                step nor epoch is given. Outside strict mode it is counted and warned about; a non-finite value is
                kept as an event ``metric_nonfinite``, which readers show as a point of ``series.nonfinite``.
            WrongTypeError: likewise, for a value of a wrong type.
            ClosedError: strict mode, and the logger or the run is closed.
        """
        # The common call: a checked key, a finite float, a step. Everything else takes the long way.
        if (
            type(value) is float
            and type(metric) is str
            and type(step) is int
            and not step >> 63  # from 0 to 2**63 - 1
            and metric in self._known
            and value - value == 0.0
            and epoch is None
            and namespace is None
            and description is None
            and metadata is None
            and timestamp is None
        ):
            journal = self._journal
            now = time_ns()
            try:
                while True:
                    number = journal.next
                    if journal.put(number, encode(Line("metric", number, now, step, None, metric, value)) + b"\n"):
                        break
            except ClosedError as error:
                return self._refused(error, metric, value, step, epoch)
            # metric_record written out: the call would cost more than all of these
            record: Any = OpenMetric()  # pyright: ignore[reportCallIssue]
            record._origin = self._origin
            record._time = now
            record.sequence = number
            record.metric_key = metric
            record.value = value
            record.step = step
            record.epoch = None
            record.__class__ = MetricRecord
            self._recent.append(record)
            return record
        return self._log(metric, value, step, epoch, namespace, description, metadata, timestamp)

    def _log(
        self, metric: Any, value: Any, step: Any, epoch: Any, namespace: Any, description: Any, metadata: Any,
        timestamp: Any,
    ) -> MetricRecord:  # fmt: skip
        try:
            self._check_open()
            if step is None and epoch is not None:
                step = getattr(self._handle, "latest_step", None)  # of the run's own loop, where it has one
            step, epoch = check_position(step, epoch)
            now = time_ns() if timestamp is None else parse_timestamp(timestamp)
            extra = redact(json_object(metadata, "metadata", strict=self._handle.strict)) or None
            text = None if description is None else redact_text(clean_text(str(description)))
            if extra is not None or text is not None:
                check_annotations(text, extra)
            on_device = is_on_device(value)
            number = math.nan if on_device else to_float(value)
            key = key_for(self._handle, metric, namespace)  # the name is recorded only with a value
            if on_device:
                self._handle.log_values({key: value}, step=step, epoch=epoch)
                return self._unrecorded(PENDING, key, math.nan, step, epoch)
            if not _ISFINITE(number):
                name = metric if namespace is None else f"{namespace}/{metric}"
                raise _nonfinite(self._handle, key, name, number, step, epoch)
            self._known.add(key)
            record = self._put(key, number, step, epoch, now, text, extra)
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            return self._refused(error, metric, value, step, epoch)
        self._recent.append(record)
        return record

    def _refused(self, error: BaseException, metric: Any, value: Any, step: Any, epoch: Any) -> MetricRecord:
        key = described(metric)
        self._handle.refuse(error, what=f"metric {shown(metric)}", subject=key)
        number = value if type(value) in _PLAIN else math.nan
        return self._unrecorded(REFUSED, key, number, step, epoch)

    def _unrecorded(self, state: int, key: str, value: Any, step: Any, epoch: Any) -> MetricRecord:
        namespace, _, name = key.rpartition("/")
        return unrecorded(
            MetricRecord, self._origin, state, {
                "metric_key": key, "namespace": namespace or None, "metric_name": name, "value": value,
                "step": index_or_none(step), "epoch": index_or_none(epoch), "metadata": {},
            },
        )  # fmt: skip

    def _put(
        self, key: str, value: float, step: int | None, epoch: int | None, now: int, description: str | None,
        metadata: dict[str, Any] | None,
    ) -> MetricRecord:  # fmt: skip
        journal = self._journal
        while True:
            number = journal.next
            line = Line("metric", number, now, step, epoch, key, value, None, description, metadata)
            if journal.put(number, encode(line) + b"\n"):
                break
        record = metric_record(self._origin, number, now, key, value, step, epoch)
        for name, given in (("description", description), ("metadata", metadata or {})):
            object.__setattr__(record, name, given)
        return record

    def flush(self) -> tuple[MetricRecord, ...]:
        """Bring everything to the store and return the records logged since the last flush, at most ``batch_size``."""
        self._handle.flush()
        recent = tuple(self._recent)
        self._recent.clear()
        return recent

    def read(
        self, *, metric_key: str | None = None, namespace: str | None = None, metric_name: str | None = None,
        step: int | None = None, step_min: int | None = None, step_max: int | None = None, epoch: int | None = None,
        epoch_min: int | None = None, epoch_max: int | None = None, limit: int | None = None,
    ) -> tuple[MetricRecord, ...]:  # fmt: skip
        """The run's metrics in the order of recording, the first ``limit`` of them; bounds are inclusive."""
        where = {"metric_key": metric_key, "namespace": namespace, "metric_name": metric_name}
        return self._read(
            MetricRecord, where, RecordFilter(
                step=step, step_min=step_min, step_max=step_max, epoch=epoch, epoch_min=epoch_min, epoch_max=epoch_max,
                limit=limit,
            ),
        )  # fmt: skip

    def __enter__(self) -> "MetricsLogger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_NOTHING = metric_record(Origin("disabled", "0-1-disabled"), 0, 0, "disabled", 0.0, 0, None)


def _log_nothing(metric: str, value: float, **arguments: Any) -> MetricRecord:
    """``log`` with QUARK_DISABLE=1: chosen once, so that a call costs nothing."""
    return _NOTHING


class NonFiniteMetricError(SchemaValidationError):
    """A value was NaN or infinite. Outside strict mode it is recorded all the same, as an event."""

    __module__ = "quark.errors"


def _nonfinite(
    handle: RunHandle, key: str, name: str, value: float, step: int | None, epoch: int | None
) -> NonFiniteMetricError:
    """Outside strict mode a NaN becomes an event: it is what the user must see; the error says the rest."""
    word = "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if not handle.strict:
        declare(handle, key)
        payload = {"key": key, "value": word, **({} if name == key else {"name": name})}
        handle.emit(
            EventRecord, {"event_type": NONFINITE, "severity": "error", "payload": payload}, step=step, epoch=epoch
        )
    return NonFiniteMetricError(
        f"metric {name!r} must be finite, got {word} at step {step}, epoch {epoch}; "
        "look for a division by zero, a too high learning rate or an overflow"
    )


def log_values(
    handle: RunHandle, values: Mapping[str, Any], step: int | None, epoch: int | None, time: int | None = None
) -> None:
    """The wide record: all values of one step as one line. What is not a finite number leaves its neighbours alone.

    One sum tells whether all values are plain finite numbers: it is a float that is neither NaN nor infinite, and
    adding anything else raises or gives another type. (A sum that overflows only costs the longer way.)
    """
    journal = handle.journal
    now = time_ns() if time is None else time
    try:
        if (
            type(values) is dict
            and type(step) is int
            and not step >> 63  # from 0 to 2**63 - 1
            and (epoch is None or (type(epoch) is int and not epoch >> 63))
            and values.keys() <= handle.known_keys
            and type(total := sum(values.values())) in _PLAIN
            and total - total == 0.0
        ):
            while True:
                number = journal.next
                line = {"kind": WIDE, "sequence": number, "time": now, "step": step, "epoch": epoch, "values": values}
                if journal.put(number, dumps(line, None, OPT_APPEND_NEWLINE)):
                    return
    except (TypeError, ValueError, OverflowError):  # text, None, a tensor, a nested mapping: looked at one by one
        pass
    except ClosedError:
        raise
    except BaseException as error:  # an object raises what it likes when it is added up
        if must_propagate(error):
            raise
    _log_checked(handle, values, step, epoch, now)


def _log_checked(handle: RunHandle, values: Any, step: Any, epoch: Any, now: int) -> None:
    step, epoch = check_position(step, epoch)
    if handle.names.metrics and (keyed := _keyed(handle, values)) is not None:
        _put_wide(handle, keyed, step, epoch, now)
        return
    if not isinstance(values, Mapping):
        raise WrongTypeError(
            f"log takes a mapping of metric names to numbers, got {shown(values)}; log {{'loss': 0.5}}"
        )
    finite: dict[str, float] = {}
    texts: dict[str, str] = {}
    try:
        _sort_out(handle, values, step, epoch, now, finite, texts)
    except BaseException as error:  # noqa: BLE001  the mapping itself may raise half way; what came before is kept
        handle.refuse(error, what="log")
    if texts:
        log_event(handle, LOGGED_TEXT, step=step, epoch=epoch, payload=texts)
    if finite:
        _put_wide(handle, finite, step, epoch, now)


def _keyed(handle: RunHandle, values: Any) -> dict[str, float] | None:
    """The values by their keys, if all have names that were used before and all are finite numbers; else None."""
    if type(values) is not dict:
        return None
    names = handle.names.metrics
    keyed = {names.get(name, name): value for name, value in values.items()}
    if len(keyed) != len(values) or not keyed.keys() <= handle.known_keys:
        return None
    return keyed if all(type(value) is float and value - value == 0.0 for value in keyed.values()) else None


def _put_wide(handle: RunHandle, values: dict[str, float], step: int | None, epoch: int | None, now: int) -> None:
    journal = handle.journal
    while True:
        number = journal.next
        if journal.put(number, encode(Line(WIDE, number, now, step, epoch, None, None, values)) + b"\n"):
            return


def _sort_out(
    handle: RunHandle, values: Mapping[Any, Any], step: int | None, epoch: int | None, now: int,
    finite: dict[str, float], texts: dict[str, str],
) -> None:  # fmt: skip
    """Put numbers into ``finite`` and texts into ``texts``; refuse the rest one by one."""
    for name, value in _flat(values):
        try:
            if is_on_device(value):
                handle.defer(_key(handle, name), value, step, epoch, now)
            elif isinstance(value, str):
                texts[_name_of_text(handle, name)] = clean_text(str.__str__(value))
            else:
                number = to_float(value)
                key = _key(handle, name)  # the name is recorded only with a value
                if not _ISFINITE(number):
                    raise _nonfinite(handle, key, name, number, step, epoch)
                handle.known_keys.add(key)
                if key in finite:  # by its name and by its key in one call: both values are points
                    _put_wide(handle, {key: number}, step, epoch, now)
                else:
                    finite[key] = number
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            handle.refuse(error, what=f"metric {shown(name)}", subject=described(name))


def _key(handle: RunHandle, name: Any) -> str:
    return name if name in handle.known_keys else key_for(handle, name)


def _name_of_text(handle: RunHandle, name: Any) -> str:
    """The name of a text in an event's payload, where any text may stand."""
    return check_key(name) if handle.strict or not isinstance(name, str) else clean_text(str.__str__(name))


def _flat(values: Mapping[Any, Any]) -> Iterator[tuple[Any, Any]]:
    """Nested mappings as ``outer/inner`` names; one that is nested too deep, or holds itself, is left as it is."""
    stack = [("", iter(values.items()), 0)]
    while stack:
        prefix, items, depth = stack[-1]
        for name, value in items:
            full = f"{prefix}{name}" if isinstance(name, str) else name
            if depth < DEEPEST and isinstance(value, Mapping):
                stack.append((f"{full}/", iter(value.items()), depth + 1))
                break
            yield full, value
        else:
            stack.pop()
