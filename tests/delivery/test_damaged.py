"""Journals of which a stretch is damaged: what cannot be delivered is set aside, once, and the rest arrives."""

import json
from pathlib import Path

import pytest

from quark.core.sink import Sink
from quark.delivery.feed import Feed
from quark.delivery.place import WriterPlace
from quark.delivery.tail import READ_SIZE, BatchCache, Tail
from quark.records.base import Origin
from quark.records.line import Line, encode

ORIGIN = Origin("run", "0-1-test")


def metrics(*numbers: int) -> bytes:
    return b"".join(encode(Line("metric", n, 17, n, None, "a", 0.5)) + b"\n" for n in numbers)


class Journal:
    """A journal that a process left, its segments written here."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cache = BatchCache()

    def segment(self, number: int, content: bytes) -> None:
        (self.directory / f"{number:08d}.jsonl").write_bytes(content)

    def feed(self, sink: str = "memory") -> Feed:
        """The feed of a sink, as a process that just began would make it."""
        return Feed(WriterPlace(self.directory), Tail(self.directory, ORIGIN, cache=self.cache), sink)

    def aside(self) -> list[str]:
        path = self.directory / "quarantine-journal.jsonl"
        return [json.loads(entry)["line"] for entry in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)


def delivered(feed: Feed) -> list[int]:
    found: list[int] = []
    for _ in range(100):
        if (batch := feed.read(Sink())) is None:
            return found
        assert batch.stop > batch.first
        found += [line.sequence for line in batch.lines()]
        feed.took(batch)
    raise AssertionError("the feed never comes to its end")


PLACES = {
    "a segment of its own": {0: metrics(0, 1), 1: b"what is this\nand this\n", 2: metrics(2, 3)},
    "the first segment": {0: b"what is this\nand this\n", 1: metrics(0, 1, 2, 3)},
    "the last segment": {0: metrics(0, 1, 2, 3), 1: b"what is this\nand this\n"},
    "among lines": {0: metrics(0, 1) + b"what is this\n" + metrics(2) + b"and this\n" + metrics(3)},
    "two segments in a row": {0: metrics(0), 1: b"what is this\n", 2: b"and this\n", 3: metrics(1, 2, 3)},
}


@pytest.mark.parametrize("where", PLACES)
def test_damaged_lines_are_set_aside_once(journal, where):
    """Wherever they lie, for each of two sinks that share batches, and for the processes that come after."""
    for number, content in PLACES[where].items():
        journal.segment(number, content)
    feeds = [journal.feed("one"), journal.feed("two")]
    assert [delivered(feed) for feed in feeds] == [[0, 1, 2, 3]] * 2
    assert sum(feed.set_aside for feed in feeds) == 2
    later = journal.feed("one")
    assert delivered(later) == [] and later.set_aside == 0
    assert sorted(journal.aside()) == ["and this", "what is this"]


def test_a_journal_of_damage_alone_is_set_aside(journal):
    """Nothing is delivered, the reader comes to its end, and all of the damage is kept."""
    journal.segment(0, b"x\n" + b"y" * (3 * READ_SIZE) + b"\n" + b"z\n")
    feed = journal.feed()
    assert (delivered(feed), feed.position) == ([], 0)
    assert sorted({line[:1] for line in journal.aside()}) == ["x", "y", "z"]
    assert sum(line.count("y") for line in journal.aside()) == 3 * READ_SIZE


def test_lines_after_damage_arrive_in_a_living_reader(journal):
    """Damage that is read before its followers are written holds nothing up."""
    journal.segment(0, metrics(0, 1))
    feed = journal.feed()
    assert delivered(feed) == [0, 1]
    journal.segment(0, metrics(0, 1) + b"what is this\n")
    assert (delivered(feed), journal.aside()) == ([], ["what is this"])
    journal.segment(0, metrics(0, 1) + b"what is this\n" + metrics(2))
    assert (delivered(feed), journal.aside()) == ([2], ["what is this"])


def test_a_quarantine_that_is_no_file_of_ours_is_no_obstacle(journal):
    """Entries that were cut off or say nothing are passed over."""
    (journal.directory / "quarantine-journal.jsonl").write_bytes(b'{"line": 3}\n[]\n{"reason": "x", "li')
    journal.segment(0, b"what is this\n")
    feed = journal.feed()
    assert (delivered(feed), feed.set_aside) == ([], 1)
