"""What a store asks of the database that it lives in, whichever that is, and how one is opened."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import ConfigurationError, SessionStoreError, require
from ..records.paths import is_database_address

if TYPE_CHECKING:
    import sqlalchemy as sa

POSTGRES_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")


class Result(Protocol):
    """The rows of a statement."""

    @property
    def rowcount(self) -> int:
        """The number of rows that were changed."""
        ...

    def fetchone(self) -> Any:
        """The next row; None at the end."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """A transaction of a database. Statements are the SQL that SQLite and PostgreSQL share, ``?`` for a value."""

    @property
    def line_faults(self) -> tuple[type[Exception], ...]:
        """What a statement raises if the values that it was given are at fault, and not the database."""
        ...

    def execute(self, sql: str, parameters: Any = (), /) -> Result:
        """Run a statement."""
        ...

    def executemany(self, sql: str, parameters: Any, /) -> Result:
        """Run a statement for every row of values; ``rowcount`` is that of all together."""
        ...

    def insert(self, table: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows the quickest way; ``columns`` are names separated by commas."""
        ...

    def table_of(self, types: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[str, list[Any]]:
        """A query that gives the rows, for use within a statement, with its values; ``types`` are of the columns."""
        ...

    def numbers(self, table: str, count: int) -> Sequence[int]:
        """New row numbers for a table, which nobody else is given."""
        ...

    def lock_run(self, run_id: str) -> int | None:
        """The number of a run, of which this transaction is the only one that appends until it ends; None: no such run.

        Two batches of a run so become visible in the order of their rows' numbers, which readers page by.
        """
        ...

    def claim_packing(self, run_pk: int) -> bool:
        """Whether this transaction may pack a run's points; False: another one does, so leave them to it."""
        ...


class Database(Protocol):
    """A place where a store lives. Reading never waits for writing."""

    name: str
    """The place in words, without any secret."""

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        ...

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction: what the block did is kept in full, or, if it raises, not at all."""
        ...

    def snapshot(self) -> AbstractContextManager[Connection]:
        """A connection on one state of the store, for work that needs no queries built."""
        ...

    def reading(self) -> "AbstractContextManager[sa.Connection]":
        """A connection that sees one state of the store, whatever is written meanwhile."""
        ...

    def shrink(self) -> bool:
        """Give some room back to the file system; whether there is more to give."""
        ...

    def close(self) -> None:
        """Close all connections; again is allowed."""
        ...


class Frozen:
    """A database that refuses to be written.

    Args:
        database: what everything else is asked of.
        why: what the refusal says.
    """

    def __init__(self, database: Database, why: str) -> None:
        self._database = database
        self._why = why

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def writing(self) -> AbstractContextManager[Connection]:
        """No transaction.

        Raises:
            SessionStoreError: always, with the code ``read_only`` and 403, for it will be no other later.
        """
        raise SessionStoreError(self._why, status=403, code="read_only")


def open_database(
    path_or_url: str | os.PathLike[str], lock_path: str | os.PathLike[str] | None, namespace: str | None
) -> Database:
    """The database at a path or URL, brought up to date.

    Raises:
        ConfigurationError: a URL of a database that this release does not serve.
        MissingDependencyError: PostgreSQL's driver is not installed.
    """
    text = os.fspath(path_or_url)
    scheme = text.partition("://")[0] if "://" in text else None
    if scheme in POSTGRES_SCHEMES:
        if lock_path is not None:
            raise ConfigurationError("lock_path is for a store in a file, PostgreSQL has its own locks; leave it out")
        if text[len(scheme or "") :].startswith(":///") and "@" in text.partition("?")[0]:
            raise ConfigurationError(
                "a PostgreSQL URL has two slashes before its user: postgresql://user@host/database"
            )
        require("psycopg", "postgres")
        from .postgres import PostgresDatabase

        return PostgresDatabase("postgresql" + text.removeprefix(scheme or ""), namespace)
    from .sqlite import SqliteDatabase

    path = _path(text)
    if namespace is not None:
        path = path.with_name(f"{path.stem}-{digest(namespace)}{path.suffix}")
    return SqliteDatabase(path, None if lock_path is None else Path(lock_path))


def digest(name: str) -> str:
    """What stands for a namespace in names of files and schemas: 32 hexadecimal digits.

    Raises:
        ConfigurationError: an empty name.
    """
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"a namespace needs a name of at least one character, got {name!r}")
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _path(text: str) -> Path:
    if "://" not in text and is_database_address(text):
        raise ConfigurationError(  # it may hold a password, so it is not shown
            "a store lives in a file or in PostgreSQL, got what is neither a path nor a URL; pass the file's path "
            "(./name:1 if its name has a colon), sqlite:///path, or postgresql://user@host/database"
        )
    if "://" in text:
        scheme, _, rest = text.partition("://")
        if scheme != "sqlite" or not rest.startswith("/"):
            shown = scheme if scheme.isalnum() else "..."
            raise ConfigurationError(
                f"a store lives in a file or in PostgreSQL, got the URL {shown}://...; "
                "pass the file's path, sqlite:///path, or postgresql://user@host/database"
            )
        text = rest[1:]
    return Path(os.path.realpath(os.path.expanduser(text)))
