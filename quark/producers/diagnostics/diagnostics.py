"""DataDiagnostics: the loss and make-up of each batch, and what they tell of the data."""

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any

from ...core.handle import RunHandle
from ...core.reader import RecordFilter
from ...errors import SchemaValidationError, WrongTypeError
from ...records.base import PENDING, REFUSED, parse_timestamp, unrecorded
from ...records.batch import BatchDiagnosticRecord
from ...records.batchvalues import sample_ids_of
from ...records.configs import DataDiagnosticsConfig
from ...records.grammar import check_index, index_or_none, shown, to_float
from ..attach import Attachment
from ..device import DeviceValues, is_on_device
from ..events import log_event
from ..telemetry.once import warn_once
from ..writing import RecordWriter
from .describing import batch_fields, extracted
from .exposure import Exposure
from .hard import LossStream, Mark
from .results import DataDiagnosticsSummary, ExposureSummary, HardBatchFinding

_WRITER = RecordWriter(BatchDiagnosticRecord)
_EVERYTHING = RecordFilter()

DEVICE_WAIT_S = 1.0
"""How long ``flush``, reading and ``close`` wait for losses that are still on a device."""


class DataDiagnostics(Attachment):
    """Records loss, sample ids, classes and sequence lengths of batches, and finds the hard ones; never a sample.

    Args:
        session: a TrainingSession, or the RunContext of one.
        config: the adapter of the batches and the thresholds; the defaults if omitted.
    """

    __module__ = "quark"

    def __init__(self, session: Any, *, config: DataDiagnosticsConfig | None = None) -> None:
        super().__init__(session)
        if config is not None and not isinstance(config, DataDiagnosticsConfig):
            raise WrongTypeError(f"config must be a DataDiagnosticsConfig, got {shown(config)}")
        self._config = config or DataDiagnosticsConfig()
        self._recent: deque[BatchDiagnosticRecord] = deque(maxlen=self._config.batch_size)
        self._devices = DeviceValues()
        if self._handle.disabled:
            nothing = _unrecorded(self._handle, REFUSED, math.nan, None, None)
            self.log_batch = lambda loss, **arguments: nothing  # chosen once, so that a call costs nothing
            return
        attach = getattr(self._handle, "attach", None)
        if attach is not None:
            attach(self)

    def log_batch(
        self,
        loss: float,
        *,
        step: int | None = None,
        epoch: int | None = None,
        batch: Any | None = None,
        batch_size: int | None = None,
        labels: Any | None = None,
        sample_ids: Any | None = None,
        sequence_lengths: Any | None = None,
        metadata: Mapping[str, Any] | None = None,
        timestamp: str | None = None,
    ) -> BatchDiagnosticRecord:
        """Record the loss and the make-up of one batch and return the record, frozen.

        A loss on a device is copied without waiting for it, and recorded when it has arrived. Labels, ids and lengths
        may be lists, arrays or tensors; one that is on a device is copied as a whole, which waits for the device.

        Args:
            loss: the batch's loss, one number.
            step: training step, at least 0.
            epoch: training epoch, at least 0.
            batch: the batch itself, for the adapter of the config; it is not kept.
            batch_size: number of samples; without it they are counted by ids, labels or lengths.
            labels: one class per sample, shape (samples,), or ``{class: count}``.
            sample_ids: one id per sample, shape (samples,).
            sequence_lengths: length of each sequence in tokens, shape (sequences,).
            metadata: free JSON object with further context.
            timestamp: RFC 3339; now if omitted.

        Returns:
            The record. Outside strict mode a batch that was refused (see Raises) gives one whose ``refused`` is True,
            a batch whose loss is still on a device one whose ``pending`` is True; neither is in the journal.

        Raises:
            SchemaValidationError, WrongTypeError, ClosedError: strict mode only; otherwise the batch is refused,
                counted and warned about. A loss that is not finite is then kept as an event ``metric_nonfinite``
                with the key ``batch_loss`` and the sample ids.
        """
        try:
            self._check_open()
            now = time.time_ns() if timestamp is None else parse_timestamp(timestamp)
            step, epoch = check_index(step, "step"), check_index(epoch, "epoch")
            adapter = self._config.adapter
            if batch is not None and adapter is None:
                warn_once("batch adapter", "log_batch(batch=...) needs DataDiagnosticsConfig(adapter=...) to be read")
            known = extracted(adapter, batch)
            body = batch_fields(
                known, batch_size, labels, sample_ids, sequence_lengths, metadata, strict=self._handle.strict
            )
            if self._devices:
                self._devices.drain()
            if is_on_device(loss):
                self._follow(loss, body, step, epoch, now)
                return _unrecorded(self._handle, PENDING, math.nan, step, epoch)
            return self._put(to_float(loss, "loss"), body, step, epoch, now)
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            self._handle.refuse(error, what=f"batch of step {shown(step)}")
            return _unrecorded(self._handle, REFUSED, loss, step, epoch)

    def _put(
        self, loss: float, body: dict[str, Any], step: int | None, epoch: int | None, now: int
    ) -> BatchDiagnosticRecord:
        if not math.isfinite(loss):
            raise self._nonfinite(loss, body, step, epoch)
        body["loss"] = loss
        record = _WRITER.put(self._handle.journal, body, step, epoch, now)
        self._recent.append(record)
        return record

    def _nonfinite(
        self, loss: float, body: dict[str, Any], step: int | None, epoch: int | None
    ) -> SchemaValidationError:
        """Outside strict mode the batch that made a NaN becomes an event, for its ids are what the user looks for."""
        word = "nan" if math.isnan(loss) else ("inf" if loss > 0 else "-inf")
        if not self._handle.strict:
            payload = {"key": "batch_loss", "value": word, "sample_ids": body["sample_ids"]}
            log_event(self._handle, "metric_nonfinite", step=step, epoch=epoch, payload=payload)
        return SchemaValidationError(
            f"loss must be finite, got {word} at step {step}, epoch {epoch}; look at the samples of the batch, for a "
            "division by zero, a too high learning rate or an overflow"
        )

    # Losses on a device

    def _follow(self, loss: Any, body: dict[str, Any], step: int | None, epoch: int | None, now: int) -> None:
        if math.prod(loss.shape) != 1:
            raise WrongTypeError(f"loss must be one number, got a tensor of shape {tuple(loss.shape)}; log its mean")

        def arrived(number: float) -> None:
            try:
                self._put(number, body, step, epoch, now)
            except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
                self._handle.refuse(error, what=f"batch of step {step}")

        self._devices.add(loss, arrived)

    def _await_devices(self) -> None:
        deadline = time.monotonic() + DEVICE_WAIT_S
        try:
            while self._devices:
                self._devices.drain()
                if not self._devices or time.monotonic() > deadline:
                    return
                time.sleep(0.001)
        except RuntimeError as error:  # the device failed; the training will say so
            self._handle.report("batch_loss_device", error)

    # Reading

    def flush(self) -> tuple[BatchDiagnosticRecord, ...]:
        """Bring everything to the store and return the records made since the last flush, at most ``batch_size``."""
        self._await_devices()
        self._handle.flush()
        recent = tuple(self._recent)
        self._recent.clear()
        return recent

    def read(
        self, *, sample_id: str | None = None, step: int | None = None, step_min: int | None = None,
        step_max: int | None = None, epoch: int | None = None, epoch_min: int | None = None,
        epoch_max: int | None = None, limit: int | None = None,
    ) -> tuple[BatchDiagnosticRecord, ...]:  # fmt: skip
        """The run's batches in the order of recording, the first ``limit`` of them; bounds are inclusive.

        With ``sample_id`` only those that held this sample: its trace through the training.
        """
        self._await_devices()
        where = {"sample_id": None if sample_id is None else sample_ids_of([sample_id], "sample_id")[0]}
        return self._read(
            BatchDiagnosticRecord, where, RecordFilter(
                step=step, step_min=step_min, step_max=step_max, epoch=epoch, epoch_min=epoch_min, epoch_max=epoch_max,
                limit=limit,
            ),
        )  # fmt: skip

    def summarize_exposure(
        self, *, step: int | None = None, step_min: int | None = None, step_max: int | None = None,
        epoch: int | None = None, epoch_min: int | None = None, epoch_max: int | None = None,
    ) -> ExposureSummary:  # fmt: skip
        """Which samples and classes were seen in the range, over all ranks; bounds are inclusive.

        Sample ids are counted exactly up to a million different ones, then estimated: see ``ExposureSummary.exact``.
        """
        wanted = _range(step, step_min, step_max, epoch, epoch_min, epoch_max)
        exposure = Exposure()
        for record in self._stream(wanted):
            exposure.add(record)
        return exposure.summary()

    def find_hard_batches(
        self, *, step: int | None = None, step_min: int | None = None, step_max: int | None = None,
        epoch: int | None = None, epoch_min: int | None = None, epoch_max: int | None = None,
        limit: int | None = 10,
    ) -> tuple[HardBatchFinding, ...]:  # fmt: skip
        """The hard batches in the range, hardest first, at most ``limit``; bounds are inclusive.

        A batch is hard by its loss among those of the range (percentile, z-score, interquartile range), by its longest
        sequence (the latter two), or by its loss against the one that was expected at its time (``loss_residual``);
        the last is found from all batches before it, whatever the range.
        """
        wanted = _range(step, step_min, step_max, epoch, epoch_min, epoch_max)
        losses, _ = self._judged(wanted, None)
        return self._findings(wanted, losses.marks(check_index(limit, "limit")))

    def summarize(
        self, *, step: int | None = None, step_min: int | None = None, step_max: int | None = None,
        epoch: int | None = None, epoch_min: int | None = None, epoch_max: int | None = None,
        hard_batch_limit: int | None = 10,
    ) -> DataDiagnosticsSummary:  # fmt: skip
        """Losses, exposure and the hardest batches of the range, in one; bounds are inclusive."""
        wanted = _range(step, step_min, step_max, epoch, epoch_min, epoch_max)
        limit = check_index(hard_batch_limit, "hard_batch_limit")
        losses, exposure = self._judged(wanted, Exposure())
        return DataDiagnosticsSummary(
            loss_summary=losses.summary(), exposure=exposure.summary(),
            hard_batches=self._findings(wanted, losses.marks(limit)),
        )  # fmt: skip

    def _judged(self, wanted: RecordFilter, exposure: Any) -> tuple[LossStream, Any]:
        losses = LossStream(self._config)
        for record in self._stream(_history(wanted)):
            inside = _within(record, wanted)
            losses.add(record, counted=inside)
            if inside and exposure is not None:
                exposure.add(record)
        return losses, exposure

    def _findings(self, wanted: RecordFilter, marks: list[Mark]) -> tuple[HardBatchFinding, ...]:
        """The marked records, read a second time: all of them at once may be more than fits into memory."""
        places = {mark.place for mark in marks}
        records: dict[int, BatchDiagnosticRecord] = {}
        if places:
            for place, record in enumerate(self._stream(_history(wanted), fresh=False)):
                if place in places:
                    records[place] = record
                if len(records) == len(places):
                    break
        return tuple(mark.finding(records[mark.place]) for mark in marks)

    def _stream(self, bounds: RecordFilter, *, fresh: bool = True) -> Iterator[BatchDiagnosticRecord]:
        if fresh:
            self._await_devices()
            self._handle.flush()
        kind = BatchDiagnosticRecord.kind
        for record in self._handle.reader().records(self._handle.run_id, kind, bounds):
            if isinstance(record, BatchDiagnosticRecord):
                yield record

    def _on_close(self) -> None:
        self._await_devices()
        if self._devices:
            self._handle.report("batch_loss_device", TimeoutError(f"{len(self._devices)} losses are not recorded"))
        self._handle.offer()

    def __enter__(self) -> "DataDiagnostics":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _unrecorded(handle: RunHandle, state: int, loss: object, step: object, epoch: object) -> BatchDiagnosticRecord:
    number = loss if isinstance(loss, float) else math.nan
    fields = {"loss": number, "step": index_or_none(step), "epoch": index_or_none(epoch)}
    fields |= {"class_counts": {}, "metadata": {}}
    return unrecorded(BatchDiagnosticRecord, handle.journal.origin, state, fields)


def _range(*bounds: Any) -> RecordFilter:
    names = ("step", "step_min", "step_max", "epoch", "epoch_min", "epoch_max")
    return replace(_EVERYTHING, **dict(zip(names, bounds, strict=True)))


def _history(wanted: RecordFilter) -> RecordFilter:
    """The range and all that came before it: what a loss should be is known from there."""
    step_max: Any = wanted.step_max if wanted.step is None else wanted.step
    epoch_max: Any = wanted.epoch_max if wanted.epoch is None else wanted.epoch
    return RecordFilter(step_max=step_max, epoch_max=epoch_max)


def _within(record: BatchDiagnosticRecord, wanted: RecordFilter) -> bool:
    """Whether a record lies in the range; one without a step or epoch lies in no range of them."""
    for value, exact, low, high in (
        (record.step, wanted.step, wanted.step_min, wanted.step_max),
        (record.epoch, wanted.epoch, wanted.epoch_min, wanted.epoch_max),
    ):
        if value is None:
            if (exact, low, high) != (None, None, None):
                return False
        elif (
            (exact is not None and value != exact)
            or (low is not None and value < low)
            or (high is not None and value > high)
        ):
            return False
    return True
