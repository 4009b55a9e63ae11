"""What one sink reads of one journal: the tail, and the cursor that says how far the sink has come."""

from collections.abc import Iterator

from ..core.batch import RecordBatch
from ..core.sink import Sink
from ..errors import SessionStoreError
from ..records.line import sequence_of
from .place import WriterPlace
from .tail import Tail


class Feed:
    """A sink's way through one writer's journal. ``position`` is the number that the sink expects next."""

    def __init__(self, place: WriterPlace, tail: Tail, sink_name: str) -> None:
        self.place = place
        self.tail = tail
        self.position = 0
        self._sink_name = sink_name
        self._held: RecordBatch | None = None
        self._unsure = True
        self._keeps_cursor = True
        self.set_aside = 0
        self._aside: set[bytes] = set()
        self._given: int | None = None

    def read(self, sink: Sink) -> RecordBatch | None:
        """The next batch that the sink has not taken; after a fault the sink's own word on its position comes first."""
        if self._unsure:
            told = self._told(sink)
            self._keeps_cursor = told is None
            if told is not None:
                self.position = told
            elif self._held is None:
                self.position = self.place.cursor(self._sink_name)
            if self.position < (self.tail.next if self._held is None else self._held.first):
                # a destination may lose what it had taken, as one whose own process died
                self._held = None
                self.tail.back_to(self.position)
            self.tail.next = max(self.tail.next, self.position)
            self._unsure = False
        batch, self._held = self._held, None
        if batch is not None and self.position > batch.first:
            batch = batch.after(self.position)
        if batch is None or batch.stop <= self.position:
            batch = self._next_batch()
        if batch is not None:
            self._given = max(self._given or 0, batch.stop)
        return batch

    def _next_batch(self) -> RecordBatch | None:
        """The next batch with records; what is damaged before it, or at the end of the journal, is set aside."""
        while (batch := self.tail.read()) is not None and not batch.data:
            batch.rejected = [one for one in batch.rejected if not self.place.is_set_aside(one[0])]
            self._set_aside(batch)
        return batch

    def _told(self, sink: Sink) -> int | None:
        """The sink's own word on its position, if it can be true: what is below it is never read again."""
        told = sink.position(self.tail.origin.writer_id)
        most = self.tail.written if self._given is None else self._given
        if told is not None and most is not None and told > most:
            raise SessionStoreError(
                f"{self._sink_name} says that it holds {told} records of a process that has written {most} for it; "
                "is it the right one? The records wait in the journal"
            )
        if told is not None and self._given is None:
            self._given = told
        return told

    def back(self, batch: RecordBatch) -> None:
        """The sink did not take the batch: it comes again, from where the sink says that it stands."""
        self._set_aside(batch)
        self._held = batch
        self._unsure = True

    def doubt(self) -> None:
        """The sink may have lost what it held: it is asked for its position before it gets more."""
        self._unsure = True

    def took(self, batch: RecordBatch) -> None:
        """The sink holds everything below ``batch.stop``."""
        self.position = batch.stop
        if self._keeps_cursor:
            self.place.set_cursor(self._sink_name, batch.stop)
        self._set_aside(batch)
        self._aside = {line for line in self._aside if (sequence_of(line) or 0) >= batch.stop}

    def _set_aside(self, batch: RecordBatch) -> None:
        """Keep what was rejected, at once: the rest may be taken without this process hearing of it. Once per line."""
        while batch.rejected:
            line, reason = batch.rejected[0]
            if line not in self._aside:
                self.place.quarantine("journal", line, reason)
                self._aside.add(line)
                self.set_aside += 1
            batch.rejected.pop(0)

    def quarantine(self, line: bytes, reason: str) -> None:
        """Set a line aside that only this sink cannot take."""
        self.place.quarantine(self._sink_name, line, reason)

    def single_lines(self, batch: RecordBatch) -> Iterator[RecordBatch]:
        """The batch line by line."""
        for raw in batch.data.splitlines(keepends=True):
            number = sequence_of(raw)
            if number is not None:
                yield RecordBatch(batch.origin, number, number + 1, raw)
