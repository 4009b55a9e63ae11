"""Database files that Quark did not write, or that were damaged, give one clear error, soon and in little memory."""

import random
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

import quark
from quark.errors import QuarkError
from quark.reading import RunView
from quark.storage import SqlStore
from quark.storage.chunk import columns_of, data_row
from quark.storage.points import _HEAD, _PACKED, unpack_fragments

TABLES = [
    "alembic_version", "blueprints", "projects", "runs", "controls", "run_tags", "series", "writers", "chunks",
    "chunk_data", "fragments", "records",
]  # fmt: skip
VALUES = [
    "text \x1b[31m", b"\xff\x00blob", 2**62, -1, 0.5, b"", "[" * 5000, None, '{"a": [1, {"b": null}]}',
]  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with packed and unpacked metrics, records of several kinds, a blueprint and a heartbeat."""
    folder = tmp_path_factory.mktemp("written")
    quark.set_blueprint("p", {"type": "object"}, storage_dir=folder)
    with quark.start_run(project="p", storage_dir=folder, run_id="r", tags=["t"], config={"lr": 0.1}) as run:
        for step in range(5000):
            run.log({"loss": step / 3}, step=step)
        quark.MetricsLogger(run).log("m", 1.0, step=0, description="d", metadata={"a": 1})
        run.add_log("hello")
    with SqlStore(folder / ".quark" / "quark.db") as store:
        store.seal("r")
    with quark.start_run(project="p", storage_dir=folder, run_id="s") as run:
        run.log({"loss": 1.0, "more": 2.0}, step=6000)
    with closing(sqlite3.connect(folder / ".quark" / "quark.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder / ".quark" / "quark.db"


def read_all(folder: Path) -> None:
    """What people read of a folder; each answer may be a QuarkError."""
    with suppress(QuarkError), quark.open(folder, sync=False) as store:
        for question in (
            store.projects, lambda: list(store.runs()), lambda: list(store.runs(config={"lr": 0.1}, sort="name")),
            lambda: store.blueprint("p"), lambda: store.purge(older_than_s=0),
        ):  # fmt: skip
            with suppress(QuarkError):
                question()
        for run_id in ("r", "s"):
            with suppress(QuarkError):
                read_run(store.run(run_id))


def read_run(view: RunView) -> None:
    for question in (
        view.metrics, view.events, view.artifacts, view.keys, view.latest, view.counts, view.writers, view.refresh,
        lambda: view.series("loss"), lambda: view.chart("loss", buckets=10), lambda: list(view.records("run")),
        view.control, lambda: view.stale, view._repr_html_, view.notes, view.summary, view.log_lines, view.progress,
        view.checkpoints, lambda: view.exit_code, lambda: repr(view),
    ):  # fmt: skip
        with suppress(QuarkError):
            question()


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_any_value_in_any_column(written: Path, tmp_path: Path, table: str) -> None:
    """SQLite takes any type anywhere: whatever stands where a number or a text should, only QuarkErrors come out."""
    folder = tmp_path / ".quark"
    folder.mkdir()
    with closing(sqlite3.connect(written)) as connection:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    assert columns
    for number, column in enumerate(columns):
        for value in (VALUES[number % len(VALUES)], VALUES[(number + 4) % len(VALUES)]):
            for old in folder.iterdir():
                old.unlink()
            shutil.copyfile(written, folder / "quark.db")
            with closing(sqlite3.connect(folder / "quark.db")) as connection, suppress(sqlite3.IntegrityError):
                connection.execute(f'UPDATE OR IGNORE {table} SET "{column}" = ?', (value,))
                connection.commit()
            read_all(tmp_path)


def test_any_bytes(written: Path, tmp_path: Path) -> None:
    """Bytes turned around anywhere in the file are a QuarkError or are read; nothing else is raised."""
    rng = random.Random(0)
    whole = written.read_bytes()
    (tmp_path / ".quark").mkdir()
    for _ in range(15):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 5, 200])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        for old in (tmp_path / ".quark").iterdir():
            old.unlink()
        (tmp_path / ".quark" / "quark.db").write_bytes(data[: rng.choice([len(data), len(data), len(data) // 2])])
        read_all(tmp_path)


FOREIGN = {
    "view": (
        "ALTER TABLE blueprints RENAME TO other; CREATE VIEW blueprints AS WITH RECURSIVE c(x) AS "
        "(SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x AS project, x AS content, x AS updated_at FROM c"
    ),
    "trigger": "CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM records; END",
    "virtual table": "CREATE VIRTUAL TABLE v USING fts5(x)",
    "computed column": "ALTER TABLE runs ADD COLUMN c TEXT AS (hex(zeroblob(1000000000)))",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_objects_that_quark_does_not_make(written: Path, tmp_path: Path, what: str) -> None:
    """A view, a trigger and their like would run somebody else's statements: the file is refused, and they do not."""
    (tmp_path / ".quark").mkdir()
    shutil.copyfile(written, tmp_path / ".quark" / "quark.db")
    with closing(sqlite3.connect(tmp_path / ".quark" / "quark.db")) as connection:
        connection.executescript(FOREIGN[what])
    with pytest.raises(quark.SessionStoreError, match="which Quark did not make") as caught:
        quark.open(tmp_path, sync=False)
    assert caught.value.code == "damaged"


HUGE = 2**62
ONE = "WHERE rowid = (SELECT min(rowid) FROM chunks)"


@pytest.mark.parametrize(
    "change",
    [
        f"UPDATE chunks SET last_sequence = {HUGE}",
        f"UPDATE chunks SET last_sequence = {HUGE}; DELETE FROM chunk_data",
        f"UPDATE chunks SET first_sequence = {HUGE}, last_sequence = {HUGE} {ONE}",
        f"UPDATE chunks SET first_sequence = {2**63 - 1}, last_sequence = {2**63 - 1} {ONE}",
        f"UPDATE chunks SET first_sequence = -{HUGE}, last_sequence = {HUGE} {ONE}",
        f"UPDATE fragments SET last_sequence = {HUGE}, points = x'00'",
        f"UPDATE fragments SET first_sequence = {2**63 - 1}, last_sequence = {2**63 - 1}",
    ],
)
@pytest.mark.parametrize("wanted", [{}, {"metric_key": "m"}], ids=str)
def test_a_last_number_without_data_is_not_looked_for(written: Path, tmp_path: Path, change: str, wanted: dict) -> None:
    """Reading ends at once, in the points that are there or in an error, however far a row says that it goes."""
    (tmp_path / ".quark").mkdir()
    shutil.copyfile(written, tmp_path / ".quark" / "quark.db")
    with closing(sqlite3.connect(tmp_path / ".quark" / "quark.db")) as connection:
        connection.executescript(change)
    with quark.open(tmp_path, sync=False) as store:
        for run_id in ("r", "s"):
            with suppress(QuarkError):
                assert len(store.run(run_id).metrics(**wanted)) <= 5001


def test_a_count_asks_for_no_memory_that_its_data_does_not_fill() -> None:
    """The length of what is there is looked at before anything is allocated."""
    import numpy as np

    from quark.storage.chunk import Columns

    numbers = np.arange(4)
    row = data_row(Columns(numbers, numbers, numbers, numbers, numbers.astype(float)))
    assert len(columns_of(4, row)) == 4
    for count in (2**40, 5, -1, 0):
        with pytest.raises(ValueError, match="were announced"):
            columns_of(count, row)
    with pytest.raises(ValueError, match="were announced"):
        unpack_fragments([_HEAD.pack(_PACKED[0], 2**32 - 1, 0, 0, 0, 0, 0)])
