"""The embedded database: one connection that writes, under a lock over all processes, and a pool that reads."""

import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ClosedError, SessionStoreError
from .faults import damage_named, faults_named
from .filesystem import identity_of, make_private, network_file_system
from .lock import StoreLock
from .version import HEAD, bring_up_to_date, refuse_foreign_objects, refuse_newer, schema_of

if TYPE_CHECKING:
    import sqlalchemy as sa

logger = logging.getLogger("quark")

CHECKPOINT_BYTES = 16 << 20
"""Size of the write-ahead log from which it is written back into the database."""

CHECKPOINT_PAUSE_S = 1.0
"""How long to wait after a checkpoint that a reader held up; it has written back all that the reader does not need."""

MAX_VALUE = 512 << 20
"""Bytes of the longest text or blob; a crafted file cannot ask for more memory than that at once."""

BUSY_S = 10.0
"""How long SQLite waits where something that knows nothing of the lock file has locked the database."""


class SqliteConnection(sqlite3.Connection):
    """The driver's connection with what ``Connection`` asks for beyond it."""

    line_faults = (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)

    def insert(self, table: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows; ``columns`` are names separated by commas."""
        marks = ", ".join("?" * (columns.count(",") + 1))
        self.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)  # noqa: S608  names of ours

    def table_of(self, types: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[str, list[Any]]:
        """A query that gives the rows, with its values."""
        marks = f"({', '.join('?' * len(types))})"
        return f"VALUES {', '.join([marks] * len(rows))}", [value for row in rows for value in row]

    def numbers(self, table: str, count: int) -> range:
        """New row numbers: the transaction is the only one that writes."""
        (last,) = self.execute(f"SELECT coalesce(max(pk), 0) FROM {table}").fetchone()  # noqa: S608  a name of ours
        return range(last + 1, last + 1 + count)

    def lock_run(self, run_id: str) -> int | None:
        """The number of a run; the transaction is the only one anyhow."""
        found = self.execute("SELECT pk FROM runs WHERE id = ?", (run_id,)).fetchone()
        return found[0] if found else None

    def claim_packing(self, run_pk: int) -> bool:
        """Always: of two processes that pack a run at once the second one finds its work done."""
        return True


class SqliteDatabase:
    """A SQLite file. Reading never waits for a writer; writing waits for other writers, at most the lock's time.

    Args:
        path: the file; made with mode 0600, and its directory with 0700, if missing.
        lock_path: the lock file, beside the database unless given.

    Raises:
        SchemaMigrationError: the file was written by a newer Quark, or could not be upgraded.
        SessionStoreError: the file cannot be opened.
    """

    def __init__(self, path: Path, lock_path: Path | None = None) -> None:
        self.path = path
        self.name = str(path)
        self.lock = StoreLock(lock_path or path.with_name(path.name + ".lock"))
        self._engine: sa.Engine | None = None
        self._closed = False
        self._checkpoint_after = 0.0
        with faults_named(path), damage_named(path):
            make_private(path)
            self._writer = self._connect()
            try:
                refuse_foreign_objects(self._writer, path)
                self._prepare()
                self._identity = identity_of(path)
            except BaseException:
                self._writer.close()
                self.lock.close()
                raise

    def _prepare(self) -> None:
        """Bring journal mode and schema to what is needed; a store that has both is opened without any lock."""
        connection = self._writer
        network = network_file_system(self.path)
        if network:
            logger.warning(
                "quark: the store %s lies on %s, whose locks are slow and not always sound; "
                "keep it on a local disk, or use a Quark service", self.path, network,
            )  # fmt: skip
        # A write-ahead log needs memory shared between processes, which a network does not give.
        mode = "delete" if network else "wal"
        version = schema_of(connection)
        refuse_newer(version, self.path)
        if version == HEAD and connection.execute("PRAGMA journal_mode").fetchone()[0] == mode:
            return
        with self.lock:
            if schema_of(connection) is None:
                connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            connection.execute(f"PRAGMA journal_mode={mode}")
            bring_up_to_date(connection, self.path)

    @contextmanager
    def writing(self) -> Iterator[SqliteConnection]:
        """A transaction: what the block did is kept in full, or, if it raises, not at all."""
        self._check_open()
        with faults_named(self.path), self.lock:
            self._check_open()
            connection = self._writer
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            self._checkpoint_if_due()

    @contextmanager
    def snapshot(self) -> Iterator[SqliteConnection]:
        """The driver's own connection on one state of the store, for work that needs no queries built."""
        self._check_open()
        with faults_named(self.path), damage_named(self.path):
            connection = self._connect()
            try:
                connection.execute("PRAGMA query_only=ON")
                connection.execute("BEGIN")
                yield connection
            finally:
                connection.close()

    @contextmanager
    def reading(self) -> "Iterator[sa.Connection]":
        """A connection that sees one state of the store, whatever is written meanwhile."""
        self._check_open()
        from sqlalchemy.exc import DBAPIError

        with faults_named(self.path), damage_named(self.path):
            try:
                with self.engine.connect() as connection:
                    yield connection
            except DBAPIError as error:
                if isinstance(error.orig, sqlite3.Error):
                    raise error.orig from error
                raise

    @property
    def engine(self) -> "sa.Engine":
        """The pool of reading connections, made when somebody reads: its library is expensive to import."""
        if self._engine is None:
            from .engine import reading_engine

            self._engine = reading_engine(self._connect)
        return self._engine

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def close(self) -> None:
        """Close all connections; again is allowed."""
        if self._closed:
            return
        self._closed = True
        # The last connection to go writes the log back, so going asks for the lock like any checkpoint.
        with faults_named(self.path):
            try:
                with self.lock.for_a_moment():
                    self._disconnect()
            except FileNotFoundError:  # the directory was deleted, and nobody else can have this file
                self._disconnect()
        self.lock.close()

    def _disconnect(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
        self._writer.close()

    def shrink(self, pages: int = 1024) -> bool:
        """Give up to ``pages`` free pages back to the file system; whether a large part of the file is still free."""
        with faults_named(self.path), self.lock:
            self._check_open()
            free, total = (self._pragma(name) for name in ("freelist_count", "page_count"))
            excess = free - max(256, total // 8)
            if excess > 0:
                self._writer.execute(f"PRAGMA incremental_vacuum({min(excess, pages)})").fetchall()
        return excess > pages

    def _pragma(self, name: str) -> int:
        return self._writer.execute(f"PRAGMA {name}").fetchone()[0]

    def _connect(self) -> SqliteConnection:
        """A connection in autocommit mode: transactions are begun in so many words."""
        connection = sqlite3.connect(
            self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False, factory=SqliteConnection
        )
        try:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE)
            # The name that PostgreSQL has for it; SQLite calls it max, which PostgreSQL keeps for columns.
            connection.create_function("greatest", 2, max, deterministic=True)
            for pragma in (
                "synchronous=NORMAL", "foreign_keys=ON", "trusted_schema=OFF", "wal_autocheckpoint=0",
                f"journal_size_limit={CHECKPOINT_BYTES}", "temp_store=MEMORY",
            ):  # fmt: skip
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:  # the file may be no database
            connection.close()
            raise
        return connection

    def _checkpoint_if_due(self) -> None:
        """Write the log back once it is long. It is done under the lock, see StoreLock; readers are not disturbed."""
        try:
            if os.stat(f"{self.path}-wal").st_size < CHECKPOINT_BYTES or time.monotonic() < self._checkpoint_after:
                return
        except OSError:
            return
        try:
            self._writer.execute("PRAGMA busy_timeout=0")
            busy = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.Error:
            busy = 1  # the transaction is kept all the same; a disk without room says so at the next one
        finally:
            self._writer.execute(f"PRAGMA busy_timeout={int(BUSY_S * 1000)}")
        if busy:
            self._checkpoint_after = time.monotonic() + CHECKPOINT_PAUSE_S

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"the store {self.path} is closed; open it again with SqlStore({str(self.path)!r})")
        if identity_of(self.path) != self._identity:
            raise SessionStoreError(
                f"the store {self.path} was deleted or replaced while it was open, and what is written would be lost; "
                "put the file back and open it again", code="unavailable",
            )  # fmt: skip
