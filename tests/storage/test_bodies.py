"""Bodies of records come page by page, none twice and none left out."""

import pytest
from msgspec.json import decode

from quark.records.base import Origin
from quark.storage import SqlStore, pages
from quark.testing import event_line, make_batch, start_line

ORIGIN = Origin("run-1", "w")


@pytest.mark.parametrize("count", [0, 2, 3, 4, 7])
def test_pages_end_anywhere(store: SqlStore, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """A full last page, one that is not, and no record at all."""
    monkeypatch.setattr(pages, "BODIES", 3)
    store.append(make_batch(ORIGIN, [start_line(ORIGIN), *(event_line(f"e{n}") for n in range(count))]))
    found = [decode(body)["event_type"] for *_, body in store.bodies("run-1", "event")]
    assert found == [f"e{n}" for n in range(count)]


def test_what_arrives_while_one_reads_comes_last(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two pages no transaction is open, so that a reader may take its time."""
    monkeypatch.setattr(pages, "BODIES", 2)
    store.append(make_batch(ORIGIN, [start_line(ORIGIN), *(event_line(f"e{n}") for n in range(4))]))
    read = store.bodies("run-1", "event")
    first = next(read)
    store.append(make_batch(ORIGIN, [event_line("late")], 5))
    rest = [decode(body)["event_type"] for *_, body in read]
    assert decode(first[6])["event_type"] == "e0"
    assert rest == ["e1", "e2", "e3", "late"]
