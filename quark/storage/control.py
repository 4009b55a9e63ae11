"""Signs of life and requests of runs: what a heartbeat leaves, who is silent, and what was asked from afar.

Whether a run is silent is judged by whoever watches, with a clock that only goes forward: a heartbeat counts up, and a
count that stands still is silence. No time of day is compared, so neither a clock that jumps nor a restart of the
service ends anybody's run.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.batch import RecordBatch
from ..core.control import GROUP_TAG, RunControl, check_grace
from ..errors import InvalidRunStateError
from ..records.base import format_timestamp
from .ids import MARK, no_run, public_id

if TYPE_CHECKING:
    from .append import Appender
    from .database import Connection, Database

_COLUMNS = "last_seen, stale, stop_at, stop_grace_s, stop_step, restart_at, restart_grace_s"
_MARKS = "(SELECT coalesce(sum(next), 0) FROM writers WHERE writers.run_pk = runs.pk)"


@dataclass(frozen=True, slots=True)
class Sign:
    """What a run that goes on has shown of itself so far: as long as it stays equal, the run is silent."""

    run_id: str
    beats: int
    marks: int
    interval_s: float


class Controls:
    """The part of a store that controls runs."""

    _database: "Database"
    _appender: "Appender"

    def beat(self, run_id: str, interval_s: float, stop_step: int | None = None) -> RunControl:
        """A heartbeat: the run lives, also if it was closed as silent; what is asked of it is the answer.

        Args:
            interval_s: seconds to its next heartbeat.
            stop_step: the step before which rank 0 proposes that all ranks stop; the first proposal counts.

        Raises:
            RunNotFoundError: there is no such run.
        """
        with self._database.writing() as connection:
            pk = _numbered(connection, run_id)
            _make_row(connection, pk)
            connection.execute(
                "UPDATE controls SET beats = beats + 1, interval_s = ?, last_seen = ?, stale = FALSE,"
                " stop_step = coalesce(stop_step, ?) WHERE run_pk = ?",
                (interval_s, time.time_ns(), stop_step, pk),
            )
            _revive(connection, pk)
            return _read(connection, pk)

    def agree_to_stop(self, run_id: str, step: int) -> RunControl:
        """The step before which all ranks stop; the first proposal counts."""
        with self._database.writing() as connection:
            pk = _numbered(connection, run_id)
            _make_row(connection, pk)
            connection.execute("UPDATE controls SET stop_step = coalesce(stop_step, ?) WHERE run_pk = ?", (step, pk))
            return _read(connection, pk)

    def control(self, run_id: str) -> RunControl:
        """Signs of life of a run and what was asked of it; RunNotFoundError if there is none."""
        with self._database.snapshot() as connection:
            return _read(connection, _numbered(connection, run_id))

    def request_stop(self, run_id: str, grace_period_s: float) -> RunControl:
        """Ask a run to stop, and with a group its members; a request that waits already keeps its time and
        gets this grace period.

        Raises:
            RunNotFoundError: there is no such run.
            InvalidRunStateError: it has ended.
            SchemaValidationError: the grace period is below a second.
        """
        return self._request(run_id, "stop", check_grace(grace_period_s))

    def request_restart(self, run_id: str, grace_period_s: float) -> RunControl:
        """Ask the ``quark run`` that a run was started by to start it anew; raises like ``request_stop``."""
        return self._request(run_id, "restart", check_grace(grace_period_s))

    def _request(self, run_id: str, what: str, grace_s: float) -> RunControl:
        with self._database.writing() as connection:
            pk = connection.lock_run(run_id)
            if pk is None:
                raise no_run(run_id)
            (status,) = connection.execute("SELECT status FROM runs WHERE pk = ?", (pk,)).fetchone()
            if status != "running":
                raise InvalidRunStateError(
                    f"run {public_id(run_id)} is {status}; only a run that goes on can be asked to {what}"
                )
            _make_row(connection, pk)
            connection.execute(
                f"UPDATE controls SET {what}_at = coalesce({what}_at, ?), {what}_grace_s = ? WHERE run_pk = ?",  # noqa: S608
                (time.time_ns(), grace_s, pk),
            )
            if what == "stop":
                _pass_stop_on(connection, pk)
            return _read(connection, pk)

    # For whoever watches over the runs

    def signs(self) -> list[Sign]:
        """The signs of life of all runs that go on and send heartbeats."""
        query = (
            f"SELECT runs.id, beats, {_MARKS}, interval_s FROM runs"  # noqa: S608
            " JOIN controls ON controls.run_pk = runs.pk WHERE beats > 0 AND status = 'running'"
        )
        with self._database.snapshot() as connection:
            rows = connection.execute(query).fetchall()
        return [Sign(run_id, beats, int(marks), interval_s) for run_id, beats, marks, interval_s in rows]

    def returned(self) -> list[str]:
        """The runs that were closed as silent and to which records have come since.

        Every run that was ever lost is looked at for that: this is not to be asked every second.
        """
        query = (
            "SELECT runs.id FROM runs JOIN controls ON controls.run_pk = runs.pk"  # noqa: S608
            f" WHERE status = 'failed' AND reaped AND coalesce(marks, 0) <> {_MARKS}"
        )
        with self._database.snapshot() as connection:
            return [run_id for (run_id,) in connection.execute(query).fetchall()]

    def mark_stale(self, run_id: str, stale: bool) -> None:
        """A run is silent, or not any more."""
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE controls SET stale = ? WHERE run_pk = (SELECT pk FROM runs WHERE id = ?)", (stale, run_id)
            )

    def reap(self, sign: Sign, ending: RecordBatch) -> bool:
        """Close a run as silent with the records of ``ending``, unless it has shown a sign of life since ``sign``."""
        with self._database.writing() as connection:
            pk = connection.lock_run(sign.run_id)
            if pk is None:
                return False
            state = (
                f"SELECT status, beats, {_MARKS} FROM runs JOIN controls ON controls.run_pk = runs.pk"  # noqa: S608
                " WHERE runs.pk = ?"
            )
            status, beats, marks = connection.execute(state, (pk,)).fetchone()
            if (status, beats, int(marks)) != ("running", sign.beats, sign.marks):
                return False
            work = self._appender.append(connection, ending)
            connection.execute(
                "UPDATE controls SET stale = TRUE, reaped = TRUE, marks = (SELECT sum(next) FROM writers"
                " WHERE writers.run_pk = controls.run_pk) WHERE run_pk = ?", (pk,),
            )  # fmt: skip
        self._appender.remember(work)
        return True

    def revive(self, run_id: str) -> None:
        """A run that was closed as silent goes on."""
        with self._database.writing() as connection:
            _revive(connection, _numbered(connection, run_id))


def forget_requests(connection: "Connection", run_pk: int, *, ended: bool = False) -> None:
    """A run has ended or begins anew: what was asked of it before does not hold any more.

    The step that the ranks of a job agreed on outlives the end: a rank that is late has still to stop there.
    """
    connection.execute(
        "UPDATE controls SET stale = FALSE, reaped = FALSE, marks = NULL, stop_at = NULL, stop_grace_s = NULL,"
        " stop_step = CASE WHEN ? THEN stop_step END, restart_at = NULL, restart_grace_s = NULL WHERE run_pk = ?",
        (ended, run_pk),
    )


def _revive(connection: "Connection", run_pk: int) -> None:
    revived = connection.execute(
        "UPDATE runs SET status = 'running', reason = NULL, ended_at = NULL WHERE pk = ? AND status = 'failed'"
        " AND (SELECT reaped FROM controls WHERE run_pk = runs.pk)", (run_pk,),
    ).rowcount  # fmt: skip
    if revived:
        connection.execute(
            "UPDATE controls SET stale = FALSE, reaped = FALSE, marks = NULL WHERE run_pk = ?", (run_pk,)
        )


def inherit_stop(connection: "Connection", run_pk: int) -> None:
    """A run has begun: if the group that it is a member of was asked to stop, so is the run."""
    group = connection.execute(
        "SELECT parents.pk FROM runs JOIN runs AS parents ON parents.project_id = runs.project_id"
        " AND (parents.id = runs.parent_run_id OR parents.id = runs.parent_run_id || ? || runs.project_id)"
        " JOIN controls ON controls.run_pk = parents.pk WHERE runs.pk = ? AND stop_at IS NOT NULL",
        (MARK, run_pk),
    ).fetchone()
    if group is not None:
        _pass_stop_on(connection, group[0])


def _pass_stop_on(connection: "Connection", group_pk: int) -> None:
    """Ask the members of a group that run to stop, as the group was asked; other runs have none."""
    members = (
        "SELECT members.pk FROM runs JOIN runs AS members ON members.project_id = runs.project_id"
        " WHERE runs.pk = ? AND members.parent_run_id = ? AND members.status = 'running'"
        " AND members.deleted_at IS NULL AND EXISTS (SELECT 1 FROM run_tags WHERE run_pk = runs.pk AND tag = ?)"
    )
    (row_id,) = connection.execute("SELECT id FROM runs WHERE pk = ?", (group_pk,)).fetchone()
    for (pk,) in connection.execute(members, (group_pk, public_id(row_id), GROUP_TAG)).fetchall():
        _make_row(connection, pk)
        connection.execute(
            "UPDATE controls SET stop_at = coalesce(controls.stop_at, asked.stop_at), stop_grace_s = asked.stop_grace_s"
            " FROM controls AS asked WHERE asked.run_pk = ? AND controls.run_pk = ?", (group_pk, pk),
        )  # fmt: skip


def _make_row(connection: "Connection", run_pk: int) -> None:
    connection.execute(
        "INSERT INTO controls (run_pk, beats, interval_s, stale, reaped) VALUES (?, 0, 0, FALSE, FALSE)"
        " ON CONFLICT DO NOTHING", (run_pk,),
    )  # fmt: skip


def _read(connection: "Connection", run_pk: int) -> RunControl:
    query = f"SELECT {_COLUMNS} FROM controls WHERE run_pk = ?"  # noqa: S608  names of ours
    row = connection.execute(query, (run_pk,)).fetchone()
    if row is None:
        return RunControl()
    last_seen, stale, stop_at, stop_grace_s, stop_step, restart_at, restart_grace_s = row
    return RunControl(
        last_seen=_time(last_seen), stale=bool(stale), stop_requested_at=_time(stop_at), stop_grace_s=stop_grace_s,
        stop_step=stop_step, restart_requested_at=_time(restart_at), restart_grace_s=restart_grace_s,
    )  # fmt: skip


def _time(moment: int | None) -> str | None:
    return None if moment is None else format_timestamp(moment)


def _numbered(connection: "Connection", run_id: str) -> int:
    found = connection.execute("SELECT pk FROM runs WHERE id = ? AND deleted_at IS NULL", (run_id,)).fetchone()
    if found is None:
        raise no_run(run_id)
    return found[0]
