"""Records kept in memory, for tests and notebooks."""

from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

from ..core.batch import RecordBatch
from ..core.lifecycle import RunManifest, StepState, StopReason
from ..core.sink import Sink
from ..errors import ConfigurationError
from ..records.base import Record
from ..records.line import Line


class MemorySink(Sink):
    """The newest records of a run as Python objects; older ones go when there are more than ``max_records``.

    Attributes:
        batches: what was written, as it came; bounded too, by the number of its lines.
        records: the frozen records, in the order of arrival; a wide line's metrics one by one.
        manifests: one for each ``on_start``.
        stops: one ``(final_state, reason)`` for each ``on_stop``.
        dropped: how many records had to go.
        closed: whether ``close`` was called.

    Raises:
        ConfigurationError: ``max_records`` is no whole number of at least 1.
    """

    name: ClassVar[str] = "memory"

    def __init__(self, max_records: int = 100_000) -> None:
        if isinstance(max_records, bool) or not isinstance(max_records, int) or max_records < 1:
            raise ConfigurationError(f"max_records must be a whole number of at least 1, got {max_records!r}")
        self.max_records = max_records
        self.batches: deque[RecordBatch] = deque()
        self.records: deque[Record] = deque(maxlen=max_records)
        self.manifests: list[RunManifest] = []
        self.stops: list[tuple[StepState | None, StopReason]] = []
        self.dropped = 0
        self.closed = False
        self._lines = 0
        self._next: dict[tuple[str, str], int] = {}

    def __repr__(self) -> str:
        return f"MemorySink({len(self.records)} records of at most {self.max_records})"

    def on_start(self, manifest: RunManifest) -> None:
        """Keep the manifest."""
        self.manifests.append(manifest)

    def write(self, batch: RecordBatch) -> None:
        """Keep the batch's records; those that are held already are skipped."""
        writer = (batch.origin.run_id, batch.origin.writer_id)
        batch = batch.after(self._next.get(writer, 0))
        records = batch.records()
        self.dropped += max(0, len(self.records) + len(records) - self.max_records)
        self.records.extend(records)
        self.batches.append(batch)
        self._lines += len(batch.lines())
        while self._lines > self.max_records and len(self.batches) > 1:
            self._lines -= len(self.batches.popleft().lines())
        self._next[writer] = max(batch.stop, self._next.get(writer, 0))

    def position(self, writer_id: str) -> int:
        """The number that follows the writer's last record here."""
        runs = {manifest.run_id for manifest in self.manifests}
        return max(
            (n for (run, writer), n in self._next.items() if writer == writer_id and run in (runs or {run})), default=0
        )

    def on_stop(self, final_state: StepState | None, reason: StopReason) -> None:
        """Keep how it ended."""
        self.stops.append((final_state, reason))

    def close(self) -> None:
        """Note it; what was recorded stays readable."""
        self.closed = True

    def of(self, kind: str, accept: Callable[[Any], bool] | None = None) -> list[Any]:
        """The records of a kind, such as ``metric``, that ``accept`` does not turn down."""
        return [record for record in list(self.records) if record.kind == kind and (accept is None or accept(record))]

    def lines(self) -> list[Line]:
        """The lines that the kept batches hold, lifecycle lines too."""
        return [line for batch in list(self.batches) for line in batch.lines()]
