"""Runs are found by what they were configured with, and shown as they are."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from msgspec.json import decode

from quark import RecordFilter, SchemaValidationError
from quark.records.base import Origin
from quark.records.line import Line
from quark.storage import SqlStore
from quark.storage.belonging import Reach
from quark.storage.budget import PageBudget
from quark.testing import event_line, make_batch, metric_lines, run_line, start_line


def start(store: SqlStore, run_id: str, config: dict[str, Any]) -> None:
    """Store the start of a run with a configuration."""
    origin = Origin(run_id, "w")
    body = decode(start_line(origin, name=run_id).body)
    body["run"]["config"] = config
    store.append(make_batch(origin, [run_line("start", body)]))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [({"n": 1}, ["one"]), ({"n": 1.0}, ["one"]), ({"n": True}, ["true"]), ({"n": None}, ["null"]),
     ({"n": "1"}, ["text"]),
     ({"o.lr": 0.1}, ["deep"]), ({"o.lr": 0.1, "o.b.c": [1, 2]}, ["deep"]), ({"o.b.c": (1, 2)}, ["deep"]),
     ({"o.b": {"c": [1, 2]}}, ["deep"]), ({"a.b": 5}, ["dotted"]), ({"a.b.c": 6}, ["dotted"]), ({"o.lr.x": 1}, []),
     ({"n": 1, "m": 1}, []), ({}, ["deep", "dotted", "null", "one", "text", "true"])],
)  # fmt: skip
def test_configuration(store: SqlStore, wanted: dict[str, Any], found: list[str]) -> None:
    """Values are compared as JSON by dotted path: 1 is 1.0, True is not 1, null is not a missing value."""
    for run_id, config in {
        "one": {"n": 1}, "true": {"n": True}, "null": {"n": None}, "text": {"n": "1"},
        "deep": {"o": {"lr": 0.1, "b": {"c": [1, 2]}}}, "dotted": {"a.b": 5, "a": {"b.c": 6}},
    }.items():  # fmt: skip
        start(store, run_id, config)
    assert [run.id for run in store.runs(config=wanted, sort="id").items] == found


def test_pages_with_a_filter_on_the_configuration(store: SqlStore) -> None:
    """A page is full although most runs do not match, and the next one goes on behind it."""
    for number in range(450):
        start(store, f"run-{number:03}", {"third": number % 3 == 0})
    got, after = [], None
    while True:
        page = store.runs(config={"third": True}, sort="-id", limit=70, after=after)
        got += [run.id for run in page.items]
        if (after := page.next) is None:
            break
        assert len(page.items) == 70
    assert got == [f"run-{number:03}" for number in reversed(range(0, 450, 3))]
    assert len(store.runs().items) == 450


def test_a_cursor_belongs_to_its_order(store: SqlStore) -> None:
    """A cursor of one order is refused in another one: it would skip runs."""
    for name in ("a", "b"):
        start(store, name, {})
    cursor = store.runs(sort="name", limit=1).next
    with pytest.raises(SchemaValidationError, match="another order"):
        store.runs(sort="-name", after=cursor)


def test_projects(store: SqlStore) -> None:
    """Every project once, by name."""
    for number, project in enumerate(("b", "a", "b")):
        origin = Origin(f"r{number}", "w")
        store.append(make_batch(origin, [start_line(origin, project=project)]))
    ids = {name: "p" + hashlib.sha256(name.encode()).hexdigest()[:31] for name in "ab"}
    assert [(project.name, project.id) for project in store.projects()] == list(ids.items())


def test_a_record_that_cannot_be_read_hides_no_other(store: SqlStore, caplog) -> None:
    """A damaged body, which only a foreign writer makes, is named in the log and left out."""
    bad = decode(b'{"kind":"event","sequence":0,"time":1,"body":{"severity":3}}', type=Line)
    store.append(make_batch(Origin("r", "w"), [event_line("a"), bad, event_line("b")]))
    assert [record.event_type for record in store.records("r", "event")] == ["a", "b"]  # type: ignore[attr-defined]
    assert "w-1" in caplog.text and store.count("r") == {"event": 3}


def test_a_start_that_is_broken_changes_nothing(store: SqlStore) -> None:
    """A start line of which only a part could be applied is put aside as a whole."""
    origin = Origin("r", "w")
    for path, value in ((("run", "started_at"), "soon"), (("run", "resume_count"), 2**70), (("run", "id"), "other")):
        body = decode(start_line(origin, project="p").body)
        body[path[0]][path[1]] = value
        batch = make_batch(origin, [run_line("start", body), event_line("e")], store.position("r", "w"))
        assert store.append(batch) == batch.stop
        assert len(batch.rejected) == 1
    assert [project.name for project in store.projects()] == ["unknown"]
    store.append(make_batch(origin, [start_line(origin)], store.position("r", "w")))
    assert (store.run("r").name, store.run("r").project_name, store.count("r")) == ("cnn", "digits", {"event": 3})


@pytest.mark.parametrize(("count", "packed"), [(3, 0), (40, 20)])
def test_many_runs(store: SqlStore, monkeypatch, count: int, packed: int) -> None:
    """A store that sees many runs does not remember them all. It packs those that ended, but for tiny ones."""
    monkeypatch.setattr("quark.storage.append.KNOWN_RUNS", 5)
    for number in range(20):
        origin = Origin(f"r{number}", "w")
        store.append(make_batch(origin, [start_line(origin), *metric_lines(count)]))
        store.append(make_batch(origin, [run_line("end", {"status": "completed"}), *metric_lines(count)], count + 1))
        store.seal()
    assert len(store._appender.runs) <= 5
    assert [len(store.series(f"r{number}", "train/loss")) for number in range(20)] == [2 * count] * 20
    with store._database.snapshot() as connection:
        assert connection.execute("SELECT count(*) FROM chunks").fetchone()[0] == packed


@pytest.mark.parametrize("text", [r"\ud800", r"\u0000"])
def test_text_that_is_hard_to_store(store: SqlStore, text: str) -> None:
    """Half of a character pair is put aside, a NUL is kept; neither holds up the next record."""
    lines = [
        f'{{"kind":"event","sequence":0,"time":1,"label":"{text}","body":{{"event_type":"{text}","severity":"info"}}}}',
        f'{{"kind":"metric","sequence":1,"time":1,"step":1,"metric_key":"{text}","value":1.0}}',
        f'{{"kind":"event","sequence":2,"time":1,"body":{{"event_type":"x","severity":"{text}"}}}}',
    ]
    batch = make_batch(Origin("r", "w"), [*(line.encode() for line in lines), event_line("good")])
    assert store.append(batch) == 4
    assert "good" in [record.event_type for record in store.records("r", "event")]  # type: ignore[attr-defined]
    assert [record.id for record in store.records("r", "event", RecordFilter(where={"event_type": "good"}))] == ["w-3"]


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """What the databases are asked, from now on."""
    asked: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    yield asked
    sa.event.remove(sa.Engine, "before_cursor_execute", note)


def test_a_few_projects_cost_no_more_than_all(store: SqlStore, statements: list[str]) -> None:
    """Runs of other projects are left out by the database: a page takes as many statements as without the choice."""
    for number in range(500):
        origin = Origin(f"run-{number:03}", "w")
        store.append(make_batch(origin, [start_line(origin, project="mine" if number == 7 else "theirs")]))
    counts = {}
    for only, expected in ((None, "run-000"), (("mine",), "run-007"), (("mine", "none"), "run-007"), ((), None)):
        statements.clear()
        page = store.runs(projects_only=only, limit=1, sort="id")
        assert ([run.id for run in page.items] or [None]) == [expected]
        counts[only] = len(statements)
    assert max(counts.values()) == counts[None]
    assert [project.name for project in store.projects(("mine", "none"))] == ["mine"]
    assert store.runs(projects_only=("mine",), limit=1).next is None


def test_pages_within_a_budget(store: SqlStore) -> None:
    """A page ends before it passes its bytes but holds one run at least; each text is told before it is decoded."""
    texts: list[str] = []
    for number in range(6):
        start(store, f"run-{number}", {"text": "x" * (1000 if number != 3 else 10_000)})
    budget = PageBudget(3000, texts.append)
    sizes, after = [], None
    while True:
        page = store.runs(sort="id", limit=100, after=after, budget=budget)
        sizes.append(len(page.items))
        if (after := page.next) is None:
            break
    assert sizes == [2, 1, 1, 2]
    assert sum("xxx" in text for text in texts) == 6
    origin = Origin("run-1", "w")
    store.append(make_batch(origin, [event_line("e", payload={"m": "x" * 100}) for _ in range(5)], 1))
    page, cursor = store.records_page("run-1", "event", limit=100, budget=PageBudget(300, texts.append))
    assert (len(page), cursor is None) == (1, False)
    rest, cursor = store.records_page("run-1", "event", RecordFilter(after=cursor), limit=100)
    assert (len(rest), cursor) == (4, None)


@pytest.mark.parametrize(
    ("filters", "found"),
    [({"ids": ["a", "c"]}, "ac"), ({"ids": "b"}, "b"), ({"ids": ["zzz"]}, ""), ({"ids": []}, ""),
     ({"project": ["p", "q"]}, "abc"), ({"project": ("q",)}, "b"), ({"name": {"a", "b"}}, "ab"),
     ({"status": ["running", "failed"]}, "abc"), ({"status": ["failed"]}, ""), ({"tag": ["x", "y"]}, ""),
     ({"started_after": datetime(2020, 1, 1)}, "abc"), ({"started_before": datetime(2020, 1, 1, tzinfo=UTC)}, ""),
     ({"ids": ["a", "b"], "project": "p"}, "a")],
)  # fmt: skip
def test_several_values(store: SqlStore, filters: dict[str, Any], found: str) -> None:
    """A filter takes one value or several, of which any counts; different filters all count."""
    for run_id, project in (("a", "p"), ("b", "q"), ("c", "p")):
        origin = Origin(run_id, "w")
        store.append(make_batch(origin, [start_line(origin, name=run_id, project=project)]))
    assert "".join(run.id for run in store.runs(**filters, sort="id").items) == found


def test_an_id_of_another_project_is_found_by_its_clients(store: SqlStore) -> None:
    """Where two projects use one id, both runs have it."""
    for project in ("p", "q"):
        origin = Origin("same", f"w-{project}")
        reach = Reach((project,), project)
        store.append(make_batch(origin, [start_line(origin, project=project)]), reach=reach)
    found = store.runs(ids=["same"], sort="project").items
    assert [(run.id, run.project_name) for run in found] == [("same", "p"), ("same", "q")]
