"""The store: everything that is recorded goes in through ``append`` and comes out through the readers here."""

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Unpack, cast

from msgspec.structs import replace

from ..core.batch import RecordBatch
from ..core.choice import CheckpointFilters, RunFilters
from ..core.reader import Body, Page, RecordFilter, Series
from ..errors import ConfigurationError, SchemaValidationError, SessionStoreError
from ..records.base import Origin, Record
from ..records.line import Line, encode
from .append import Appender, RefusedLineError
from .belonging import Belonging, Reach
from .blueprints import Blueprints
from .changes import Changes
from .control import Controls
from .database import Database, Frozen
from .deletion import Deletion
from .drawn import Drawn
from .faults import damage_named
from .ids import no_run, public_id
from .opening import open_database
from .saved import SavedViews
from .summaries import Summaries

if TYPE_CHECKING:
    from ..records.run import ProjectRecord, RunRecord
    from .budget import PageBudget

PAGE_RECORDS = 1000


class _UndoneError(Exception):
    """Ends a transaction of which nothing is to be kept."""


class SqlStore(Controls, Deletion, Blueprints, SavedViews, Belonging, Changes, Summaries, Drawn):
    """A store of runs in a SQLite file or in PostgreSQL; any number of processes may read and write it at once.

    ``append`` stores a batch exactly once; the other methods are a RecordReader. All are safe to call from any thread.

    Args:
        path_or_url: the database file or its URL ``sqlite:///...``, which is created if it is missing; or the URL of a
            PostgreSQL database, ``postgresql://user@host/database``, in which the tables are.
        lock_path: the file by which processes that write a SQLite file take turns; beside it unless given.
        namespace: any text, which names a store apart from others in the same place: a schema of the PostgreSQL
            database, whose connections it shares with them, or a file beside the file.

    Raises:
        ConfigurationError: a URL of a database that this release does not serve.
        MissingDependencyError: PostgreSQL's driver is not installed.
        SchemaMigrationError: a newer release wrote the store, or it could not be upgraded.
        SessionStoreError: the store cannot be opened; code ``unavailable`` if no server answers.
    """

    def __init__(
        self, path_or_url: str | os.PathLike[str], *, lock_path: str | os.PathLike[str] | None = None,
        namespace: str | None = None,
    ) -> None:  # fmt: skip
        self._database = open_database(path_or_url, lock_path, namespace)
        self._appender = Appender()

    def freeze(self, why: str) -> None:
        """Refuse from now on to write anything: SessionStoreError with ``why``, code ``read_only``."""
        self._database = cast(Database, Frozen(self._database, why))

    def __repr__(self) -> str:
        return f"SqlStore({self.name!r})"

    @property
    def name(self) -> str:
        """Where the store is: the file, or the URL without its password."""
        return self._database.name

    @property
    def path(self) -> Path:
        """The file that the store is.

        Raises:
            ConfigurationError: it is in PostgreSQL.
        """
        path = getattr(self._database, "path", None)
        if path is None:
            raise ConfigurationError(f"the store {self.name} is no file; use its name")
        return path

    def __enter__(self) -> "SqlStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._database.closed

    def close(self) -> None:
        """Pack what ended runs have left, as far as that is quick, and close all connections; again is allowed."""
        if not self._database.closed:
            try:
                self._tidy()
            except SessionStoreError:
                pass  # the points are stored and readable as they are
        self._database.close()

    def _tidy(self) -> None:
        if not any(run.ended for run in self._appender.runs.values()):
            return
        self.seal()
        for _ in range(16):
            if not self._database.shrink():
                return

    # Writing

    def append(self, batch: RecordBatch, *, strict: bool = False, reach: Reach | None = None) -> int:
        """Store what is new of a batch, all of it or, if this raises, nothing.

        Lines that cannot be stored are added to ``batch.rejected`` and count as taken, unless ``strict``: then the
        first such line refuses the batch.

        Args:
            reach: what whoever sent the batch may write, checked in the same transaction; None for everything.

        Returns:
            The writer's new mark: the number that the store expects next.

        Raises:
            SessionStoreError: code ``sequence_gap`` if earlier records are missing; ``disk_full``, ``busy`` and others
                if the database refused; ``forbidden`` if the batch belongs to no run within ``reach``.
            RefusedLineError: ``strict``, and a line cannot be stored; ``sequence`` says which.
        """
        batch.lines()  # decoded before the lock is taken
        if strict and batch.rejected:
            raise RefusedLineError(*batch.rejected[0])
        try:
            with self._database.writing() as connection:
                work = self._appender.append(connection, batch, strict=strict, reach=reach)
        except BaseException:
            self._appender.forget(batch.origin.run_id)
            raise
        self._appender.remember(work)
        batch.rejected += work.rejected
        return work.mark

    def write_line(self, run_id: str, attempt: int, line: Line) -> None:
        """Store one line of a run, as a writer of its own; its sequence number is 0.

        Raises:
            RunNotFoundError: there is no such run.
            RefusedLineError, SessionStoreError: it cannot be stored.
        """
        self.write_lines(run_id, [line], attempt)

    def write_lines(self, run_id: str, lines: Sequence[Line], attempt: int | None = None) -> None:
        """Store lines of a run, all or none, as a writer of its own, which is no sign of life of the run.

        Args:
            run_id: the id of the run, or of its row.
            lines: their sequence numbers are given anew.
            attempt: the attempt that they belong to; the last one unless given.

        Raises:
            RunNotFoundError: there is no such run.
            RefusedLineError, SessionStoreError: one of them cannot be stored.
        """
        run = self.run(run_id)  # to write to an unknown run would begin one
        attempt = run.resume_count + 1 if attempt is None else attempt
        origin = Origin(run.id, f"0-{attempt}-{os.urandom(6).hex()}", 0, attempt)
        data = b"".join(encode(replace(line, sequence=place)) + b"\n" for place, line in enumerate(lines))
        batch = RecordBatch(origin, 0, len(lines), data)
        try:
            with self._database.writing() as connection:
                work = self._appender.append(connection, batch, strict=True, reach=Reach(named=run.project_name))
                connection.execute("UPDATE controls SET marks = marks + ? WHERE run_pk = ?", (len(lines), work.run_pk))
        except BaseException:
            self._appender.forget(run.id)
            raise
        self._appender.remember(work)

    def check(self, batch: RecordBatch, *, reach: Reach | None = None) -> None:
        """Raise what ``append`` would raise with ``strict``; nothing is stored."""
        with suppress(_UndoneError), self._database.writing() as connection:
            self._appender.append(connection, batch, strict=True, reach=reach)
            raise _UndoneError

    def seal(self, run_id: str | None = None, limit: int = 4) -> int:
        """Pack new metric points into chunks, which take less room and are faster to read.

        Without ``run_id`` the runs that this store has appended to are looked after, as far as it is worth it: call it
        now and then between appends. With ``run_id`` all points of the run are packed.

        Args:
            limit: passes of about 262,144 points at most, each a transaction of some ten milliseconds.

        Returns:
            The number of points packed.
        """
        packed = 0
        due = self._due(run_id)
        if not due:
            return 0
        from .seal import seal_pass  # it needs NumPy, which a short run need not import

        for known, pk in due:
            while limit > 0:
                limit -= 1
                with damage_named(self.name):
                    done = seal_pass(self._database, pk)
                if done is None:
                    break
                points, rows = done
                packed += points
                run = self._appender.packed(known, points, rows)
                if not rows or (run is not None and run_id is None and not run.is_due):
                    break
        return packed

    def _due(self, run_id: str | None) -> list[tuple[str, int]]:
        if run_id is None:
            return [(known, run.pk) for known, run in list(self._appender.runs.items()) if run.is_due]
        with self._database.snapshot() as connection:
            found = connection.execute("SELECT pk FROM runs WHERE id = ?", (run_id,)).fetchone()
        if found is None:
            raise no_run(run_id)
        return [(run_id, found[0])]

    def position(self, run_id: str, writer_id: str) -> int:
        """The number that the store expects next of a writer; 0 for one that it does not know."""
        with self._database.snapshot() as connection:
            found = connection.execute(
                "SELECT next FROM writers WHERE id = ? AND run_pk = (SELECT pk FROM runs WHERE id = ?)",
                (writer_id, run_id),
            ).fetchone()
        return found[0] if found else 0

    def writers(self, run_id: str) -> list[tuple[Origin, int]]:
        """The writers of a run in the order of their arrival, each with the number that is expected next of it."""
        with self._database.snapshot() as connection:
            rows = connection.execute(
                "SELECT id, rank, attempt, next FROM writers WHERE run_pk = (SELECT pk FROM runs WHERE id = ?)"
                " ORDER BY pk", (run_id,),
            ).fetchall()  # fmt: skip
        return [(Origin(public_id(run_id), writer_id, rank, attempt), mark) for writer_id, rank, attempt, mark in rows]

    # Reading

    def run(self, run_id: str, *, budget: "PageBudget | None" = None) -> "RunRecord":
        """The run; RunNotFoundError if there is none."""
        from .runs import read_run

        with self._database.reading() as connection:
            return read_run(connection, run_id, budget)

    def runs(
        self, *, sort: str = "-started_at", offset: int = 0, limit: int | None = None, after: str | None = None,
        id_after: str | None = None, select: Collection[str] | None = None,
        projects_only: Collection[str] | None = None, budget: "PageBudget | None" = None, **filters: Unpack[RunFilters],
    ) -> Page:  # fmt: skip
        """A page of runs; see ``Store.runs`` for the filters and the order.

        Args:
            limit: runs on a page; None for all.
            after: the ``next`` of the page before.
            select: only these fields of each run, as mappings.
            projects_only: leave out the runs of all other projects; None leaves out none.
            budget: what a page may hold in bytes; it may then be shorter than ``limit`` and not be the last one.
        """
        from .listing import read_runs

        with self._database.reading() as connection:
            return read_runs(
                connection, filters=filters, sort=sort, offset=offset, limit=limit, after=after, id_after=id_after,
                select=select, projects_only=projects_only, budget=budget,
            )  # fmt: skip

    def deleted_runs(
        self, *, limit: int | None = None, after: str | None = None, budget: "PageBudget | None" = None
    ) -> Page:
        """A page of the runs that are deleted and not purged yet, the latest started first; see ``runs``."""
        from .listing import read_deleted

        with self._database.reading() as connection:
            return read_deleted(connection, limit, after, budget)

    def projects(self, only: Collection[str] | None = None) -> "list[ProjectRecord]":
        """All projects that have runs, or those of them with these names, by name."""
        from .runs import read_projects

        with self._database.reading() as connection:
            return read_projects(connection, only)

    def records(self, run_id: str, kind: str, where: RecordFilter | None = None) -> Iterator[Record]:
        """The records of a kind in the order of arrival, metrics writer by writer; read page by page, never cut short.

        Raises:
            RunNotFoundError: there is no such run.
            SchemaValidationError: no such kind, or no such field in ``where``.
        """
        left = (where or RecordFilter()).limit
        pages = self._pages(run_id, kind, where or RecordFilter(), PAGE_RECORDS)
        return _first(left, (record for page, _ in pages for record in page))

    def records_page(
        self, run_id: str, kind: str, where: RecordFilter | None = None, limit: int = PAGE_RECORDS, *,
        budget: "PageBudget | None" = None,
    ) -> tuple[list[Record], int | None]:  # fmt: skip
        """Up to ``limit`` records, and what to pass as ``RecordFilter.after`` for those behind; None at the end.

        With a ``budget`` of bytes a page may be shorter than ``limit`` and not be the last one.
        """
        wanted = where or RecordFilter()
        limit = limit if wanted.limit is None else min(limit, wanted.limit)
        if limit < 1:
            raise SchemaValidationError(f"limit must be at least 1, got {limit}")
        for page, cursor in self._pages(run_id, kind, wanted, limit, budget):
            return page, cursor
        return [], None

    def checkpoints(
        self, where: RecordFilter | None = None, limit: int = PAGE_RECORDS, *,
        projects_only: Collection[str] | None = None, budget: "PageBudget | None" = None,
        **filters: Unpack[CheckpointFilters],
    ) -> tuple[list[Record], int | None]:  # fmt: skip
        """The last ``checkpoint`` event of each place in each run, up to ``limit`` of them, and the cursor behind."""
        from .latest import read_checkpoints

        with self._database.reading() as connection:
            return read_checkpoints(
                connection, filters, where or RecordFilter(), limit, projects_only=projects_only, budget=budget
            )

    def unrecorded(
        self, run_ids: Collection[str], after: int | None = None, limit: int = PAGE_RECORDS, *,
        projects_only: Collection[str] | None = None, budget: "PageBudget | None" = None,
    ) -> tuple[list[Record], int | None]:  # fmt: skip
        """The last ``run_unrecorded`` event of each process of some runs, and the cursor behind them."""
        from .latest import read_unrecorded

        with self._database.reading() as connection:
            return read_unrecorded(connection, run_ids, after, limit, projects_only=projects_only, budget=budget)

    def _pages(
        self, run_id: str, kind: str, wanted: RecordFilter, limit: int, budget: "PageBudget | None" = None
    ) -> Iterator[tuple[list[Record], int | None]]:
        from .pages import pages

        return pages(self._database, run_id, kind, wanted, limit, budget)

    def bodies(self, run_id: str, kind: str) -> Iterator[Body]:
        """The records of a kind in the order of arrival as they are stored, neither built nor checked; not metrics.

        Raises:
            RunNotFoundError: there is no such run.
            SchemaValidationError: no such kind.
        """
        from .pages import bodies

        return bodies(self._database, run_id, kind)

    def series(self, run_id: str, key: str, *, all_attempts: bool = False) -> Series:
        """A metric as arrays, attempt by attempt and writer by writer; no points for a key that was never recorded.

        A step that several attempts reached shows the latest one unless ``all_attempts``.
        """
        from .arrays import read_series

        with self._database.reading() as connection:
            return read_series(connection, self._number(connection, run_id), key, all_attempts=all_attempts)


def _first(limit: int | None, found: Iterator[Record]) -> Iterator[Record]:
    if limit is None:
        yield from found
    elif limit > 0:
        for count, record in enumerate(found, 1):
            yield record
            if count == limit:
                return
