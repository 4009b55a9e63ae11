"""Deleting runs: first they are hidden and can be had back, then they are purged."""

import time
from typing import TYPE_CHECKING

from ..errors import InvalidRunStateError, SchemaValidationError, SessionStoreError
from .ids import no_run, public_id

if TYPE_CHECKING:
    from .database import Connection, Database

_PURGES = (
    "DELETE FROM chunk_details WHERE chunk_pk IN"
    " (SELECT pk FROM chunks WHERE series_pk IN (SELECT pk FROM series WHERE run_pk = ?))",
    "DELETE FROM chunk_data WHERE chunk_pk IN"
    " (SELECT pk FROM chunks WHERE series_pk IN (SELECT pk FROM series WHERE run_pk = ?))",
    "DELETE FROM chunks WHERE series_pk IN (SELECT pk FROM series WHERE run_pk = ?)",
    "DELETE FROM fragments WHERE run_pk = ?", "DELETE FROM series WHERE run_pk = ?",
    "DELETE FROM records WHERE run_pk = ?", "DELETE FROM writers WHERE run_pk = ?",
    "DELETE FROM run_tags WHERE run_pk = ?", "DELETE FROM controls WHERE run_pk = ?",
    "UPDATE runs SET id = 'purged ' || pk, name = NULL, parent_run_id = NULL, lineage_root_run_id = '', run_path = '',"
    " git_commit = NULL, config = '{}', environment = '{}', deleted_at = 9223372036854775807 WHERE pk = ?",
)  # fmt: skip
"""The number of a run stays taken, for other processes may remember which series belong to it."""

PACKING_S = 30.0
"""How long a purge waits for a run whose points are being packed, which takes some ten milliseconds."""


class Deletion:
    """The part of a store that deletes runs."""

    _database: "Database"

    def delete_run(self, run_id: str) -> None:
        """Hide a run: it is in no list and cannot be read, until ``restore_run`` or a further attempt at it.

        Raises:
            RunNotFoundError: there is no such run.
            InvalidRunStateError: it is running.
        """
        with self._database.writing() as connection:
            pk, status, deleted_at = _found(connection, run_id)
            if deleted_at is not None:
                raise no_run(run_id)
            if status == "running":
                raise InvalidRunStateError(f"run {public_id(run_id)} is running; stop it before it is deleted")
            connection.execute("UPDATE runs SET deleted_at = ? WHERE pk = ?", (time.time_ns(), pk))

    def restore_run(self, run_id: str) -> None:
        """Show a deleted run again; one that is not deleted stays as it is.

        Raises:
            RunNotFoundError: there is no such run, or it was purged.
        """
        with self._database.writing() as connection:
            pk, _, _ = _found(connection, run_id)
            connection.execute("UPDATE runs SET deleted_at = NULL WHERE pk = ?", (pk,))

    def purge(self, older_than_s: float) -> list[str]:
        """Remove for good what was deleted that long ago; the ids of those runs. Each run is a transaction.

        Raises:
            SchemaValidationError: a time below 0.
        """
        if not 0 <= older_than_s < 1e10:
            raise SchemaValidationError(f"older_than_s must be between 0 and 1e10 seconds, got {older_than_s!r}")
        before = time.time_ns() - int(older_than_s * 1e9)
        purged = []
        with self._database.snapshot() as connection:
            query = "SELECT id FROM runs WHERE deleted_at <= ? ORDER BY pk"
            due = [run_id for (run_id,) in connection.execute(query, (before,)).fetchall()]
        for run_id in due:
            end = time.monotonic() + PACKING_S
            while (done := self._purge(run_id, before)) is None:
                if time.monotonic() > end:
                    raise SessionStoreError(
                        f"the points of run {public_id(run_id)} are being packed; purge again", code="busy"
                    )
                time.sleep(0.05)
            if done:
                purged.append(run_id)
        return purged

    def _purge(self, run_id: str, before: int) -> bool | None:
        """Whether a run was removed; None: another process packs its points just now."""
        with self._database.writing() as connection:
            pk = connection.lock_run(run_id)
            check = "SELECT 1 FROM runs WHERE pk = ? AND deleted_at <= ?"
            if pk is None or connection.execute(check, (pk, before)).fetchone() is None:
                return False  # somebody purged or restored it
            if not connection.claim_packing(pk):
                return None
            for statement in _PURGES:
                connection.execute(statement, (pk,))
        return True


def _found(connection: "Connection", run_id: str) -> tuple[int, str, int | None]:
    row = connection.execute("SELECT pk, status, deleted_at FROM runs WHERE id = ?", (run_id,)).fetchone()
    if row is None:
        raise no_run(run_id)
    return row
