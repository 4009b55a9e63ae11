"""Which schema a database has, and how it comes to the one that this release needs."""

import sqlite3
from pathlib import Path

from ..errors import SchemaMigrationError, SessionStoreError

HEAD = "0003"
"""The newest migration in ``migrations/versions``; they are numbered without gaps."""


def schema_of(connection: sqlite3.Connection) -> str | None:
    """The version that the database carries; None for an empty one.

    Raises:
        SchemaMigrationError: it holds tables, but not Quark's.
    """
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "alembic_version" not in tables:
        if not tables:
            return None
        raise SchemaMigrationError(
            f"the database holds the tables {', '.join(sorted(tables)[:5])} but no version of Quark's schema; "
            "it is not a store of Quark's, choose another storage_dir"
        )
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return row[0] if row else None


def refuse_foreign_objects(connection: sqlite3.Connection, place: object) -> None:
    """Leave a database alone in which a statement of ours would run what somebody else put there.

    Raises:
        SessionStoreError: it holds views, triggers, virtual tables or computed columns; Quark makes none.
    """
    found = connection.execute(
        "SELECT type, name FROM sqlite_master WHERE type NOT IN ('table', 'index') OR coalesce(rootpage, 0) <= 0"
        " UNION ALL SELECT 'computed column', m.name || '.' || x.name"
        " FROM sqlite_master m JOIN pragma_table_xinfo(m.name) x WHERE m.type = 'table' AND m.rootpage > 0 AND x.hidden"
    ).fetchone()
    if found is not None:
        kind, name = found
        raise SessionStoreError(
            f"the store {place} holds the {kind} {name!r}, which Quark did not make; it is no store of Quark's, "
            "choose another storage_dir", code="damaged",
        )  # fmt: skip


def refuse_newer(version: str | None, place: object) -> None:
    """Leave a database alone that a newer release wrote.

    Raises:
        SchemaMigrationError: it is newer.
    """
    if version is not None and version > HEAD:
        raise SchemaMigrationError(
            f"the store {place} has schema {version}, and this release of Quark knows schemas up to {HEAD}; "
            "upgrade it with: pip install -U quark-tracker"
        )


def bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    """Create the tables of a new database, or upgrade an older one; the caller holds the store's lock.

    Raises:
        SchemaMigrationError: a newer release wrote the database, or the upgrade failed; it is as it was.
    """
    version = schema_of(connection)
    refuse_newer(version, path)
    if version is None:
        _create(connection)
    elif version != HEAD:
        from .upgrade import upgrade

        upgrade(path, version)


def _create(connection: sqlite3.Connection) -> None:
    """All tables in one transaction: a process that dies here leaves an empty file, not half a schema."""
    statements = Path(__file__).with_name("schema.sql").read_text("utf-8").split(";\n")
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements:
            connection.execute(statement)
        connection.execute(
            "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
            "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
        connection.execute("INSERT INTO alembic_version VALUES (?)", (HEAD,))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
