"""What a run says of itself has a size on every database, so that nobody can make it too large to be read."""

from typing import Any

import msgspec
import pytest

from quark.core.reader import RecordFilter
from quark.errors import SchemaValidationError
from quark.records.base import Origin
from quark.records.limits import MAX_LABEL, MAX_RECORD_BYTES
from quark.records.line import Line
from quark.storage import SqlStore
from quark.storage.append import RefusedLineError
from quark.storage.budget import PageBudget
from quark.storage.lifecycle import MAX_TEXT
from quark.testing import event_line, make_batch, run_line, start_line

ORIGIN = Origin("r", "w")
LONG = "".join(chr(0x4E00 + number * 7919 % 20_000) for number in range(MAX_LABEL + 1))
"""Text that no database can compress into its index."""


def started(**fields: Any) -> Any:
    """The start of a run with other fields."""
    body = msgspec.json.decode(start_line(ORIGIN).body)
    body["run"].update(fields)
    return run_line("start", body)


def config(time: int, **values: Any) -> Line:
    """An update of the configuration."""
    return Line("run", 0, time, label="config", body=msgspec.Raw(msgspec.json.encode({"values": values})))


@pytest.mark.parametrize(
    "line",
    [
        run_line("tag", {"tag": LONG}), run_line(LONG, {}), Line(LONG, 0, 1, body=msgspec.Raw(b"{}")),
        Line("event", 0, 1, label=LONG, body=event_line("x").body),
    ],
    ids=["tag", "action", "kind", "label"],
)  # fmt: skip
def test_what_is_indexed_is_short(store: SqlStore, line: Line) -> None:
    """A long tag, kind or label is refused with its reason; what is as long as it may be is stored and found."""
    store.append(make_batch(ORIGIN, [started()]))
    with pytest.raises(RefusedLineError, match=f"at most {MAX_LABEL}"):
        store.append(make_batch(ORIGIN, [line], 1), strict=True)
    batch = make_batch(ORIGIN, [line, run_line("tag", {"tag": LONG[1:]})], 1)
    assert store.append(batch) == 3
    assert len(batch.rejected) == 1
    assert [run.id for run in store.runs(tag=LONG[1:]).items] == ["r"]


@pytest.mark.parametrize("field", ["name", "run_path", "git_commit"])
def test_the_texts_of_a_start_are_counted(store: SqlStore, field: str) -> None:
    """They are limited together, and a page of runs counts them like everything else."""
    with pytest.raises(RefusedLineError, match=f"at most {MAX_TEXT}"):
        store.append(make_batch(ORIGIN, [started(**{field: "x" * MAX_TEXT})]), strict=True)
    for number in range(4):
        origin = Origin(f"r{number}", "w")
        body = msgspec.json.decode(start_line(origin).body)
        body["run"][field] = "x" * 40_000
        store.append(make_batch(origin, [run_line("start", body)]), strict=True)
    taken: list[int] = []
    page = store.runs(budget=PageBudget(100_000, lambda text: taken.append(len(text))))
    assert len(page.items) == 2
    assert 80_000 <= sum(taken) < 100_000


@pytest.mark.parametrize(
    "line",
    [
        started(resume_count=2**40), started(resume_count=2**31), started(schema_version=2**40),
        run_line("resume", {"attempt": 2**40}), run_line("resume", {"attempt": 2**31}),
    ],
    ids=["resume_count", "just above", "schema_version", "attempt", "attempt just above"],
)  # fmt: skip
def test_counters_that_one_database_cannot_hold(store: SqlStore, line: Line) -> None:
    """A counter beyond 32 bits is refused by every database, also the one that could store it."""
    store.append(make_batch(ORIGIN, [started()]))
    with pytest.raises(RefusedLineError, match="2\\*\\*31"):
        store.append(make_batch(ORIGIN, [line], 1), strict=True)
    assert store.append(make_batch(ORIGIN, [run_line("resume", {"attempt": 2**31 - 1})], 1), strict=True) == 2


@pytest.mark.parametrize(("rank", "attempt"), [(2**31, 1), (0, 2**31), (2**40, 1), (-1, 1)])
def test_writers_that_one_database_cannot_hold(store: SqlStore, rank: int, attempt: int) -> None:
    """The same for the rank and the attempt of a writer."""
    with pytest.raises(SchemaValidationError, match="2\\*\\*31"):
        store.append(make_batch(Origin("r", "w", rank, attempt), [started()]))


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_filters_that_no_json_holds(store: SqlStore, value: float) -> None:
    """A number that no record can have finds none: it is not null."""
    store.append(make_batch(ORIGIN, [started(), event_line("x")]))
    for field in ("status", "severity", "payload", "rank"):
        assert list(store.records("r", "event", RecordFilter(where={field: value}))) == []
    assert len(list(store.records("r", "event", RecordFilter(where={"status": None})))) == 1


def test_a_configuration_does_not_grow_without_end(store: SqlStore) -> None:
    """An update that would make it or its history too large is refused as a whole, and what there was stays."""
    store.append(make_batch(ORIGIN, [started(config={"a": "x" * (MAX_RECORD_BYTES // 2)})]), strict=True)
    half = "y" * (MAX_RECORD_BYTES // 2)
    with pytest.raises(RefusedLineError, match="the configuration with its updates"):
        store.append(make_batch(ORIGIN, [config(1, b=half)], 1), strict=True)
    assert store.append(make_batch(ORIGIN, [config(1, a=half)], 1), strict=True) == 2
    with pytest.raises(RefusedLineError, match="updates of the configuration"):
        store.append(make_batch(ORIGIN, [config(2, a=half + "z")], 2), strict=True)
    assert store.run("r").config == {"a": half}


@pytest.mark.parametrize("order", [range(6), range(5, -1, -1), (3, 0, 5, 1, 4, 2)])
def test_updates_hold_in_the_order_of_their_time(store: SqlStore, order: Any) -> None:
    """Whatever order they arrive in, one by one or in one batch, before the start or behind it."""
    lines = [config(time, **{str(time % 2): time, f"only-{time}": time}) for time in order]
    wanted = {"lr": 0.1, "0": 4, "1": 5, **{f"only-{time}": time for time in range(6)}}
    for run_id, groups in {"r": [lines], "single": [[line] for line in lines], "late": [lines]}.items():
        origin = Origin(run_id, "w")
        parts = [*groups, [start_line(origin)]] if run_id == "late" else [[start_line(origin)], *groups]
        at = 0
        for part in parts:
            store.append(make_batch(origin, list(part), at), strict=True)
            at += len(part)
        assert store.run(run_id).config == wanted, run_id


def test_many_updates_cost_one_reading(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of updates, the latest first, reads what is later once and not once for each."""
    from quark.storage import lifecycle

    store.append(make_batch(ORIGIN, [started()]))
    reads = []
    before = lifecycle._updates
    monkeypatch.setattr(lifecycle, "_updates", lambda *given: reads.append(given) or before(*given))
    store.append(make_batch(ORIGIN, [config(1000 - number, a=number) for number in range(300)], 1), strict=True)
    assert len(reads) == 1
    assert store.run("r").config["a"] == 0
