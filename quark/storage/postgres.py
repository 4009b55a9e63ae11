"""A store in a PostgreSQL database: a schema of its own, a pool of connections, and locks that the server keeps."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.exc import SQLAlchemyError

from ..errors import ClosedError, SchemaMigrationError
from .database import digest
from .postgres_connection import PostgresConnection
from .postgres_faults import faults_named
from .postgres_pool import leave_pool, take_pool
from .version import HEAD, refuse_newer

SCHEMA = "quark"
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresDatabase:
    """A schema of a PostgreSQL database. Writers of different runs do not wait for each other, readers for nobody.

    Args:
        url: where the database is, ``postgresql://user:password@host:5432/database``.
        namespace: names a schema of its own; the schema ``quark`` unless given. It is made if it is missing.

    Raises:
        ConfigurationError: the URL cannot be read.
        SchemaMigrationError: a newer Quark made the tables, or they could not be upgraded.
        SessionStoreError: the database cannot be used.
    """

    def __init__(self, url: str, namespace: str | None = None) -> None:
        self.schema = SCHEMA if namespace is None else f"{SCHEMA}_{digest(namespace)}"
        self._about = "Quark" if namespace is None else f"Quark, namespace {namespace!r}"
        self._path = f'SET LOCAL search_path TO "{self.schema}"'
        self._closed = False
        self._pool = take_pool(url)
        self._engine = self._pool.engine
        self.name = self._pool.name if namespace is None else f"{self._pool.name} ({self.schema})"
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def writing(self) -> Iterator[PostgresConnection]:
        """A transaction; if its end is not confirmed, it may have been kept: a writer's mark says which."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[PostgresConnection]:
        """A transaction that sees one state and changes nothing."""
        with self._transaction(_READ) as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """The same for queries that are built."""
        self._check_open()
        with faults_named(self.name), self._engine.connect() as connection:
            self._begin(connection.connection.driver_connection, _READ)
            yield connection

    def shrink(self) -> bool:
        """Nothing: the server looks after its room by itself."""
        return False

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def close(self) -> None:
        """Close the connections, or leave them to other stores in the same database; again is allowed."""
        if not self._closed:
            self._closed = True
            leave_pool(self._pool)

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[PostgresConnection]:
        self._check_open()
        with faults_named(self.name):
            pooled = self._engine.raw_connection()
            try:
                driver: Any = pooled.driver_connection
                try:
                    self._begin(driver, begin)
                    yield PostgresConnection(driver, self.schema)
                    driver.commit()
                finally:
                    if driver.closed:
                        pooled.invalidate()
            finally:
                pooled.close()  # what was not committed is rolled back

    def _begin(self, driver: Any, begin: str) -> None:
        # Both in one message; the search path goes back by itself, so namespaces share connections.
        psycopg.Cursor(driver).execute(f"{begin}; {self._path}".encode())

    def _prepare(self) -> None:
        """Bring the tables to what is needed; a store that has them is opened without any lock."""
        with self._transaction(_READ) as connection:
            version = self._version(connection)
        refuse_newer(version, self.name)
        if version == HEAD:
            return
        with faults_named(self.name), self._engine.begin() as connection:
            driver: Any = connection.connection.driver_connection
            self._begin(driver, "BEGIN")
            # Of several processes that start at once one makes the tables; the others wait, and find them made.
            driver.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{self.schema} schema",))
            self._migrate(connection, driver)

    def _migrate(self, connection: sa.Connection, driver: Any) -> None:
        from alembic.util.exc import CommandError

        from .upgrade import run_migrations

        version = self._version(PostgresConnection(driver, self.schema))
        refuse_newer(version, self.name)
        if (
            version is None
            and not driver.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (self.schema,)).fetchone()
        ):
            driver.execute(f'CREATE SCHEMA "{self.schema}"')
            comment = sql.SQL("COMMENT ON SCHEMA {} IS {}").format(
                sql.Identifier(self.schema), sql.Literal(self._about)
            )
            driver.execute(comment)
        try:
            run_migrations(connection)
        except (SQLAlchemyError, CommandError) as error:
            raise SchemaMigrationError(
                f"the store {self.name} could not be brought from schema {version} to the newest one: {error}; "
                "it is as it was, go on with the release that wrote it"
            ) from error

    def _version(self, connection: PostgresConnection) -> str | None:
        """The version of the schema's tables; None if it has none."""
        (encoding,) = connection.execute("SHOW server_encoding").fetchone()
        if encoding != "UTF8":
            raise SchemaMigrationError(
                f"the database {self.name} keeps text as {encoding}, and Quark's text may hold any character; "
                "make one with: createdb --encoding=UTF8 --template=template0"
            )
        query = "SELECT tablename::text FROM pg_tables WHERE schemaname = ? ORDER BY tablename"
        tables = [name for (name,) in connection.execute(query, (self.schema,)).fetchall()]
        if not tables:
            return None
        if "alembic_version" not in tables:
            raise SchemaMigrationError(
                f"the schema {self.schema!r} of {self.name} holds the tables {', '.join(tables[:5])} but no version "
                "of Quark's schema; it is not a store of Quark's, choose another database"
            )
        row = connection.execute("SELECT version_num::text FROM alembic_version").fetchone()
        return row[0] if row else None

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"the store {self.name} is closed; open it again with SqlStore")


def drop_namespace(url: str, namespace: str) -> None:
    """Remove the schema of a namespace with everything in it; one that is not there is none to remove.

    Raises:
        SessionStoreError: the database cannot be used.
    """
    pool = take_pool(url)
    try:
        with faults_named(pool.name), pool.engine.begin() as connection:
            connection.execute(sa.schema.DropSchema(f"{SCHEMA}_{digest(namespace)}", cascade=True, if_exists=True))
    finally:
        leave_pool(pool)
