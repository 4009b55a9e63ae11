"""A store's tables are the same however it came to them, and a store that is too new stays untouched."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from quark import CURRENT_SCHEMA_VERSION, SchemaMigrationError, SchemaValidationError, migrate_store
from quark.storage import SqlStore
from quark.storage.schema import create_statements
from quark.storage.upgrade import run_migrations
from quark.storage.version import HEAD


@pytest.fixture
def store(path: Path) -> Iterator[SqlStore]:
    """An empty store in a file."""
    with SqlStore(path) as opened:
        yield opened


def tables(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Every table and index by name, its parts sorted, without the differences of layout."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    flat = {name: re.sub(r"\s+", " ", sql).replace('"', "").replace(" )", ")") for name, sql in rows}
    return {
        name: sorted(re.split(r", (?![^(]*\))", sql.partition("(")[2].strip().removesuffix(")")))
        for name, sql in flat.items()
    }


def test_the_file_of_statements_is_up_to_date() -> None:
    """``schema.sql`` is what ``schema.py`` says; write it anew with: python -m quark.storage.schema."""
    import quark.storage

    text = (Path(quark.storage.__path__[0]) / "schema.sql").read_text("utf-8")
    assert [part.partition("\n\n")[2] if part.startswith("--") else part.strip() for part in text.split(";\n")] == [
        *create_statements(),
        "",
    ]


def test_a_new_store_equals_a_migrated_one(store: SqlStore, path: Path) -> None:
    """Creating a store and running all migrations lead to the same tables, constraints and indexes."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    with engine.begin() as connection:
        run_migrations(connection)
        driver = connection.connection.driver_connection
        assert driver is not None
        migrated = tables(driver)
    engine.dispose()
    new = sqlite3.connect(path)
    try:
        assert tables(new) == migrated
        assert new.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
    finally:
        new.close()


def restamp(path: Path, version: str) -> bytes:
    """Give a closed store another version; the bytes of its file."""
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path.read_bytes()


@pytest.mark.parametrize("version", ["9999", "0000"])
def test_a_store_that_cannot_be_upgraded_stays_as_it_was(path: Path, version: str) -> None:
    """A newer store, or one of a version that no migration knows, is refused with its version and not touched."""
    SqlStore(path).close()
    before = restamp(path, version)
    with pytest.raises(SchemaMigrationError, match=version):
        SqlStore(path)
    assert path.read_bytes() == before
    with pytest.raises(SchemaMigrationError, match=version):
        migrate_store(path.parents[1])
    assert path.read_bytes() == before


def test_another_program_s_database_is_refused(path: Path) -> None:
    """A file with tables that are not Quark's is not made into a store."""
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (x)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(SchemaMigrationError, match="mine"):
        SqlStore(path)
    assert path.read_bytes() == before


def test_what_is_no_database_is_refused(path: Path) -> None:
    """A damaged or foreign file is an error that names it, also for ``migrate_store``."""
    path.parent.mkdir()
    path.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(SchemaMigrationError, match=re.escape(str(path))):
        migrate_store(path.parents[1])


def test_migrating_what_is_up_to_date(store: SqlStore, path: Path, tmp_path: Path) -> None:
    """``migrate_store`` answers with the current version, for an empty directory too, in which it creates nothing."""
    assert migrate_store(path.parents[1], generated_at="2026-05-07T00:00:00Z") == CURRENT_SCHEMA_VERSION
    (tmp_path / "empty").mkdir()
    assert migrate_store(tmp_path / "empty") == CURRENT_SCHEMA_VERSION
    assert list((tmp_path / "empty").iterdir()) == []
    with pytest.raises(SchemaValidationError, match="RFC 3339"):
        migrate_store(tmp_path, generated_at="yesterday")
