"""A store in PostgreSQL: replicas share it, its schema is made once, faults are named, and no text is too strange."""

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st

from quark import ConfigurationError, SchemaMigrationError, SessionStoreError
from quark.records.base import Origin
from quark.records.line import Line
from quark.storage import SqlStore, postgres, postgres_pool
from quark.storage.postgres_connection import escaped, unescaped
from quark.storage.schema import metadata
from quark.testing import event_line, make_batch, metric_lines, run_line, start_line

from ..postgres import Server, database_url, own_server

ORIGIN = Origin("run-1", "w")


@pytest.fixture
def store(postgres_url: str) -> Iterator[SqlStore]:
    """An empty store in PostgreSQL."""
    with SqlStore(postgres_url) as opened:
        yield opened


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What several calls return that begin at the same moment."""
    barrier = threading.Barrier(len(calls))

    def call(one: Callable[[], Any]) -> Any:
        barrier.wait(30)
        return one()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(call, calls))


def execute(url: str, sql: str) -> list[tuple[Any, ...]]:
    """Run a statement beside the store."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def test_the_migrations_make_what_the_schema_says(postgres_url: str) -> None:
    """Alembic finds no difference between the tables of a store and ``schema.py``, collations included."""
    engine = sa.create_engine(postgres_url.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text("SET search_path TO quark"))
        options = {"compare_type": True, "target_metadata": metadata}
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
        collations = connection.execute(
            sa.text(
                "SELECT DISTINCT collation_name FROM information_schema.columns"
                " WHERE table_schema = 'quark' AND data_type = 'text'"
            )
        )
        assert (differences, collations.scalars().all()) == ([], ["C"])


def test_replicas_that_start_at_once(bare_postgres_url: str) -> None:
    """Of those that open the same new store one makes the tables, the others wait for it; all can write."""

    def start(name: str, namespace: str | None) -> int:
        with SqlStore(bare_postgres_url, namespace=namespace) as store:
            return store.append(make_batch(Origin("run-1", name), metric_lines(3)))

    places = (None, "a", "b")
    calls = [lambda name=name, place=place: start(name, place) for name in "xyz" for place in places]
    assert at_once(*calls) == [3] * 9
    for place in places:
        with SqlStore(bare_postgres_url, namespace=place) as store:
            assert store.count("run-1") == {"metric": 9}


def test_namespaces(postgres_url: str) -> None:
    """Stores with different names share a database and nothing else, whatever the names are."""
    names = ["a", "A", 'x"; DROP SCHEMA quark CASCADE; --', "o'brien", "ü" * 1000, "../a", "%s"]
    with SqlStore(postgres_url) as plain:
        for name in names:
            with SqlStore(postgres_url, namespace=name) as store:
                store.append(make_batch(Origin("run-1", "w"), [start_line(ORIGIN, name=name[:20])]))
        for name in names:
            with SqlStore(postgres_url, namespace=name) as store:
                assert [run.name for run in store.runs().items] == [name[:20]]
        assert plain.runs().items == ()
        assert [pool.users for pool in postgres_pool._pools.values()] == [1]
    assert postgres_pool._pools == {}
    (comment,) = execute(
        postgres_url, "SELECT count(*) FROM pg_namespace n WHERE obj_description(n.oid) LIKE 'Quark, namespace %'"
    )
    assert comment == (len(names),)
    for bad in ("", 3):
        with pytest.raises(ConfigurationError, match="namespace"):
            SqlStore(postgres_url, namespace=bad)  # type: ignore[arg-type]


def test_a_connection_that_comes_back_late_is_closed(postgres_url: str) -> None:
    """A thread may still read when the last store is closed: its connection is not left to the garbage collector."""
    pool = postgres_pool.take_pool(postgres_url)
    connection = pool.engine.connect()
    driver = connection.connection.driver_connection
    postgres_pool.leave_pool(pool)
    assert connection.execute(sa.text("SELECT 1")).scalar() == 1
    connection.close()
    assert driver is not None and driver.closed


@pytest.mark.parametrize("version", ["9999", "0000"])
def test_tables_that_cannot_be_upgraded_stay_as_they_were(postgres_url: str, version: str) -> None:
    """A newer store, or one of a version that no migration knows, is refused with its version."""
    execute(postgres_url, f"UPDATE quark.alembic_version SET version_num = '{version}'")
    with pytest.raises(SchemaMigrationError, match=version):
        SqlStore(postgres_url)
    assert execute(postgres_url, "SELECT version_num FROM quark.alembic_version") == [(version,)]


def test_another_program_s_schema_is_refused(bare_postgres_url: str) -> None:
    """Tables that are not Quark's are not added to."""
    execute(bare_postgres_url, "CREATE SCHEMA quark; CREATE TABLE quark.mine (x int)")
    with pytest.raises(SchemaMigrationError, match="mine"):
        SqlStore(bare_postgres_url)


def test_a_database_that_cannot_hold_any_text_is_refused(postgres_server: str) -> None:
    """The encoding must be UTF-8; the error says how to make such a database."""
    name = "quark_test_latin1"
    execute(postgres_server, f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        with pytest.raises(SchemaMigrationError, match=r"LATIN1.*createdb"):
            SqlStore(database_url(postgres_server, name))
    finally:
        execute(postgres_server, f"DROP DATABASE {name}")


def test_no_secret_is_shown() -> None:
    """Neither a URL that cannot be read nor a server that does not answer brings the password to light."""
    for url, error in (
        ("postgresql://user:s3cret@host/db?nonsense=1", ConfigurationError),
        ("postgresql://user:s3cret@[::1/db", ConfigurationError),
        ("postgresql://user:s3cret@host:port/db", SessionStoreError),
        ("postgresql://user:s3cret@127.0.0.1:1/db", SessionStoreError),
    ):
        with pytest.raises(error) as caught:
            SqlStore(url)
        assert "s3cret" not in f"{caught.value}{caught.value.__cause__}"
    assert caught.value.code == "unavailable"  # type: ignore[attr-defined]
    assert postgres_pool._pools == {}


# Replicas


def test_two_replicas_that_get_the_same_batch_at_once(store: SqlStore) -> None:
    """It is stored once, by whichever was first, also when the run itself is new to both."""
    for number in range(20):
        origin = Origin(f"run-{number}", "w")

        def send(origin: Origin = origin) -> int:
            return store.append(
                make_batch(origin, [start_line(origin), *metric_lines(50, ("a", "b")), event_line("e")])
            )

        assert at_once(*[send] * 4) == [102] * 4
        assert store.count(origin.run_id) == {"metric": 100, "event": 1}


def test_a_batch_waits_for_the_one_before_it(store: SqlStore) -> None:
    """While a transaction that writes the run is open, another writer's batch waits, and then takes its new mark."""
    store.append(make_batch(ORIGIN, metric_lines(2)))
    late = make_batch(ORIGIN, metric_lines(4), 0)
    with ThreadPoolExecutor(1) as thread:
        with store._database.writing() as connection:
            assert connection.lock_run("run-1") is not None
            waiting = thread.submit(store.append, late)
            other = make_batch(Origin("run-2", "w"), metric_lines(1))
            assert store.append(other) == 1  # another run's does not
            assert len(store.series("run-1", "train/loss")) == 2  # and neither do readers
            connection.execute("UPDATE writers SET next = 3")
            assert not waiting.done()
        assert waiting.result(30) == 4
    assert store.series("run-1", "train/loss").sequences.tolist() == [0, 1, 3]


def test_a_run_that_another_one_packs_is_left_alone(store: SqlStore, postgres_url: str) -> None:
    """``seal`` does not wait for the process that packs the run, and packs it when that one has gone."""
    store.append(make_batch(ORIGIN, metric_lines(300)))
    with store._database.snapshot() as connection:
        (pk,) = connection.execute("SELECT pk FROM runs WHERE id = ?", ("run-1",)).fetchone()
        assert connection.claim_packing(pk)
        assert store.seal("run-1") == 0
    assert store.seal("run-1") == 300


# Faults


def lose_connections(url: str) -> None:
    """End every other connection of the database, as a restart or a failing network does."""
    execute(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )


def test_connections_that_were_lost_are_replaced(store: SqlStore, postgres_url: str) -> None:
    """Between two calls nobody notices."""
    store.append(make_batch(ORIGIN, metric_lines(2)))
    lose_connections(postgres_url)
    assert store.append(make_batch(ORIGIN, metric_lines(2, first_step=2), 2)) == 4
    lose_connections(postgres_url)
    assert len(store.series("run-1", "train/loss")) == 4


def test_a_connection_lost_in_a_transaction(store: SqlStore, postgres_url: str, monkeypatch) -> None:
    """The append says ``unavailable`` and leaves nothing, not even in memory; the sender's next try is taken."""
    store.append(make_batch(ORIGIN, metric_lines(2)))
    store._appender.forget = lambda run_id: None  # another thread's batch may come before this one forgets
    original = postgres.PostgresConnection.execute

    def lose(self: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("UPDATE writers"):
            monkeypatch.undo()
            lose_connections(postgres_url)
        return original(self, sql, *rest)

    monkeypatch.setattr(postgres.PostgresConnection, "execute", lose)
    batch = make_batch(ORIGIN, metric_lines(3, ("new",)), 2)
    with pytest.raises(SessionStoreError) as caught:
        store.append(batch)
    assert caught.value.code == "unavailable"
    assert store.keys("run-1") == ["train/loss"]
    assert (store.append(batch), store.keys("run-1")) == (5, ["new", "train/loss"])
    assert store.series("run-1", "new").sequences.tolist() == [2, 3, 4]


def test_an_answer_that_is_lost(store: SqlStore, postgres_url: str, monkeypatch) -> None:
    """If the transaction is kept but nobody says so, the sender comes again, and nothing is twice."""
    store.append(make_batch(ORIGIN, [start_line(ORIGIN)]))
    original = psycopg.Connection.commit

    def commit(self: Any) -> None:
        original(self)
        monkeypatch.undo()
        self.close()
        raise psycopg.OperationalError("the connection was lost")

    monkeypatch.setattr(psycopg.Connection, "commit", commit)
    batch = make_batch(ORIGIN, [*metric_lines(3, ("new",)), event_line("e")], 1)
    with pytest.raises(SessionStoreError, match="lost") as caught:
        store.append(batch)
    assert caught.value.code == "unavailable"
    assert (store.append(batch), store.count("run-1")) == (5, {"metric": 3, "event": 1})


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that the test may stop."""
    made = own_server()
    yield made
    made.remove()


@pytest.mark.fault
def test_a_server_that_restarts(server: Server) -> None:
    """While it is away, stopped or crashed, every call says so; afterwards the same store goes on where it was."""
    with SqlStore(server.url) as store:
        store.append(make_batch(ORIGIN, [start_line(ORIGIN), *metric_lines(5)]))
        mark = 6
        for how in (signal.SIGINT, signal.SIGQUIT):
            server.stop(how)
            batch = make_batch(ORIGIN, metric_lines(5, first_step=mark), mark)
            calls: list[Callable[[], Any]] = [
                lambda batch=batch: store.append(batch), lambda: store.run("run-1"),
                lambda: store.position("run-1", "w"),
            ]  # fmt: skip
            for call in calls:
                with pytest.raises(SessionStoreError) as caught:
                    call()
                assert caught.value.code == "unavailable"
            server.start()
            mark = store.append(batch)
        assert (mark, store.count("run-1")) == (16, {"metric": 15})


# Text


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\0\ue000\ue00101")))
def test_text_without_nul(text: str) -> None:
    """What stands for a text in PostgreSQL has no NUL, is another for every text, and leads back to it."""
    assert "\0" not in escaped(text)
    assert unescaped(escaped(text)) == text
    assert escaped(text) == text or "\0" in text or "\ue000" in text


def test_a_purge_waits_for_the_packing_of_its_run(postgres_url: str) -> None:
    """A run whose points are just being packed is purged behind that, and no key of the database breaks."""
    origin = Origin("run-1", "w")
    with SqlStore(postgres_url) as store, SqlStore(postgres_url) as other:
        end = run_line("end", {"status": "completed"})
        store.append(make_batch(origin, [start_line(origin), *metric_lines(3), end]))
        store.delete_run("run-1")
        purged: list[str] = []
        thread = threading.Thread(target=lambda: purged.extend(other.purge(0)))
        with store._database.writing() as connection:
            assert connection.claim_packing(1)
            thread.start()
            thread.join(0.5)
            assert thread.is_alive() and purged == []
        thread.join(30)
        assert purged == ["run-1"]


def test_extremes_are_kept_to_the_last_bit(store: SqlStore, postgres_url: str) -> None:
    """Smallest, largest and long fractions, with the largest step and with none, in one statement."""
    values = {"tiny": 5e-324, "huge": -1.7976931348623157e308, "long": 0.1 + 0.2, "zero": 0.0}
    lines = [Line("metric", 0, 10**18, 2**63 - 1, None, key, value) for key, value in values.items()]
    lines.append(Line("metric", 0, 10**18, None, None, "stepless", 1 / 3))
    store.append(make_batch(ORIGIN, [start_line(ORIGIN), *lines]))
    found = execute(postgres_url, "SELECT key, min_value, max_value, last_value, min_step, last_step FROM quark.series")
    assert sorted(found) == sorted(
        [(key, value, value, value, 2**63 - 1, 2**63 - 1) for key, value in values.items()]
        + [("stepless", 1 / 3, 1 / 3, 1 / 3, None, None)]
    )
