"""Runs found by a query, listed with columns and sorted by any of them: alike in every database, and as Python says."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quark.core.query import Comparison, Words, parse_column, parse_query
from quark.errors import SchemaValidationError, WrongTypeError
from quark.records.base import Origin
from quark.records.line import Line
from quark.storage import SqlStore
from quark.testing import make_batch, run_line, start_line
from quark.testing.batches import START_NS

CONFIGS: list[dict[str, Any]] = [
    {"lr": 0.1, "model": "cnn", "optimizer": {"name": "sgd", "lr": 1}},
    {"lr": 1e-4, "model": "Résumé", "flag": True},
    {"lr": "0.1", "model": "mlp", "a.b": 7, "flag": False},
    {"lr": None, "a": {"b": 5}, "text": "x\0y"},
    {"val/acc": 0.5, "lr": 10**30, "nested": {"deep.er": {"x": 3}}},
    {},
]
POINTS: list[list[float]] = [[3.0, 1.0, 2.0], [5.0, 4.0], [1.0], [], [-1.0, 7.0], [2.0, 2.0]]


def fill(store: SqlStore) -> None:
    """Six runs of two projects with settings of every kind and a few points each."""
    for number, (config, points) in enumerate(zip(CONFIGS, POINTS, strict=True)):
        origin = Origin(f"run-{number}", "w")
        lines = [
            start_line(origin, name=("Alpha", "beta 100%", "Gamma_x")[number % 3], project="p" if number < 4 else "q"),
            run_line("config", {"values": config}),
            run_line("tag", {"tag": "even" if number % 2 == 0 else "od\\d"}),
            *(Line("metric", 0, START_NS, step, None, "val/loss", value) for step, value in enumerate(points)),
            *(Line("metric", 0, START_NS, step, None, "val/acc", -value) for step, value in enumerate(points)),
            *([run_line("end", {"status": "failed", "reason": "error"})] if number == 1 else []),
        ]
        store.append(make_batch(origin, lines))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, postgres_server: str) -> Iterator[list[SqlStore]]:
    """The same runs in both databases."""
    from ..postgres import new_database

    with (
        new_database(postgres_server) as url,
        SqlStore(tmp_path_factory.mktemp("search") / "quark.db") as one,
        SqlStore(url) as other,
    ):
        for store in (one, other):
            fill(store)
        yield [one, other]


FOUND: list[tuple[str, str]] = [
    ("", "012345"), ("status:failed", "1"), ("status:failed,running", "012345"), ("-status:failed", "02345"),
    ("project:q", "45"), ("tag:even", "024"), ('tag:"od\\\\d"', "135"), ("-tag:even", "135"), ("name:Alpha", "03"),
    ("id:run-1", "1"), ("id:run", "012345"), ("id=run-2", "2"), ("id!=run-2", "01345"), ("id>run-3", "45"),
    ("alpha", "03"), ('"100%"', "14"), ('"a_x"', "25"), ("EVEN", "024"), ("od\\d", "135"),
    ('"beta 100%" tag:even', "4"),
    ("lr<1e-3", "1"), ("lr<=0.1", "015"), ("lr=0.1", "05"), ('lr="0.1"', "2"), ("lr!=0.1", "1234"), ("lr=null", "3"),
    ("lr!=null", "01245"), ("lr>1e20", "4"), ("flag=true", "1"), ("flag=false", "2"), ("flag!=true", "02345"),
    ("model=cnn", "0"), ("model=Résumé", "1"), ("model>cnn", "2"), ("-model=cnn", "12345"), ("optimizer.name=sgd", "0"),
    ("config.optimizer.lr=1", "0"), ("a.b>=5", "23"), ("a.b=7", "2"), ("nested.deep.er.x=3", "4"), ("has:lr", "012345"),
    ("has:config.model", "012"), ("has:val/loss", "01245"), ("-has:min:val/loss", "3"), ("has:ended_at", "1"),
    ("min:val/loss<0", "4"), ("max:val/loss>=5", "14"), ("last:val/loss=2", "05"), ("val/loss:min=1", "02"),
    ("val/loss>3", "14"), ("best:val/loss<=1", "024"), ("best:val/acc>0", "4"), ("val/acc<0", "0125"),
    ("started_at>2026-05-06", "012345"), ("started_at>2026-05-08", ""), ("started_at<=2026-05-07T00:00:00Z", "012345"),
    ("name=Alpha", "03"), ("reason=error", "1"), ("reason!=error", "02345"), ("project=p lr<1", "01"),
    ("project=p AND lr<1", "01"), ('"AND"', ""), ("alpha and", ""),
    ("no.such<3", ""), ("no.such!=3", "012345"), ("tag:even tag:nope", ""), ("-alpha -tag:even", "15"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "expected"), FOUND, ids=[query or "everything" for query, _ in FOUND])
def test_a_query_finds(both: list[SqlStore], query: str, expected: str) -> None:
    """The runs for which all terms hold, in a list, in a table, and page by page, in both databases."""
    for store in both:
        assert sorted(run.id[-1] for run in store.runs(where=query).items) == sorted(expected)
        assert sorted(row.id[-1] for row in store.run_table(query).runs) == sorted(expected)


@pytest.mark.parametrize("wrong", [
    "foo:bar", "status:great", "lr<", "<3", "lr<true", "lr>null", "min:val/loss=x", "min:val/loss<true", 'a "b', "tag:",
    "started_at>yesterday", "lr<1e999", "best:lr<1", 'config."a\\"b"=1', "a\0", "x " * 51, "x" * 4097, "has:best:foo",
    "tag:a,,b", "\ud800",
])  # fmt: skip
def test_a_query_that_is_none_says_why(wrong: str) -> None:
    """The error names what is wrong; nothing is guessed."""
    with pytest.raises(SchemaValidationError) as told:
        parse_query(wrong)
    assert len(str(told.value)) < 600


def test_words_in_quotes_mean_themselves() -> None:
    """Signs in quotes are text; a minus negates a term; alternatives are separated by commas."""
    assert parse_query('"a:b<c" -"x y" tag:a,"b,c" lr<"1"') == (
        Words("text", ("a:b<c",)), Words("text", ("x y",), True), Words("tag", ("a", "b,c")),
        Comparison(parse_column("lr"), "<", "1"),
    )  # fmt: skip
    assert parse_query('"loss (train)"<1')[0].column.metric.startswith("loss_train")  # type: ignore[union-attr]
    for wrong in (None, 3, ["lr"]):
        with pytest.raises(WrongTypeError):
            parse_query(wrong)
        with pytest.raises(WrongTypeError):
            parse_column(wrong)


COLUMNS = [
    "lr", "config.model", "a.b", "flag", "min:val/loss", "max:val/loss", "last:val/acc", "val/acc", "best:val/acc",
    "name", "started_at", "ended_at", "status", "id", "optimizer", "text", "nope",
]  # fmt: skip


def test_columns(both: list[SqlStore]) -> None:
    """A setting as it was given, a metric with its step, null for what a run does not have; alike in both databases."""
    tables = [store.run_table("", columns=COLUMNS, sort="id").runs for store in both]
    assert tables[0] == tables[1]
    rows = tables[0]
    assert [row.columns["lr"] for row in rows] == [0.1, 1e-4, "0.1", None, 1e30, 0.1]
    assert [row.columns["flag"] for row in rows] == [None, True, False, None, None, None]
    assert [row.columns["a.b"] for row in rows] == [None, None, 7, 5, None, None]
    assert rows[0].columns["optimizer"] == {"name": "sgd", "lr": 1}
    assert [row.columns["min:val/loss"] for row in rows] == [1.0, 4.0, 1.0, None, -1.0, 2.0]
    assert [row.steps.get("max:val/loss") for row in rows] == [0, 0, 0, None, 1, 0]
    assert rows[4].columns["val/acc"] == 0.5 and rows[0].columns["val/acc"] == -2.0  # the setting, else the metric
    assert (rows[1].columns["ended_at"] is None, rows[0].columns["id"], rows[0].tags) == (False, "run-0", ("even",))


@pytest.mark.parametrize("sort", [column for column in COLUMNS if column not in ("optimizer",)])
def test_every_page_of_every_order(both: list[SqlStore], sort: str) -> None:
    """Each run once, whatever the size of the pages; runs without a value last, both ways; alike in both databases."""
    for order, limit in itertools.product((sort, f"-{sort}"), (1, 2, 5)):
        lists = []
        for store in both:
            found: list[Any] = []
            cursor = None
            while True:
                page = store.run_table("", columns=[sort], sort=order, limit=limit, after=cursor)
                found += page.runs
                cursor = page.next
                if cursor is None:
                    break
            assert sorted(row.id for row in found) == [f"run-{number}" for number in range(6)]
            values = [row.columns[sort] for row in found]
            numbers = [value for value in values if isinstance(value, (int, float))]
            assert values.index(None) >= len(values) - values.count(None) if None in values else True
            assert numbers == sorted(numbers, reverse=order.startswith("-"))
            lists.append([row.id for row in found])
        assert lists[0] == lists[1]


def test_a_cursor_is_good_for_its_list(both: list[SqlStore]) -> None:
    """That of another order, or anything else, is refused in words."""
    for store in both:
        cursor = store.run_table("", sort="lr", limit=2).next
        for after in (cursor, "x", "bnVsbA=="):
            with pytest.raises(SchemaValidationError, match="cursor"):
                store.run_table("", sort="-lr", after=after)


def test_extremes_follow_every_append(place: Path | str) -> None:
    """Last, least and greatest are those of the series, whatever the batches, packed or not, of several writers."""
    with SqlStore(place) as store:
        values = [math.sin(number * 7.3) * number for number in range(60)]
        for start in range(0, 60, 7):
            origin = Origin("run-1", f"w{start % 2}")
            lines = [
                Line("metric", 0, START_NS, number, None, "x", values[number])
                for number in range(start, min(start + 7, 60))
            ]
            first = store.position("run-1", origin.writer_id)
            store.append(make_batch(origin, lines if first else [start_line(origin), *lines], first))
            if start % 3 == 0:
                store.seal("run-1")
            (row,) = store.run_table("", columns=["min:x", "max:x", "last:x"]).runs
            held = values[: min(start + 7, 60)]
            assert row.columns == {"min:x": min(held), "max:x": max(held), "last:x": held[-1]}
            assert row.steps == {
                "min:x": held.index(min(held)),
                "max:x": held.index(max(held)),
                "last:x": len(held) - 1,
            }


def test_edits_are_records(store: SqlStore) -> None:
    """A name, tags that come and go: in their order; they are no sign of life of a run that was lost."""
    origin = Origin("run-1", "w")
    store.append(make_batch(origin, [start_line(origin), *(run_line("tag", {"tag": tag}) for tag in "abc")]))
    edits = [("untag", {"tag": "a"}), ("rename", {"name": "new"}), ("tag", {"tag": "d"}), ("untag", {"tag": "none"})]
    store.write_lines("run-1", [run_line(action, body) for action, body in edits])
    run = store.run("run-1")
    assert (run.name, run.tags) == ("new", ("b", "c", "d"))
    with pytest.raises(SchemaValidationError, match="name"):
        store.write_lines("run-1", [run_line("tag", {"tag": "e"}), run_line("rename", {"name": 3})])
    assert store.run("run-1").tags == ("b", "c", "d")
    store.beat("run-1", 1.0)
    (sign,) = store.signs()
    lost = make_batch(Origin("run-1", "watch"), [run_line("end", {"status": "failed", "reason": "lost"})])
    assert store.reap(sign, lost)
    store.write_lines("run-1", [run_line("rename", {"name": None})])
    assert store.returned() == []
    assert (store.run("run-1").status, store.run("run-1").name) == ("failed", None)


def test_views(store: SqlStore) -> None:
    """Kept by project and name, replaced and removed; a large one and one too many are refused."""
    assert store.view("p", "mine") is None and store.views("p") == []
    assert not store.save_view("p", "mine", {"a": [1]})
    assert store.save_view("p", "mine", {"a": [2]})
    store.save_view("q", "mine", {})
    found = store.view("p", "mine")
    assert found is not None and (found.content, found.project) == ({"a": [2]}, "p")
    with pytest.raises(SchemaValidationError, match="16384"):
        store.save_view("p", "large", {"a": "x" * 16_384})
    for number in range(199):
        store.save_view("p", f"v{number}", {})
    with pytest.raises(SchemaValidationError, match="200"):
        store.save_view("p", "more", {})
    assert store.save_view("p", "mine", None) and not store.save_view("p", "mine", None)
    assert [view.name for view in store.views("q")] == ["mine"]


def test_changes_are_told(store: SqlStore) -> None:
    """The runs that were written to since a moment, with the kinds of what came; not those of other projects."""
    for run_id, project in (("run-1", "p"), ("run-2", "q")):
        origin = Origin(run_id, "w")
        store.append(make_batch(origin, [start_line(origin, project=project)]))
    changes, last = store.changes(0)
    assert [(change.run_id, change.marks, change.kinds) for change in changes] == [("run-1", 1, ()), ("run-2", 1, ())]
    since = changes[-1].changed_at
    assert store.changes(since) == ([], last)
    store.append(make_batch(Origin("run-1", "w"), [run_line("tag", {"tag": "x"})], 1))
    ((change,), _) = store.changes(since, last)
    assert (change.run_id, change.project, change.marks, change.kinds) == ("run-1", "p", 2, ("run",))
    assert store.changes(since, last, ["q"])[0] == []
