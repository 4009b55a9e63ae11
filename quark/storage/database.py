"""What a store asks of the database that it lives in, whichever that is."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import ConfigurationError, SessionStoreError

if TYPE_CHECKING:
    import sqlalchemy as sa


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


def digest(name: str) -> str:
    """What stands for a namespace in names of files and schemas: 32 hexadecimal digits.

    Raises:
        ConfigurationError: an empty name.
    """
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"a namespace needs a name of at least one character, got {name!r}")
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
