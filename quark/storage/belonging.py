"""Which run a request means, where several projects may use one run id and none may learn of the others.

The first run with an id is stored under it. A run of another project with the same id is stored under the id, ``@`` and
the id of its project; no client can name such a row, because no run id holds an ``@``. What leaves the store carries
the id that the run's own clients use.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from ..core.batch import RecordBatch
from ..errors import SessionStoreError
from ..records.ready import ready
from ..records.run import project_id
from .ids import MARK
from .lifecycle import UNKNOWN, insert_placeholder

if TYPE_CHECKING:
    from .database import Connection, Database

TRIES = 8
"""How often a run is looked for while other processes begin and purge runs with the same id."""

_ALL = (
    "SELECT runs.pk, runs.id, projects.id, projects.name, runs.placeholder, runs.deleted_at IS NOT NULL"
    " FROM runs JOIN projects ON projects.id = runs.project_id"
)
_ROWS = f"{_ALL} WHERE runs.id = ? OR (runs.id > ? AND runs.id < ?)"


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as it is stored: the id of its row, its project, and whether it is deleted."""

    pk: int
    id: str
    project_id: str
    project: str
    placeholder: bool
    hidden: bool

    @property
    def orphan(self) -> bool:
        """Whether nobody has said yet which project the run is of."""
        return self.project_id == UNKNOWN


@dataclass(frozen=True, slots=True)
class Reach:
    """What a request may touch.

    Attributes:
        projects: the projects that its key is limited to; None for all.
        named: the project that the request names; None if it names none.
    """

    projects: tuple[str, ...] | None = None
    named: str | None = None

    def holds(self, project: str | None) -> bool:
        """Whether the request may touch a project; None, a project that is not known, needs a key for all."""
        return self.projects is None or project in self.projects

    def sees(self, row: RunRow) -> bool:
        """Whether the request may mean a run."""
        if row.orphan:
            return self.projects is None
        return self.holds(row.project) and self.named in (None, row.project)


EVERYTHING = Reach()


class Belonging:
    """The part of a store that tells runs with one id apart."""

    _database: "Database"

    def find(
        self, run_id: str, reach: Reach = EVERYTHING, *, writer_id: str | None = None, hidden: bool = False
    ) -> RunRow | None:
        """The run that a request means; None where there is none for it.

        Args:
            writer_id: of several runs the one that has this writer is meant.
            hidden: whether a deleted run may be meant as well.
        """
        with self._database.snapshot() as connection:
            rows = [row for row in _rows(connection, run_id) if reach.sees(row) and (hidden or not row.hidden)]
            return _best(connection, rows, writer_id)

    def payloads(self) -> Iterator[tuple[RunRow, str]]:
        """The digests of all artifacts that are recorded, each with its run, deleted ones too."""
        with self._database.snapshot() as connection:
            rows = _made(connection.execute(_ALL).fetchall())
        for row in rows:
            with self._database.snapshot() as connection:
                query = "SELECT body FROM records WHERE run_pk = ? AND kind = 'artifact'"
                bodies = connection.execute(query, (row.pk,)).fetchall()
            for (body,) in bodies:
                digest = msgspec.json.decode(body).get("sha256")
                if isinstance(digest, str):
                    yield row, digest


def admit(connection: "Connection", batch: RecordBatch, reach: Reach) -> RunRow:
    """The run that a batch is stored in, locked until the transaction ends; it is made if the batch begins one.

    Raises:
        SessionStoreError: code ``forbidden``, the batch belongs to no run that the request may write;
            ``busy``, other processes begin and purge the run all the time.
    """
    run_id, started = batch.origin.run_id, _project_started(batch)
    project = reach.named if started is None else started
    may_begin = reach.holds(project)
    for _ in range(TRIES):
        rows = _rows(connection, run_id)
        wanted = _wanted(connection, rows, batch, started, reach) if may_begin or started is None else None
        if wanted is not None:
            if connection.lock_run(wanted.id) == wanted.pk and (
                not wanted.placeholder or wanted in _rows(connection, run_id)  # its project may just have been told
            ):
                return wanted
        elif not may_begin:
            names = ", ".join(reach.projects or ())
            raise SessionStoreError(
                f"this key may write to {names} only, and the batch belongs to no run of theirs; "
                "begin the run with a start that names its project",
                code="forbidden", status=403,
            )  # fmt: skip
        else:
            taken = any(row.id == run_id for row in rows)
            row_id = f"{run_id}{MARK}{project_id(project)}" if taken and project is not None else run_id
            insert_placeholder(connection, row_id, batch, project)
    raise SessionStoreError(f"the run {run_id} is begun and purged by others all the time; send it again", code="busy")


def _wanted(
    connection: "Connection", rows: list[RunRow], batch: RecordBatch, started: str | None, reach: Reach
) -> RunRow | None:
    if started is None:
        able = [row for row in rows if reach.sees(row) and (reach.projects is None or not row.hidden)]
        return _best(connection, able, batch.origin.writer_id)
    able = [row for row in rows if not row.orphan and row.project == started]
    # Records came before the start that says whose they are; only those who may write anywhere can have sent them.
    return next(iter(able or (row for row in rows if row.orphan and reach.projects is None)), None)


def _best(connection: "Connection", rows: list[RunRow], writer_id: str | None) -> RunRow | None:
    if len(rows) > 1 and writer_id is not None:
        query = "SELECT 1 FROM writers WHERE run_pk = ? AND id = ?"
        rows = [row for row in rows if connection.execute(query, (row.pk, writer_id)).fetchone()] or rows
    known = [row for row in rows if not row.orphan]
    return next(iter(known or rows), None)


def _rows(connection: "Connection", run_id: str) -> list[RunRow]:
    return _made(connection.execute(_ROWS, (run_id, run_id + MARK, run_id + chr(ord(MARK) + 1))).fetchall())


def _made(rows: list[Any]) -> list[RunRow]:
    return [
        RunRow(pk, row_id, identity, project, bool(placeholder), bool(hidden))
        for pk, row_id, identity, project, placeholder, hidden in sorted(rows)
    ]


class _Project(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class _Start(msgspec.Struct):
    project: _Project


def _project_started(batch: RecordBatch) -> str | None:
    """The project that the first start of a batch names; None if there is none, or it names none."""
    if batch._columns is not None:  # nothing but metrics
        return None
    lines = batch.lines()
    if "run" not in [line.kind for line in lines]:  # to search their text would take longer
        return None
    for line in lines:
        if line.kind == "run" and line.label == "start":
            try:
                return msgspec.json.decode(line.body, type=ready(_Start)).project.name
            except (msgspec.MsgspecError, RecursionError):
                return None  # applying the line says what is wrong with it
    return None
