"""Histories of a ServiceSink: one seed decides what is recorded, lost, repeated, refused and restored."""

import os
import random
from pathlib import Path

import httpx
import pytest
import zstandard

from quark import ServiceSink
from quark.client.connection import Connection
from quark.client.writer import RemoteWriter
from quark.core.batch import RecordBatch
from quark.core.lifecycle import RunManifest
from quark.delivery.feed import Feed
from quark.delivery.health import Health
from quark.delivery.journal import Journal
from quark.delivery.place import WriterPlace
from quark.delivery.tail import Tail
from quark.delivery.worker import SinkWorker
from quark.errors import SessionStoreError
from quark.records.base import Origin
from quark.records.line import Line, encode, sequence_of
from quark.service.ingest import checked_lines
from quark.service.problems import ProblemError
from quark.testing.disk import SimulatedDisk

DIRECTORY = Path("/simulated/run/0-1-x")
ORIGIN = Origin("run", "0-1-x")
SEEDS = int(os.environ.get("QUARK_TEST_SEEDS", "400"))


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 1.0

    def monotonic(self) -> float:
        self.now += 0.001
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Ledger:
    """A service in memory that checks lines as the real one does; the way to it and its disk fail by a seed."""

    def __init__(self, rng: random.Random, faults: float, largest: int) -> None:
        self.rng = rng
        self.faults = faults
        self.largest = largest
        self.mark = 0
        self.rows: list[int] = []
        self.backup: tuple[int, list[int]] = (0, [])
        self.requests = 0

    def answer(self, request: httpx.Request) -> httpx.Response:
        """The answer to a request, or what becomes of it."""
        self.requests += 1
        before = self._fault(request)
        if before is not None:
            return before
        made = self._take(request) if request.method == "POST" else httpx.Response(200, json={"next": self.mark})
        return self._fault(request) or made

    def _fault(self, request: httpx.Request) -> httpx.Response | None:
        if self.rng.random() >= self.faults:
            return None
        kind = self.rng.randrange(6)
        if kind == 0:
            raise httpx.ReadError("cut", request=request)
        if kind == 1:
            raise httpx.ConnectTimeout("no answer", request=request)
        if kind == 2:
            wait = self.rng.choice(("0", "1", "1e9", "-3", "soon", "nan", "Wed, 21 Oct 2015 07:28:00 GMT"))
            return httpx.Response(self.rng.choice((429, 503)), headers={"Retry-After": wait})
        if kind == 3:
            return httpx.Response(self.rng.choice((500, 502, 504, 401, 403, 302)), text="<html>")
        texts = ("", "<html>", "[]", "{}", '{"next":true}', '{"next":-1}', '{"next":1e99}', '{"next":', "null")
        return httpx.Response(200, text=self.rng.choice(texts))

    def _take(self, request: httpx.Request) -> httpx.Response:
        query, body = request.url.params, request.content
        if request.headers.get("content-encoding") == "zstd":
            body = zstandard.ZstdDecompressor().decompress(body, max_output_size=1 << 26)
        if len(body) > self.largest:
            return httpx.Response(413, text="too much")
        batch = RecordBatch(ORIGIN, int(query["first"]), int(query["stop"]), body)
        try:
            lines = checked_lines(batch)
        except ProblemError as problem:
            return httpx.Response(problem.status, json={"error": problem.content})
        if batch.first > self.mark:
            return httpx.Response(409, json={"error": {"code": "sequence_gap", "message": "gap"}})
        self.rows += [line.sequence for line in lines if line.sequence >= self.mark]
        self.mark = max(self.mark, batch.stop)
        return httpx.Response(200, json={"next": self.mark})


class World:
    """A journal, a sink and a service."""

    def __init__(self, seed: int) -> None:
        rng = self.rng = random.Random(seed)
        self.disk, self.clock = SimulatedDisk(rng), Clock()
        self.ledger = Ledger(rng, rng.choice((0.0, 0.1, 0.4)), rng.choice((1 << 26, 3000)))
        self.journal = Journal(DIRECTORY, ORIGIN, disk=self.disk, monotonic=self.clock.monotonic)
        self.good: list[int] = []
        self.bad: list[int] = []
        self.worker = self.begin(self.journal)

    def begin(self, journal: Journal | None) -> SinkWorker:
        """A worker of a process that has just started."""
        way = httpx.MockTransport(self.ledger.answer)
        place = Connection("http://quark.test", user_key="k", transport=way, clock=self.clock, rng=self.rng)
        tail = Tail(
            DIRECTORY, ORIGIN, disk=self.disk, journal=journal, alive=lambda: journal is not None,
            monotonic=self.clock.monotonic,
        )  # fmt: skip
        feed = Feed(WriterPlace(DIRECTORY, self.disk), tail, "service")
        manifest = RunManifest(run_id="run", project="p")
        return SinkWorker(
            ServiceSink(connection=place), "service", manifest, feed, Health(self.clock.monotonic), clock=self.clock
        )

    def record(self) -> None:
        """A few lines, now and then one that the service refuses or that no service takes for its size."""
        for _ in range(self.rng.randrange(1, 60)):
            fate = self.rng.random()
            key, size = ("", 0) if fate < 0.02 else ("a", 5000 if fate < 0.03 else self.rng.choice((0, 40)))
            number = self.journal.append(
                lambda n, key=key, size=size: encode(
                    Line("metric", n, 17, n, None, key or None, 1.5, description="x" * size)
                ) + b"\n"
            )  # fmt: skip
            refused = not key or size >= self.ledger.largest
            (self.bad if refused else self.good).append(number)

    def live(self) -> None:
        """Some moments of a life."""
        for _ in range(self.rng.randrange(3, 25)):
            act = self.rng.random()
            if act < 0.4:
                self.record()
            elif act < 0.8:
                self.worker._attempt()
                self.clock.sleep(self.rng.choice((0.0, 0.3, 61.0)))
            elif act < 0.87:
                self.ledger.backup = self.ledger.mark, list(self.ledger.rows)
            elif act < 0.92:
                self.ledger.mark, rows = self.ledger.backup
                self.ledger.rows = list(rows)
            else:
                self.worker.sink.close()
                self.worker = self.begin(self.journal)

    def end(self) -> None:
        """The faults are over, and another process delivers what is left."""
        self.ledger.faults = 0.0
        self.worker.sink.close()
        self.journal.close()
        self.worker = self.begin(None)
        for _ in range(4):
            self.clock.sleep(61.0)
            if self.worker._attempt():
                break
        self.worker.sink.close()

    def aside(self) -> set[int]:
        """The numbers of the lines that were set aside."""
        import orjson

        try:
            text = self.disk.read(DIRECTORY / "quarantine-journal.jsonl", 0, 1 << 26)
        except FileNotFoundError:
            return set()
        return {sequence_of(orjson.loads(line)["line"].encode()) or 0 for line in text.splitlines()}


@pytest.mark.parametrize("written", [1, 50])
@pytest.mark.parametrize(("when", "ahead"), [("between", 60), ("between", 2**62), ("during", 1), ("during", 2**62)])
def test_a_service_that_claims_more_than_it_was_sent(written: int, when: str, ahead: int) -> None:
    """Somebody else moved the position: nothing is skipped or dropped, and the records wait in the journal."""
    world = World(0)
    world.ledger.faults, world.ledger.largest = 0.0, 1 << 26

    def record(count: int) -> None:
        for _ in range(count):
            world.journal.append(lambda n: encode(Line("metric", n, 17, n, None, "a", 1.5)) + b"\n")

    record(30)
    assert world.worker._attempt()
    if when == "between":
        world.ledger.mark += ahead
    else:
        take = world.ledger._take

        def taken_and_moved(request: httpx.Request) -> httpx.Response:
            take(request)
            world.ledger.mark += ahead
            return httpx.Response(200, json={"next": world.ledger.mark})

        world.ledger._take = taken_and_moved  # type: ignore[method-assign]
    record(written)
    for _ in range(3):
        assert not world.worker._attempt()
        assert "hold" in (world.worker.last_error or "")
        world.clock.sleep(61.0)
        record(written)
    assert world.worker.own.position == 30
    assert len(world.ledger.rows) <= 30 + written


def test_a_direct_writer_notices_what_it_has_not_sent() -> None:
    """A call that stores at once raises when the service claims more than that, or less."""
    for held in (0, 2, 2**62, "1", True, None):
        way = httpx.MockTransport(lambda request, held=held: httpx.Response(200, json={"next": held}))
        writer = RemoteWriter(Connection("http://quark.test", user_key="k", transport=way), "run")
        with pytest.raises(SessionStoreError, match="says that it holds"):
            writer.write([(None, lambda n: encode(Line("metric", n, 17, n, None, "a", 1.5)))])


@pytest.mark.parametrize("block", range(4))
def test_every_history_ends_with_every_good_record_once_and_every_bad_one_aside(block: int) -> None:
    """Whatever is lost, repeated, refused or restored from a backup: in order, once; the bad ones are kept aside."""
    for seed in range(block * SEEDS // 4, (block + 1) * SEEDS // 4):
        world = World(seed)
        world.live()
        world.end()
        assert world.ledger.rows == world.good, f"seed {seed}"
        assert world.aside() == set(world.bad), f"seed {seed}"
