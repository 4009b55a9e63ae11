"""A PostgreSQL transaction as the store writes through it: shared SQL in, binary values out, many rows by COPY."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.adapt import AdaptersMap, Buffer, Dumper, Loader
from psycopg.pq import Format

from .schema import metadata

COPIED_ROWS = 8
"""Rows from which COPY is cheaper than statements."""

_ESCAPE, _NUL = "\ue000", "\0"
_TYPES = {
    sa.BigInteger: "int8", sa.Integer: "int4", sa.Text: "text", sa.LargeBinary: "bytea", sa.Boolean: "bool",
    sa.Double: "float8",
}  # fmt: skip
_TEXT_OID = 25


def escaped(text: str) -> str:
    """Text without NUL, which PostgreSQL does not take; a character of the private area marks it, and itself."""
    if _NUL in text or _ESCAPE in text:
        return text.replace(_ESCAPE, _ESCAPE + "1").replace(_NUL, _ESCAPE + "0")
    return text


def unescaped(text: str) -> str:
    """What ``escaped`` was given."""
    if _ESCAPE in text:
        return text.replace(_ESCAPE + "0", _NUL).replace(_ESCAPE + "1", _ESCAPE)
    return text


class _TextDumper(Dumper):
    """Without a type, so that the server takes it for what the place needs."""

    def dump(self, obj: str) -> bytes:
        return escaped(obj).encode()


class _CopiedTextDumper(_TextDumper):
    format = Format.BINARY
    oid = _TEXT_OID


class _TextLoader(Loader):
    def load(self, data: Buffer) -> str:
        return unescaped(str(data, "utf-8"))


class _BinaryTextLoader(_TextLoader):
    format = Format.BINARY


class BinaryCursor(psycopg.Cursor[Any]):
    """Asks for values in binary: an array of bytes takes half the room that it takes as text."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.format = Format.BINARY


def adapt_text(adapters: AdaptersMap) -> None:
    """Let a connection carry any text, NUL included."""
    for dumper in (_CopiedTextDumper, _TextDumper):
        adapters.register_dumper(str, dumper)
    for loader in (_TextLoader, _BinaryTextLoader):
        adapters.register_loader("text", loader)


@cache
def _translated(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()


@cache
def _copy_types(table: str, columns: str) -> tuple[str, ...]:
    types = [metadata.tables[table].c[name].type for name in columns.split(", ")]
    return tuple(next(name for kind, name in _TYPES.items() if isinstance(type_, kind)) for type_ in types)


def _array_text(numbers: Iterable[float | None]) -> str:
    """Numbers as PostgreSQL reads an array, exactly; the driver would take twenty times as long to write one."""
    return "{" + ",".join(["NULL" if number is None else str(number) for number in numbers]) + "}"


class PostgresConnection:
    """The ``Connection`` of a PostgreSQL transaction."""

    line_faults = (psycopg.IntegrityError, psycopg.DataError, psycopg.ProgrammingError)

    def __init__(self, driver: "psycopg.Connection[Any]", schema: str) -> None:
        self._driver = driver
        self._schema = schema

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Any:
        """Run a statement."""
        return self._driver.execute(_translated(sql), parameters)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Any:
        """Run a statement for every row of values, all on their way at once."""
        cursor = self._driver.cursor()
        cursor.executemany(_translated(sql), parameters)
        return cursor

    def insert(self, table: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows, by COPY if there are several."""
        if len(rows) < COPIED_ROWS:
            marks = ", ".join("?" * (columns.count(",") + 1))
            sql = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608  names of ours
            for row in rows:
                self.execute(sql, row)
            return
        statement = f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)"
        with self._driver.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            copy.set_types(_copy_types(table, columns))
            for row in rows:
                copy.write_row(row)

    def table_of(self, types: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[str, list[Any]]:
        """A query that gives the rows of numbers, with its values: an array for each column, however many rows."""
        marks = ", ".join(f"?::{name}[]" for name in types)
        return f"SELECT * FROM unnest({marks})", [_array_text(column) for column in zip(*rows, strict=True)]  # noqa: S608

    def numbers(self, table: str, count: int) -> Sequence[int]:
        """New row numbers out of the table's sequence, which never gives one twice."""
        query = "SELECT nextval(pg_get_serial_sequence(?, 'pk')) FROM generate_series(1, ?)"
        return [number for (number,) in self.execute(query, (table, count)).fetchall()]

    def lock_run(self, run_id: str) -> int | None:
        """The number of a run, whose row stays locked until the transaction ends; rows that point to it may come."""
        found = self.execute("SELECT pk FROM runs WHERE id = ? FOR NO KEY UPDATE", (run_id,)).fetchone()
        return found[0] if found else None

    def claim_packing(self, run_pk: int) -> bool:
        """Whether no other transaction packs the run; until the end of this one none will."""
        query = "SELECT pg_try_advisory_xact_lock(hashtextextended(?, ?))"
        return self.execute(query, (f"{self._schema} packing", run_pk)).fetchone()[0]
