"""A store of an earlier release is brought up to date when it is opened, with everything that is in it."""

import random
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest

from quark.core.batch import RecordBatch
from quark.records.base import Origin
from quark.records.line import Line
from quark.storage import SqlStore
from quark.storage.version import HEAD
from quark.testing import make_batch, run_line, start_line

KEYS = ("flat", "falling", "rising", "without/steps")
AS_OF_0002 = (
    "DROP INDEX ix_writers_changed_at",
    "ALTER TABLE writers DROP COLUMN changed_at",
    "ALTER TABLE series DROP COLUMN min_step",
    "ALTER TABLE series DROP COLUMN min_value",
    "ALTER TABLE series DROP COLUMN max_step",
    "ALTER TABLE series DROP COLUMN max_value",
    "DROP TABLE chunk_details",
    "DROP TABLE views",
    "UPDATE alembic_version SET version_num = '0002'",
)
EXTREMES = (
    "SELECT pk, key, count, last_step, last_value, min_step, min_value, max_step, max_value FROM series ORDER BY pk"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place for a store in either database."""
    return str(tmp_path / "quark.db") if request.param == "sqlite" else request.getfixturevalue("postgres_url")


def execute(where: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements beside the store, all or none; the rows of the last one."""
    if not where.startswith("postgresql:"):
        connection = sqlite3.connect(where)
        try:
            with connection:
                rows = [connection.execute(statement).fetchall() for statement in statements]
            return rows[-1]
        finally:
            connection.close()
    with psycopg.connect(where) as connection:
        connection.execute("SET search_path TO quark")
        cursors = [connection.execute(statement.encode()) for statement in statements]
        return cursors[-1].fetchall() if cursors[-1].description else []


def points(first: int, stop: int) -> list[Line]:
    """A line of each key for each step; every value but those of one key comes several times."""
    chance = random.Random(first)
    values = {"flat": lambda _: 0.5, "falling": lambda step: -step // 3, "rising": lambda step: step / 7}
    return [
        Line(
            "metric", 0, 10**18 + step, None if key == "without/steps" else step, None, key,
            float(values.get(key, lambda _: chance.choice((-2.0, 0.0, 1e300)))(step)),
        )
        for step in range(first, stop) for key in KEYS
    ]  # fmt: skip


def begun(store: SqlStore, run_id: str, lines: list[Line]) -> RecordBatch:
    origin = Origin(run_id, "w")
    batch = make_batch(origin, [start_line(origin), *lines])
    store.append(batch)
    return batch


def fill_as_0002(where: str) -> list[tuple[Any, ...]]:
    """Make a store as 0002 had it, of packed points, packed and newer ones, many new ones, and a few new ones.

    Returns:
        What is known of each metric today, which 0002 knew of the packed points only.
    """
    end = run_line("end", {"status": "completed", "reason": "completed"})
    with SqlStore(where) as store:
        for run_id in ("packed", "packed-and-new"):
            begun(store, run_id, [*points(0, 3000), end])
        while store.seal():
            pass
        packed = execute(where, "SELECT last_step, last_value, pk FROM series")
        origin = Origin("packed-and-new", "w2")
        store.append(make_batch(origin, [run_line("resume", {"attempt": 2}), *points(2990, 3200)]))
        begun(store, "new", points(0, 100))
        begun(store, "few", points(5, 8))
        known = execute(where, EXTREMES)
    assert {row[2] for row in known} == {0, 3000}, "some are packed, others not"
    was = [
        f"UPDATE series SET last_step = {step or 'NULL'}, last_value = {value} WHERE pk = {pk}"
        for step, value, pk in packed
    ]
    nothing = "UPDATE series SET last_step = NULL, last_value = NULL"
    execute(where, nothing, *was, *AS_OF_0002)
    return known


def test_extremes_of_old_runs_are_found_by_the_upgrade(where: str) -> None:
    """Opening a store of schema 0002 leaves it as if today's release had stored all of its points."""
    known = fill_as_0002(where)
    with SqlStore(where) as store:
        series = store.series("packed-and-new", "falling", all_attempts=True)
        assert len(series) == 3210
    assert execute(where, EXTREMES) == known
    assert execute(where, "SELECT version_num FROM alembic_version") == [(HEAD,)]


def test_an_old_store_goes_on(where: str) -> None:
    """What is appended after the upgrade moves an extreme only where it is one."""
    fill_as_0002(where)
    with SqlStore(where) as store:
        store.append(make_batch(Origin("packed", "w2"), [Line("metric", 0, 10**18, 9000, None, "falling", -500.0)]))
        store.append(make_batch(Origin("packed", "w3"), [Line("metric", 0, 10**18, 9001, None, "falling", -9e9)]))
    row = execute(
        where,
        "SELECT last_step, min_step, min_value, max_step, max_value FROM series"
        " WHERE key = 'falling' ORDER BY pk LIMIT 1",
    )
    assert row == [(9001, 9001, -9e9, 0, 0.0)]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE chunk_data SET value_data = {bytes} WHERE chunk_pk = {chunk}",
        "UPDATE chunks SET blocks = {bytes} WHERE pk = {chunk}",
        "DELETE FROM chunk_data WHERE chunk_pk = {chunk}",
        "UPDATE fragments SET points = {bytes} WHERE run_pk = (SELECT pk FROM runs WHERE id = 'few')",
    ],
    ids=["values", "summaries", "no data", "new points"],
)
def test_a_damaged_metric_does_not_close_an_old_store(
    where: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says which one it is; every other metric has its extremes."""
    known = fill_as_0002(where)
    ((chunk, of),) = execute(where, "SELECT pk, series_pk FROM chunks ORDER BY pk LIMIT 1")
    data = r"'\x0102'" if where.startswith("postgresql:") else "x'0102'"
    execute(where, damage.format(bytes=data, chunk=chunk))
    with SqlStore(where) as store:
        assert len(store.runs().items) == 4
    assert "are damaged" in caplog.text
    few = max(row[0] for row in known) - len(KEYS)
    spoiled = [row for row in known if (row[0] > few if "fragments" in damage else row[0] == of)]
    assert [row for row in execute(where, EXTREMES) if row not in known] == [
        (pk, key, count, *(last if "chunk" in damage else (None, None)), None, None, None, None)
        for pk, key, count, *last, _, _, _, _ in spoiled
    ]
