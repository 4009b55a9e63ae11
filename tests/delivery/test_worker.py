"""One worker per sink: what a sink does wrong stays with that sink."""

import random
import threading
import time

import pytest

from quark.core.lifecycle import RunManifest
from quark.core.sink import Sink
from quark.delivery.dispatcher import Dispatcher
from quark.delivery.health import Health
from quark.errors import SessionStoreError
from quark.records.base import Origin
from quark.records.line import Line, encode

MANIFEST = RunManifest(run_id="run", project="p")


class Collector(Sink):
    """Keeps what it is given."""

    name = "collector"

    def __init__(self) -> None:
        self.sequences: list[int] = []
        self.calls: list[str] = []

    def on_start(self, manifest):
        self.calls.append("start")

    def write(self, batch):
        self.sequences.extend(line.sequence for line in batch.lines())

    def on_stop(self, final_state, reason):
        self.calls.append(f"stop {reason}")

    def close(self):
        self.calls.append("close")


def metric(number: int) -> bytes:
    return encode(Line("metric", number, 17, number, None, "a", float(number))) + b"\n"


@pytest.fixture
def others():
    """The threads that were there before the test's own."""
    return set(threading.enumerate())


@pytest.fixture
def dispatcher(tmp_path, others):
    made = Dispatcher(tmp_path / "journal" / "run", Origin("run", "0-1-x"), MANIFEST, health=Health())
    made.start()
    yield made
    made.close(None, "completed", time.monotonic() + 5)


def log(dispatcher: Dispatcher, count: int) -> None:
    for _ in range(count):
        dispatcher.journal.append(metric)


def finish(dispatcher: Dispatcher, seconds: float = 5.0) -> bool:
    return dispatcher.close(None, "completed", time.monotonic() + seconds)


def test_a_sink_gets_everything_in_order_and_is_ended_once(dispatcher):
    """Records from before and after the attaching arrive in order; stop comes after the last one, then close."""
    log(dispatcher, 500)
    sink = Collector()
    dispatcher.add_sink(sink)
    log(dispatcher, 500)
    assert finish(dispatcher)
    assert sink.sequences == list(range(1000))
    assert sink.calls == ["start", "stop completed", "close"]
    assert not dispatcher.place.directory.exists()


def test_flush_waits_until_the_records_are_written(dispatcher):
    """After flush the sink holds what was recorded before it."""
    sink = Collector()
    dispatcher.add_sink(sink)
    log(dispatcher, 200)
    assert dispatcher.flush(time.monotonic() + 5)
    assert sink.sequences == list(range(200))


class Echoing(Collector):
    """With every batch that it is given, one more record comes into the journal: a training that never pauses."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__()
        self.dispatcher = dispatcher
        self.echoes = True

    def write(self, batch):
        super().write(batch)
        self.calls.append("write")
        if self.echoes and self.calls.count("write") < 20:
            log(self.dispatcher, 1)

    def flush(self):
        self.calls.append("flush")


def test_what_comes_during_a_round_waits_for_the_next_one(dispatcher):
    """A loop of fast steps costs one batch a round, not a stream of batches of a record each; the end takes all."""
    sink = Echoing(dispatcher)
    log(dispatcher, 10)
    dispatcher.add_sink(sink)
    while sink.calls.count("write") < 2:
        time.sleep(0.01)
    assert sink.calls[:4] == ["start", "write", "flush", "write"]
    sink.echoes = False
    assert finish(dispatcher)
    assert sink.sequences == list(range(dispatcher.journal.next))


@pytest.mark.parametrize(
    "error", [RuntimeError("no"), OSError("down"), SystemExit(3), KeyboardInterrupt(), MemoryError()]
)
def test_a_sink_that_raises_now_and_then_still_gets_everything(dispatcher, error):
    """Whatever a sink raises is retried; nothing is lost or doubled, and the other sink does not notice."""

    class Moody(Collector):
        failures = 3

        def write(self, batch):
            if self.failures:
                self.failures -= 1
                raise error
            super().write(batch)

    moody, calm = Moody(), Collector()
    dispatcher.add_sink(moody)
    dispatcher.add_sink(calm)
    log(dispatcher, 50)
    assert dispatcher.flush(time.monotonic() + 20)
    assert moody.sequences == calm.sequences == list(range(50))
    assert dispatcher.workers[0].errors >= 2
    assert not list(dispatcher.place.directory.glob("quarantine-*"))


def test_a_sink_that_always_raises_keeps_its_records_in_the_journal(dispatcher):
    """A broken sink loses nothing: its records wait in the journal, and closing ends in time."""

    class Broken(Collector):
        def write(self, batch):
            raise RuntimeError("never")

    calm = Collector()
    dispatcher.add_sink(Broken())
    dispatcher.add_sink(calm)
    log(dispatcher, 30)
    began = time.monotonic()
    assert not finish(dispatcher, 1.0)
    assert time.monotonic() - began < 3
    assert calm.sequences == list(range(30))
    assert dispatcher.place.directory.exists()
    assert not list(dispatcher.place.directory.glob("quarantine-*"))


def test_a_sink_that_hangs_does_not_hold_up_the_end(dispatcher):
    """A sink that never returns costs the end its time and not more; the other sinks are complete."""
    release = threading.Event()

    class Hung(Collector):
        def write(self, batch):
            release.wait(30)

    calm = Collector()
    dispatcher.add_sink(Hung())
    dispatcher.add_sink(calm)
    log(dispatcher, 30)
    time.sleep(0.4)
    began = time.monotonic()
    complete = finish(dispatcher, 0.5)
    taken = time.monotonic() - began
    release.set()
    assert not complete
    assert taken < 2
    assert calm.sequences == list(range(30))


def test_a_poison_record_is_set_aside_and_its_neighbours_pass(dispatcher):
    """A record that alone makes the sink fail goes to quarantine with the reason; all others arrive once."""

    class Picky(Collector):
        def write(self, batch):
            if any(line.sequence == 7 for line in batch.lines()):
                raise ValueError("I do not like 7")
            super().write(batch)

    sink = Picky()
    dispatcher.add_sink(sink)
    log(dispatcher, 20)
    assert dispatcher.flush(time.monotonic() + 20)
    assert sink.sequences == [n for n in range(20) if n != 7]
    kept = (dispatcher.place.directory / "quarantine-collector.jsonl").read_text()
    assert "I do not like 7" in kept
    assert '"sequence\\":7' in kept.replace(" ", "")


@pytest.mark.parametrize("code", ["disk_full", "busy", "disk_error", "read_only", "unavailable", "damaged"])
def test_a_destination_in_trouble_costs_no_record(dispatcher, code):
    """A store that is nearly full, or busy, takes some records and refuses others: none of them is to blame for it."""

    class Troubled(Collector):
        def __init__(self):
            super().__init__()
            self.calls_left = 30

        def write(self, batch):
            self.calls_left -= 1
            if self.calls_left > 0 and (len(batch.lines()) > 1 or batch.first > 5):
                raise SessionStoreError("it is full", code=code)
            super().write(batch)

    sink = Troubled()
    dispatcher.add_sink(sink)
    log(dispatcher, 20)
    deadline = time.monotonic() + 60
    while not dispatcher.flush(time.monotonic() + 5) and time.monotonic() < deadline:
        pass
    assert sorted(set(sink.sequences)) == list(range(20))
    assert not list(dispatcher.place.directory.glob("quarantine-*"))


def test_a_sink_that_knows_its_position_is_believed(dispatcher):
    """What a sink says that it holds is not sent again, also after a fault in the middle of a batch."""

    class Exact(Collector):
        crashed = False

        def position(self, writer_id):
            return len(self.sequences)

        def write(self, batch):
            for line in batch.lines():
                if line.sequence == 25 and not self.crashed:
                    self.crashed = True
                    raise OSError("in the middle")
                self.sequences.append(line.sequence)

    sink = Exact()
    dispatcher.add_sink(sink)
    log(dispatcher, 60)
    assert dispatcher.flush(time.monotonic() + 20)
    assert sink.sequences == list(range(60))


def test_a_sink_that_lost_what_it_had_taken_gets_it_again(dispatcher):
    """A destination that falls back, as one whose own process died, says so and is given all from there on."""

    class Forgetful(Collector):
        failed = False

        def write(self, batch):
            if batch.stop > 600 and not self.failed:
                self.failed = True
                del self.sequences[100:]
                raise ConnectionError("gone, with what was not on the disk")
            super().write(batch)

        def position(self, writer_id):
            return self.sequences[-1] + 1 if self.sequences else 0

    sink = Forgetful()
    dispatcher.add_sink(sink)
    log(dispatcher, 500)
    assert dispatcher.flush(time.monotonic() + 5)
    log(dispatcher, 500)
    assert finish(dispatcher)
    assert sink.failed and sink.sequences == list(range(1000))


def test_a_damaged_line_reaches_quarantine_and_not_the_sinks(dispatcher):
    """A line that no decoder takes is kept aside; the sinks get everything around it."""
    sink = Collector()
    dispatcher.journal.append(metric)
    dispatcher.journal.append(lambda n: b'{"kind":"metric","sequence":%d,"time":"no"}\n' % n)
    dispatcher.journal.append(metric)
    dispatcher.add_sink(sink)
    assert dispatcher.flush(time.monotonic() + 5)
    assert sink.sequences == [0, 2]
    assert (dispatcher.place.directory / "quarantine-journal.jsonl").exists()


def test_a_number_that_never_came_is_told_by_every_sink(dispatcher):
    """A record whose call was cut off after it had its number is waited for, stepped over, and counted once."""
    log(dispatcher, 3)
    dispatcher.journal.next += 1
    log(dispatcher, 2)
    sinks = [Collector(), Collector()]
    workers = [dispatcher.add_sink(sink) for sink in sinks]
    assert dispatcher.flush(time.monotonic() + 30)
    assert [sink.sequences for sink in sinks] == [[0, 1, 2, 4, 5]] * 2
    assert [worker.to_dict()["missing"] for worker in workers] == [1, 1]


class Boaster(Collector):
    """Says at first that it holds more than there is."""

    def __init__(self) -> None:
        super().__init__()
        self.claims = [10**12]

    def position(self, writer_id):
        return self.claims.pop() if self.claims else len(self.sequences)


def test_a_position_beyond_what_was_written_is_not_believed(dispatcher):
    """What nobody can hold is no answer: the sink is asked again, and no record is skipped on its word."""
    sink = Boaster()
    log(dispatcher, 100)
    worker = dispatcher.add_sink(sink)
    assert dispatcher.flush(time.monotonic() + 30)
    assert sink.sequences == list(range(100))
    assert "has written 100" in str(worker.last_error)


def test_backoff_grows_to_a_bound_and_honours_what_the_sink_asks(dispatcher):
    """Pauses between attempts grow to 30 s at most; a sink's retry_after_s is a lower bound, 60 s the upper."""
    worker = dispatcher.add_sink(Collector())
    worker._rng = random.Random(7)
    pauses = []
    for failures in range(1, 40):
        worker._failures = failures
        pauses.append(worker._pause())
    assert max(pauses) <= 30
    assert max(pauses[:2]) <= 0.4
    worker._asked_pause = 20.0
    assert worker._pause() >= 20
    worker._asked_pause = 1e9
    assert worker._pause() <= 60
    worker._failures, worker._asked_pause = 0, 0.0


def test_only_daemon_threads_and_none_after_the_end(dispatcher, others):
    """Quark's threads never keep a process alive, and they end with the run."""
    dispatcher.add_sink(Collector())
    ours = set(threading.enumerate()) - others
    assert ours
    assert all(thread.daemon for thread in ours)
    finish(dispatcher)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any(thread.is_alive() for thread in ours):
        time.sleep(0.02)
    assert not [thread.name for thread in ours if thread.is_alive()]


def test_warnings_come_once_per_cause_in_thirty_seconds(caplog):
    """The same cause a thousand times is one warning and a count of a thousand; another cause warns by itself."""
    now = [0.0]
    health = Health(monotonic=lambda: now[0])
    for _ in range(1000):
        health.report("disk", "full")
    health.report("net", "down")
    assert [record.message.split(":")[1].strip() for record in caplog.records] == ["disk", "net"]
    now[0] = 31.0
    health.report("disk", "full")
    assert len(caplog.records) == 3
    assert health.to_dict()["disk"] == {"count": 1001, "last": "full"}


def test_a_slow_sink_slows_nobody_and_gets_everything(dispatcher):
    """A sink that takes 100 ms a batch holds up neither the caller nor the other sink, and misses nothing."""

    class Slow(Collector):
        def write(self, batch):
            time.sleep(0.1)
            super().write(batch)

    slow, calm = Slow(), Collector()
    slow_worker = dispatcher.add_sink(slow)
    calm_worker = dispatcher.add_sink(calm)
    for _ in range(5):
        log(dispatcher, 400)
        assert dispatcher.flush(time.monotonic() + 5, [calm_worker])
    assert calm.sequences == list(range(2000))
    assert slow_worker.state in ("starting", "ok")
    assert dispatcher.flush(time.monotonic() + 10)
    assert slow.sequences == list(range(2000))
