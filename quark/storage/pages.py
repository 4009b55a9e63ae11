"""Hands out records page by page; between two pages no connection is held, so readers may take their time."""

from collections.abc import Iterator
from dataclasses import replace

from ..core.reader import Body, RecordFilter
from ..errors import SchemaValidationError
from ..records.base import Record
from ..records.kinds import KINDS
from .arrays import run_number
from .budget import PageBudget
from .database import Database
from .ids import no_run, public_id
from .rows import read_rows
from .samples import Place, SampleReader

BODIES = 5000
"""Bodies on a page."""


def pages(
    database: Database, run_id: str, kind: str, wanted: RecordFilter, limit: int, budget: PageBudget | None = None
) -> Iterator[tuple[list[Record], int | None]]:
    """Pages of ``limit`` records, each with the cursor behind it; the last one has None.

    Raises:
        RunNotFoundError, SchemaValidationError: at once, not when the first page is asked for.
    """
    run_pk = _run_that_has(database, run_id, kind)
    if kind == "metric":
        return _metric_pages(database, SampleReader(public_id(run_id), run_pk, wanted, budget), limit, wanted.offset)
    return _row_pages(database, public_id(run_id), run_pk, kind, wanted, limit, budget)


def bodies(database: Database, run_id: str, kind: str) -> Iterator[Body]:
    """The records of a kind as they are stored, in the order of arrival; metrics have none.

    Raises:
        RunNotFoundError, SchemaValidationError: at once, not when the first one is asked for.
    """
    return _bodies(database, _run_that_has(database, run_id, kind), kind)


def _run_that_has(database: Database, run_id: str, kind: str) -> int:
    if kind not in KINDS:
        raise SchemaValidationError(f"no records are of the kind {kind!r}; use one of {', '.join(sorted(KINDS))}")
    with database.reading() as connection:
        run_pk = run_number(connection, run_id)
    if run_pk is None:
        raise no_run(run_id)
    return run_pk


def _bodies(database: Database, run_pk: int, kind: str) -> Iterator[Body]:
    after = 0
    while True:
        with database.snapshot() as connection:
            rows = connection.execute(
                "SELECT w.attempt, w.rank, r.sequence, r.time_ns, r.step, r.epoch, r.body, r.pk"
                " FROM records r JOIN writers w ON w.pk = r.writer_pk"
                " WHERE r.run_pk = ? AND r.kind = ? AND r.pk > ? ORDER BY r.pk LIMIT ?",
                (run_pk, kind, after, BODIES),
            ).fetchall()  # fmt: skip
        for row in rows:
            yield row[:7]
        if len(rows) < BODIES:
            return
        after = rows[-1][7]


def _row_pages(
    database: Database,
    run_id: str,
    run_pk: int,
    kind: str,
    wanted: RecordFilter,
    limit: int,
    budget: PageBudget | None,
) -> Iterator[tuple[list[Record], int | None]]:
    while True:
        with database.reading() as connection:
            found, cursor = read_rows(connection, run_id, run_pk, kind, wanted, limit, budget)
        yield found, cursor
        if cursor is None:
            return
        wanted = replace(wanted, after=cursor, offset=0)


def _metric_pages(
    database: Database, reader: SampleReader, limit: int, offset: int
) -> Iterator[tuple[list[Record], int | None]]:
    held: list[tuple[Place, Record]] = []
    while True:
        while len(held) <= limit:
            with database.reading() as connection:
                found = reader.next_window(connection)
            if found is None:
                break
            held += found[offset:]
            offset = max(0, offset - len(found))
        page, held = held[:limit], held[limit:]
        yield [record for _, record in page], page[-1][0].cursor() if held else None
        if not held:
            return
