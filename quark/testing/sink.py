"""What every sink must keep, as tests that a sink of your own inherits."""

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from ..core.batch import RecordBatch
from ..core.sink import Sink
from ..records.base import Origin, Record
from ..records.line import WIDE, Line
from .batches import alert_line, event_line, make_batch, make_manifest, metric_lines, run_line, start_line, wide_lines

Seen = tuple[str, str | None, int | None, float | None]
"""A record as it is compared: kind, label (a metric's key, an event's type, ...), step, value (metrics only)."""

ORIGIN = Origin("run-contract", "writer-a")
OTHER = Origin("run-contract", "writer-b", rank=1)


def seen(record: Record) -> Seen:
    """A record as ``SinkContract`` compares it."""
    label = getattr(record, record.label_field) if record.label_field else None
    return record.kind, label, getattr(record, "step", None), getattr(record, "value", None)


class SinkContract:
    """Inherit in a test class, say how the sink is made and how its destination is read, and run pytest.

    ::

        class TestMySink(SinkContract):
            delivery = "at_least_once"
            kinds = frozenset({"metric"})

            def make_sink(self, tmp_path):
                return MySink(tmp_path / "out")

            def read_back(self, sink):
                return [("metric", row.key, row.step, row.value) for row in sink.destination.rows()]

    Attributes:
        delivery: ``exactly_once`` if a batch that comes again leaves nothing twice, else ``at_least_once``.
        durable: whether a second sink on the same ``tmp_path`` finds what the first one wrote.
        kinds: the kinds of records that the destination keeps; None for all.
        keeps_sign_of_zero: whether -0.0 is read back as -0.0; False for a destination that stores it as 0.0, as any
            SQLite column does.
    """

    delivery: ClassVar[str] = "exactly_once"
    durable: ClassVar[bool] = True
    kinds: ClassVar[frozenset[str] | None] = None
    keeps_sign_of_zero: ClassVar[bool] = True

    def make_sink(self, tmp_path: Path) -> Sink:
        """A sink whose destination lies under ``tmp_path``; called twice with one path to test coming back."""
        raise NotImplementedError("a SinkContract test says how its sink is made: define make_sink(self, tmp_path)")

    def read_back(self, sink: Sink) -> Iterable[Seen | Record]:
        """What the destination holds now, in its order: records, or ``Seen`` tuples. Also called after ``close``."""
        raise NotImplementedError("a SinkContract test reads its sink's destination: define read_back(self, sink)")

    @contextlib.contextmanager
    def broken(self, sink: Sink) -> Iterator[None]:
        """Make the destination fail inside the ``with`` block, so that ``write`` raises; not needed, but worth it."""
        pytest.skip("this contract does not say how its destination breaks; define broken(self, sink)")
        yield

    def test_records_arrive_in_order(self, tmp_path: Path) -> None:
        """Every record arrives, in the order in which it was recorded."""
        batches = [_batch(metric_lines(5)), _batch(metric_lines(5, first_step=5), 6)]
        self._agree(self._after(tmp_path, batches), self._expected(batches))

    def test_a_batch_that_comes_again(self, tmp_path: Path) -> None:
        """After a fault the same batch comes again: nothing is lost, and nothing is twice where that is promised."""
        batch = _batch(metric_lines(5))
        self._agree(self._after(tmp_path, [batch, batch]), self._expected([batch]))

    def test_a_batch_that_overlaps(self, tmp_path: Path) -> None:
        """A batch that begins below what the sink holds adds only what is new."""
        lines = metric_lines(8)
        short, long = _batch(lines[:5]), _batch(lines)
        self._agree(self._after(tmp_path, [short, long]), self._expected([long]))

    def test_a_fault_then_a_retry(self, tmp_path: Path) -> None:
        """While the destination fails, ``write`` raises; the same batch is taken in full once it works again."""
        first, second = _batch(metric_lines(3)), _batch(metric_lines(3, first_step=3), 4)
        sink = self._started(tmp_path)
        try:
            sink.write(first)
            with self.broken(sink), pytest.raises(Exception):  # noqa: B017  any exception tells the worker to retry
                sink.write(second)
            sink.write(second)
            sink.flush()
            self._agree(self._seen(sink), self._expected([first, second]))
        finally:
            sink.close()

    def test_coming_back(self, tmp_path: Path) -> None:
        """A sink made anew on the same destination goes on where the first one ended."""
        if not self.durable:
            pytest.skip("this destination ends with its sink")
        first, second = _batch(metric_lines(3)), _batch(metric_lines(3, first_step=3), 4)
        self._after(tmp_path, [first])
        again = self._started(tmp_path, write_start=False)
        try:
            position = again.position(ORIGIN.writer_id)
            assert position is None or position <= 4
            for batch in (first, second):
                if position is None or position < batch.stop:
                    again.write(batch)
            again.flush()
            self._agree(self._seen(again), self._expected([first, second]))
        finally:
            again.close()

    def test_position_follows_what_was_written(self, tmp_path: Path) -> None:
        """``position`` never names more than was written, or a record would be skipped; None means unknown."""
        sink = self._started(tmp_path, write_start=False)
        try:
            assert sink.position(ORIGIN.writer_id) in (None, 0)
            sink.write(_batch([start_line(ORIGIN), *metric_lines(4)], 0))
            position = sink.position(ORIGIN.writer_id)
            assert position is None or 0 <= position <= 5
            assert sink.position("nobody") in (None, 0)
        finally:
            sink.close()

    def test_two_writers(self, tmp_path: Path) -> None:
        """Two processes, or two attempts, number their records alike; they are not taken for one another's."""
        batches = [
            _batch(metric_lines(3, ("a",))),
            make_batch(OTHER, [run_line("join", {"rank": 1, "host": "h", "pid": 2}), *metric_lines(3, ("b",))]),
            _batch(metric_lines(2, ("a",), first_step=3), 4),
        ]
        self._agree(self._after(tmp_path, batches), self._expected(batches))

    def test_numbers_with_holes(self, tmp_path: Path) -> None:
        """A number that no record has, inside a batch, at its ends or for a whole batch, holds nothing up."""
        lines = metric_lines(4)
        batches = [
            _batch([None, lines[0], None, lines[1], None]),
            _batch([None, None], 6),
            _batch(lines[2:], 8),
        ]
        self._agree(self._after(tmp_path, batches), self._expected(batches))

    def test_an_empty_batch(self, tmp_path: Path) -> None:
        """A batch without any line is taken quietly."""
        assert self._after(tmp_path, [_batch([])]) == []

    def test_wide_records(self, tmp_path: Path) -> None:
        """A line of many values arrives as the metrics that it holds."""
        batch = _batch(wide_lines(3, ("a", "b", "c")))
        self._agree(self._after(tmp_path, [batch]), self._expected([batch]))

    def test_unknown_kinds(self, tmp_path: Path) -> None:
        """A kind that a later release added disturbs neither the sink nor the records beside it."""
        lines = metric_lines(2)
        batch = _batch([lines[0], Line("hologram", 0, 1, 0, label="x"), lines[1]])
        self._agree(self._after(tmp_path, [batch]), self._expected([batch]))

    def test_lifecycle_lines(self, tmp_path: Path) -> None:
        """The run's own lines (start, tag, end) travel among the records and are none of them."""
        end = {"status": "completed", "reason": "completed", "ended_at": "2026-05-07T00:01:00Z"}
        lines = [run_line("tag", {"tag": "x"}), *metric_lines(2), run_line("end", end)]
        batch = _batch(lines)
        self._agree(self._after(tmp_path, [batch]), self._expected([batch]))

    def test_text_of_any_script(self, tmp_path: Path) -> None:
        """Text with emoji, right-to-left marks, line separators and control characters does no harm."""
        text = "loß 🔥 \u202e\u2028\u0000\u001b[31m\r\n\t" + "長" * 1000
        lines = [
            event_line("note", payload={"message": text, text: text}),
            alert_line("rule", step=1, title=text),
            *metric_lines(1),
        ]
        batch = _batch(lines)
        self._agree(self._after(tmp_path, [batch]), self._expected([batch]))

    def test_a_big_batch(self, tmp_path: Path) -> None:
        """Ten thousand records in one batch arrive whole."""
        batch = _batch(metric_lines(2_000, ("a", "b", "c", "d", "e")))
        self._agree(self._after(tmp_path, [batch]), self._expected([batch]))

    def test_numbers_keep_their_value(self, tmp_path: Path) -> None:
        """A float arrives to its last bit, in wide lines too; zero keeps its sign where the destination has one."""
        values = (0.1, 1e-300, -1.7976931348623157e308, 5e-324, 123456789.12345679, -0.0)
        narrow = [Line("metric", 0, 1, step, None, "x", value) for step, value in enumerate(values)]
        wide = [Line(WIDE, 0, 1, step, None, values={"x": value}) for step, value in enumerate(values, len(values))]
        kept = self._after(tmp_path, [_batch([*narrow, *wide])])
        if self.kinds is None or "metric" in self.kinds:
            zero = "-0.0" if self.keeps_sign_of_zero else "0.0"
            expected = ["0.1", "1e-300", "-1.7976931348623157e+308", "5e-324", "123456789.12345679", zero]
            assert [repr(value) for *_, value in kept] == expected * 2

    def test_the_batch_stays_as_it_was(self, tmp_path: Path) -> None:
        """A batch is shared by all sinks, so a sink changes nothing of it."""
        batch = _batch(metric_lines(3))
        before = (batch.first, batch.stop, batch.data, list(batch.records()))
        self._after(tmp_path, [batch])
        assert (batch.first, batch.stop, batch.data, list(batch.records())) == before

    @pytest.mark.parametrize("reason", ["completed", "interrupted", "error"])
    def test_every_end(self, tmp_path: Path, reason) -> None:
        """``on_stop`` is taken once, without a last state too, and adds no record."""
        batch = _batch(metric_lines(2))
        sink = self._started(tmp_path)
        sink.write(batch)
        sink.on_stop(None, reason)
        sink.close()
        self._agree(self._seen(sink), self._expected([batch]))

    def test_close_twice(self, tmp_path: Path) -> None:
        """``close`` may come again, and before anything was written."""
        sink = self._started(tmp_path)
        sink.write(_batch(metric_lines(1)))
        sink.close()
        sink.close()
        unused = self.make_sink(tmp_path)
        unused.close()

    def test_spec_is_json(self, tmp_path: Path) -> None:
        """``spec`` is None or a JSON object, from which the class makes the sink again."""
        sink = self.make_sink(tmp_path)
        try:
            spec = sink.spec()
            if spec is not None:
                again = type(sink)(**json.loads(json.dumps(spec)))
                assert again.spec() == spec
                again.close()
        finally:
            sink.close()

    def _started(self, tmp_path: Path, *, write_start: bool = True) -> Sink:
        sink = self.make_sink(tmp_path)
        sink.on_start(make_manifest(ORIGIN, run_path=str(tmp_path), storage_dir=str(tmp_path)))
        if write_start:
            sink.write(_batch([start_line(ORIGIN)], 0))
        return sink

    def _after(self, tmp_path: Path, batches: Iterable[RecordBatch]) -> list[Seen]:
        """What the destination holds after a whole life of the sink."""
        sink = self._started(tmp_path)
        try:
            for batch in batches:
                sink.write(batch)
                sink.flush()
            sink.on_stop(None, "completed")
        finally:
            sink.close()
        return self._seen(sink)

    def _seen(self, sink: Sink) -> list[Seen]:
        return [seen(item) if isinstance(item, Record) else item for item in self.read_back(sink)]

    def _expected(self, batches: Iterable[RecordBatch]) -> list[Seen]:
        everything = [seen(record) for batch in batches for record in batch.records()]
        return [item for item in everything if self.kinds is None or item[0] in self.kinds]

    def _agree(self, got: list[Seen], expected: list[Seen]) -> None:
        """All there, each label's in order; once only where that is promised, else in order of the first arrival."""
        arrived = got if self.delivery == "exactly_once" else list(dict.fromkeys(got))
        assert sorted(arrived, key=_label) == sorted(expected, key=_label)


def _label(item: Seen) -> tuple[str, str]:
    return item[0], item[1] or ""


def _batch(items: Iterable[Record | Line | bytes | None], first: int = 1) -> RecordBatch:
    """Records of ORIGIN behind the line with which its run starts."""
    return make_batch(ORIGIN, items, first)
