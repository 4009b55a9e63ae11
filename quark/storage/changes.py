"""Which runs have changed: hints for those who watch, who then read what they show."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .ids import public_id

if TYPE_CHECKING:
    from .database import Database

MOST_CHANGES = 1000
"""Runs that one look tells of, those that changed last."""

_CHANGED = (
    "SELECT runs.pk, runs.id, projects.name, sum(writers.next), max(writers.changed_at)"
    " FROM writers JOIN runs ON runs.pk = writers.run_pk JOIN projects ON projects.id = runs.project_id"
    " WHERE writers.run_pk IN (SELECT run_pk FROM writers WHERE changed_at > ?) AND runs.deleted_at IS NULL"
    " GROUP BY runs.pk, runs.id, projects.name ORDER BY max(writers.changed_at) DESC LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Change:
    """A run to which something was written.

    Attributes:
        marks: how many records its processes have sent so far.
        changed_at: when the last of them were stored, in nanoseconds since 1970 UTC.
        kinds: the kinds of the new records other than metrics, as far as they are known.
    """

    run_id: str
    project: str
    marks: int
    changed_at: int
    kinds: tuple[str, ...]


class Changes:
    """The part of a store that says what has changed."""

    _database: "Database"

    def changes(
        self, since_ns: int, after_record: int | None = None, projects_only: Collection[str] | None = None
    ) -> tuple[list[Change], int]:
        """The runs that changed after a moment, and the number of the last record.

        Args:
            since_ns: the moment, in nanoseconds since 1970 UTC.
            after_record: the number of the last record that the caller knows of; None to be told no kinds.
            projects_only: leave out the runs of all other projects; None leaves out none.
        """
        with self._database.snapshot() as connection:
            (last,) = connection.execute("SELECT coalesce(max(pk), 0) FROM records").fetchone()
            rows = connection.execute(_CHANGED, (since_ns, MOST_CHANGES)).fetchall()
            kinds: dict[int, set[str]] = {}
            if after_record is not None and last > after_record:
                query = "SELECT DISTINCT run_pk, kind FROM records WHERE pk > ?"
                for run_pk, kind in connection.execute(query, (after_record,)).fetchall():
                    kinds.setdefault(run_pk, set()).add(kind)
        return [
            Change(public_id(run_id), project, int(marks), changed_at, tuple(sorted(kinds.get(pk, ()))))
            for pk, run_id, project, marks, changed_at in reversed(rows)
            if projects_only is None or project in projects_only
        ], last
