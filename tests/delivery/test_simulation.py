"""Histories by the thousand: one seed decides what is recorded, what fails and where the process dies."""

import os
import random
import re
from pathlib import Path

import pytest

from quark.core.lifecycle import RunManifest
from quark.core.sink import Sink
from quark.delivery.feed import Feed
from quark.delivery.health import Health
from quark.delivery.journal import Journal
from quark.delivery.place import WriterPlace
from quark.delivery.tail import Tail
from quark.delivery.worker import SinkWorker
from quark.records.base import Origin
from quark.records.line import Line, encode
from quark.testing.disk import Crash, SimulatedDisk

DIRECTORY = Path("/simulated/run/0-1-x")
ORIGIN = Origin("run", "0-1-x")
SEEDS = int(os.environ.get("QUARK_TEST_SEEDS", "240"))


class Ledger(Sink):
    """A sink with a memory of its own, like a database: rows and position move together, or not at all."""

    name = "ledger"

    def __init__(self, rng: random.Random, faults: float) -> None:
        self.rng = rng
        self.faults = faults
        self.rows: list[tuple[int, float]] = []
        self.mark = 0

    def position(self, writer_id):
        return self.mark

    def write(self, batch):
        if self.rng.random() < self.faults:
            raise OSError("refused")
        if batch.first > self.mark:
            raise ValueError(f"gap: holds {self.mark}, got {batch.first}")
        self.rows.extend((x.sequence, x.value or 0.0) for x in batch.lines() if x.sequence >= self.mark)
        self.mark = max(self.mark, batch.stop)
        if self.rng.random() < self.faults:
            raise OSError("the answer was lost after the commit")


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 0.001
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def worker(sink: Sink, disk: SimulatedDisk, clock: Clock, journal: Journal | None, alive: bool) -> SinkWorker:
    tail = Tail(DIRECTORY, ORIGIN, disk=disk, journal=journal, alive=lambda: alive, monotonic=clock.monotonic)
    feed = Feed(WriterPlace(DIRECTORY, disk), tail, "ledger")
    return SinkWorker(
        sink, "ledger", RunManifest(run_id="run", project="p"), feed, Health(clock.monotonic), clock=clock
    )


def line(number: int, value: float, size: int) -> bytes:
    return encode(Line("metric", number, 17, number, None, "a", value, description="x" * size)) + b"\n"


def live(
    rng: random.Random, disk: SimulatedDisk, ledger: Ledger, clock: Clock, told: dict[int, float]
) -> Journal | None:
    """The life of a process until it crashes or has done its steps; ``told`` is what it was acknowledged."""
    journal = Journal(DIRECTORY, ORIGIN, disk=disk, monotonic=clock.monotonic)
    own = worker(ledger, disk, clock, journal, alive=True)
    for _ in range(rng.randrange(5, 60)):
        act = rng.random()
        if act < 0.5:
            for _ in range(rng.randrange(1, 200)):
                value, size = rng.random(), rng.choice((0, 10, 2000))
                dropped = journal.dropped
                number = journal.append(lambda n, v=value, s=size: line(n, v, s))
                if journal.dropped == dropped:
                    told[number] = value
        elif act < 0.7:
            own._attempt()
        elif act < 0.85:
            journal.prepare()
            journal.retire()
        else:
            journal.rescue()
    return journal


@pytest.mark.parametrize("block", range(8))
def test_every_history_ends_with_every_acknowledged_record_once(block, caplog):
    """Whatever fails and wherever the process dies: after recovery the sink holds each acknowledged record once."""
    for seed in range(block * SEEDS // 8, (block + 1) * SEEDS // 8):
        rng = random.Random(seed)
        disk = SimulatedDisk(rng, faults=rng.choice((0.0, 0.05, 0.3)), crashes=rng.choice((0.0, 0.02)))
        ledger, clock, told = Ledger(rng, rng.choice((0.0, 0.2))), Clock(), {}
        lost_memory = set()
        try:
            journal = live(rng, disk, ledger, clock, told)
        except Crash:
            journal = None
            lost_memory = set(told) - _on_disk(disk)
        disk.faults = disk.crashes = ledger.faults = 0.0
        if journal is not None:
            journal.close()
        recovery = worker(ledger, disk, clock, None, alive=False)
        for _ in range(3):
            recovery._attempt()
        numbers = [number for number, _ in ledger.rows]
        assert numbers == sorted(set(numbers)), f"seed {seed}: out of order or twice"
        assert not {n for n in told if n not in dict(ledger.rows)} - lost_memory, f"seed {seed}: lost"
        assert all(told.get(n, v) == v for n, v in ledger.rows), f"seed {seed}: altered"


def _on_disk(disk: SimulatedDisk) -> set[int]:
    """The records that had reached a file, and not only the memory that a full disk forced them into."""
    head = re.compile(rb'{"kind":"metric","sequence":(\d+),')
    contents = [content for path, content in disk.files.items() if path.parent == DIRECTORY]
    return {int(number) for content in contents for number in head.findall(content)}
