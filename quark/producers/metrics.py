"""Scalar metrics: one call, one line in the journal, about a microsecond."""

import math
from collections import deque
from collections.abc import Mapping
from time import time_ns
from types import TracebackType
from typing import Any

from ..core.reader import RecordFilter
from ..errors import ClosedError, SchemaValidationError, WrongTypeError
from ..records.base import PENDING, REFUSED, Origin, parse_timestamp, unrecorded
from ..records.foreign import clean_text, described, shown_name
from ..records.grammar import MAX_INT, SMALL_INT, index_or_none, to_float
from ..records.jsonable import json_object
from ..records.limits import check_annotations
from ..records.line import Line, OpenMetric, encode, metric_record
from ..records.metric import MetricRecord
from ..redaction import redact, redact_text
from .attach import Attachment, check_batch_size
from .device import is_on_device
from .naming import key_for
from .wide import PLAIN, full_name, keep_text, nonfinite, position_of, refuse_position

_ISFINITE = math.isfinite


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
        # The common call is of a checked key, a finite float and a step. Everything else takes the long way, which
        # stands first: CPython 3.11 compares faster where the jump is a short one.
        if not (
            type(value) is float
            and type(metric) is str
            and type(step) is int
            and step >= 0
            and (step <= SMALL_INT or step <= MAX_INT)
            and metric in self._known
            and value - value == 0.0
            and epoch is None
            and namespace is None
            and description is None
            and metadata is None
            and timestamp is None
        ):
            return self._log(metric, value, step, epoch, namespace, description, metadata, timestamp)
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

    def _log(
        self, metric: Any, value: Any, step: Any, epoch: Any, namespace: Any, description: Any, metadata: Any,
        timestamp: Any,
    ) -> MetricRecord:  # fmt: skip
        try:
            self._check_open()
            if step is None and epoch is not None:
                step = getattr(self._handle, "latest_step", None)  # of the run's own loop, where it has one
            try:
                step, epoch = position_of(self._handle, step, epoch)
            except (SchemaValidationError, WrongTypeError) as error:
                name = full_name(metric, namespace)
                refuse_position(self._handle, {name: value}, step, epoch, error)
                number = value if type(value) in PLAIN else math.nan
                return self._unrecorded(REFUSED, name, number, step, epoch)
            now = time_ns() if timestamp is None else parse_timestamp(timestamp)
            extra = redact(json_object(metadata, "metadata", strict=self._handle.strict)) or None
            text = None if description is None else redact_text(clean_text(str(description)))
            if extra is not None or text is not None:
                check_annotations(text, extra)
            if isinstance(value, str) and not self._handle.strict:
                keep_text(self._handle, full_name(metric, namespace), value, step, epoch)
            on_device = is_on_device(value)
            number = math.nan if on_device else to_float(value)
            key = key_for(self._handle, metric, namespace)  # the name is recorded only with a value
            if on_device:
                self._handle.log_values({key: value}, step=step, epoch=epoch)
                return self._unrecorded(PENDING, key, math.nan, step, epoch)
            if not _ISFINITE(number):
                raise nonfinite(self._handle, key, full_name(metric, namespace), number, step, epoch)
            self._known.add(key)
            record = self._put(key, number, step, epoch, now, text, extra)
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            return self._refused(error, metric, value, step, epoch)
        self._recent.append(record)
        return record

    def _refused(self, error: BaseException, metric: Any, value: Any, step: Any, epoch: Any) -> MetricRecord:
        key = described(metric)
        self._handle.refuse(error, what=f"metric {shown_name(metric)}", subject=key)
        number = value if type(value) in PLAIN else math.nan
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
