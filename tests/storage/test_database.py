"""The database file is private, its writers take turns, its readers never wait, and a refusal leaves it whole."""

import logging
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from quark import ConfigurationError, SchemaMigrationError, SessionStoreError
from quark.records.base import Origin
from quark.sinks.store import StoreSink
from quark.storage import SqlStore, sqlite
from quark.storage.filesystem import network_file_system
from quark.storage.lock import StoreLock
from quark.testing import event_line, make_batch, metric_lines, start_line

ORIGIN = Origin("run-1", "w")


@pytest.fixture
def store(path: Path) -> Iterator[SqlStore]:
    """An empty store in a file."""
    with SqlStore(path) as opened:
        yield opened


def integrity(path: Path) -> str:
    """What SQLite's own check says of the file."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA integrity_check").fetchone()[0]
    finally:
        connection.close()


def test_only_the_owner_may_read(store: SqlStore, path: Path) -> None:
    """The directory is made with mode 0700, and the database and the files beside it with 0600."""
    store.append(make_batch(ORIGIN, [start_line(ORIGIN)]))
    assert path.parent.stat().st_mode & 0o777 == 0o700
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert set(modes) == {"quark.db", "quark.db-wal", "quark.db-shm", "quark.db.lock"}
    assert set(modes.values()) == {0o600}


def test_settings_of_a_connection(store: SqlStore) -> None:
    """Write-ahead log, normal durability, foreign keys, no trust in the file's own functions, no hidden checkpoint."""
    expected = {
        "journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "trusted_schema": 0, "wal_autocheckpoint": 0,
        "busy_timeout": 10_000,
    }  # fmt: skip
    with store._database.snapshot() as connection:
        assert {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in expected} == expected
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM runs")


@pytest.mark.parametrize(("magic", "name"), [(0x6969, "NFS"), (0x65735546, "FUSE"), (0xEF53, None), (0x01021994, None)])
def test_network_file_systems_are_known_by_their_number(tmp_path: Path, magic: int, name: str | None) -> None:
    """A number of ``statfs`` is enough to tell a network's file system from a local one."""
    assert network_file_system(tmp_path, magic) == name
    assert network_file_system(tmp_path) is None


def test_a_network_file_system_gets_no_shared_memory(path: Path, monkeypatch, caplog) -> None:
    """There the store keeps a rollback journal, warns once, and works."""
    monkeypatch.setattr(sqlite, "network_file_system", lambda path: "NFS")
    with caplog.at_level(logging.WARNING, "quark"), SqlStore(path) as store:
        store.append(make_batch(ORIGIN, [start_line(ORIGIN), *metric_lines(3)]))
        assert len(store.series("run-1", "train/loss")) == 3
        assert not Path(f"{path}-wal").exists()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "NFS" in caplog.text


def test_urls(tmp_path: Path) -> None:
    """A URL of SQLite is its file; another database is refused without showing what the URL holds."""
    with SqlStore(f"sqlite:///{tmp_path}/a/b.db") as store:
        assert store.path == tmp_path / "a" / "b.db"
    with pytest.raises(ConfigurationError) as caught:
        SqlStore("mysql://user:secret@host/db")
    assert "mysql" in str(caught.value) and "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql:/u:PW@h/db", "postgresql:u:PW@h/db", "postgres:///u:PW@h/db:x", "PostgreSQL://u:PW@h/db",
        "mysql:/u:PW@h/db", "mariadb+pymysql://u:PW@h/db", "oracle:u/PW@h", "mssql://u:PW@h", "sqlite:PW.db",
        "sqlite://u:PW@h/x.db", "http:/u:PW@h", "jdbc:postgresql://u:PW@h/db", "u:PW@h/db", "user:PW mysql://h/db",
        "host=h password=PW", " postgresql:/u:PW@h/db", "duckdb:/x?password=PW", "mongodb+srv:/u:PW@h", "foo:PW",
    ],
)  # fmt: skip
def test_what_looks_like_an_address_is_no_file(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file with a password in its name is made, and the error does not show it."""
    monkeypatch.chdir(tmp_path)
    for use in (SqlStore, StoreSink):
        with pytest.raises((ConfigurationError, SessionStoreError)) as caught:
            use(text)
        assert "PW" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["./a:b.db", "x.db", "a b/c.db", "a=b.db"])
def test_a_path_is_a_path(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names with blanks, signs and, behind a directory, colons are those of files."""
    monkeypatch.chdir(tmp_path)
    with SqlStore(name) as store:
        assert store.path == tmp_path / name


def test_writers_take_turns(tmp_path: Path) -> None:
    """The lock is held by one holder at a time, over threads and over handles; waiting for it ends."""
    first, second = StoreLock(tmp_path / "l"), StoreLock(tmp_path / "l", timeout_s=0.05)
    with first:
        for waiting in (second, StoreLock(tmp_path / "l", timeout_s=0.0)):
            with pytest.raises(SessionStoreError, match="held by another process") as caught, waiting:
                pass
            assert caught.value.code == "busy"
        with second.for_a_moment(0.0) as held:
            assert not held
    with second:
        pass
    first.close()
    second.close()


def test_a_dead_process_holds_no_lock(tmp_path: Path) -> None:
    """The lock of a killed process is free at once."""
    program = """
import sys, time
from pathlib import Path
from quark.storage.lock import StoreLock
with StoreLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "l")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    lock = StoreLock(tmp_path / "l", timeout_s=5.0)
    with lock:
        pass
    lock.close()


def test_readers_do_not_wait_for_a_writer(path: Path) -> None:
    """While a transaction is open and the lock is held, a store can be opened, read and closed."""
    with SqlStore(path) as writer:
        writer.append(make_batch(ORIGIN, [start_line(ORIGIN), *metric_lines(2)]))
        inside, done = threading.Event(), threading.Event()

        def write() -> None:
            with writer._database.writing() as connection:
                connection.execute("UPDATE writers SET next = 77")
                inside.set()
                done.wait(30)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            assert inside.wait(30)
            reader = SqlStore(path)
            assert reader.position("run-1", "w") == 3
            assert len(reader.series("run-1", "train/loss")) == 2
        finally:
            done.set()
            thread.join()
        reader.close()
        assert writer.position("run-1", "w") == 77


def test_a_full_disk_loses_nothing(store: SqlStore, path: Path) -> None:
    """An append for which there is no room raises and changes nothing; with room again it is taken in full."""
    store.append(make_batch(ORIGIN, [start_line(ORIGIN)]))
    connection = store._database._writer  # type: ignore[attr-defined]
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages + 3}")
    batch = make_batch(
        ORIGIN, [*(event_line(f"e{n}", payload={"x": "y" * 500}) for n in range(300)), *metric_lines(9)], 1
    )
    for _ in range(2):
        with pytest.raises(SessionStoreError, match="full") as caught:
            store.append(batch)
        assert (caught.value.code, store.position("run-1", "w"), store.count("run-1")) == ("disk_full", 1, {})
    connection.execute("PRAGMA max_page_count=1000000")
    assert store.append(batch) == batch.stop
    assert store.count("run-1") == {"event": 300, "metric": 9}
    assert integrity(path) == "ok"


def test_the_log_stays_short(store: SqlStore, path: Path, monkeypatch) -> None:
    """The write-ahead log is written back again and again, so it does not grow with what is recorded."""
    monkeypatch.setattr(sqlite, "CHECKPOINT_BYTES", 200_000)
    first = 0
    for number in range(60):
        batch = make_batch(ORIGIN, metric_lines(1000, first_step=1000 * number), first)
        first = store.append(batch)
    assert os.stat(f"{path}-wal").st_size < 600_000
    assert len(store.series("run-1", "train/loss")) == 60_000


def test_a_reader_that_stays_does_not_stop_writers(store: SqlStore, path: Path, monkeypatch) -> None:
    """A reader keeps its state of the store for as long as it likes; writing and checkpoints go on around it."""
    monkeypatch.setattr(sqlite, "CHECKPOINT_BYTES", 50_000)
    store.append(make_batch(ORIGIN, metric_lines(10)))
    with store._database.snapshot() as reader:
        assert reader.execute("SELECT sum(count) FROM fragments").fetchone() == (10,)
        for number in range(1, 20):
            store.append(make_batch(ORIGIN, metric_lines(1000, first_step=number), 10 + 1000 * (number - 1)))
        assert reader.execute("SELECT sum(count) FROM fragments").fetchone() == (10,)
    assert len(store.series("run-1", "train/loss")) == 19_010


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Where no store can be made, the error names the place and what to do."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(SessionStoreError, match=r"file.*check"):
        SqlStore(tmp_path / "file" / ".quark" / "quark.db")


def test_a_failed_opening_leaves_no_file_open(path: Path) -> None:
    """After a refused opening nothing is held, so the file can be replaced and opened."""
    path.parent.mkdir()
    path.write_bytes(b"x" * 5000)
    with pytest.raises((SessionStoreError, SchemaMigrationError)):
        SqlStore(path)
    path.unlink()
    SqlStore(path).close()
