"""The part of a store that answers small questions about a run."""

from typing import TYPE_CHECKING

from .ids import no_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa

    from ..core.reader import Series
    from .database import Database
    from .stretches import Place


class Summaries:
    """The part of a store that says what a run has, in short."""

    _database: "Database"

    def keys(self, run_id: str) -> list[str]:
        """The metric keys of a run, sorted."""
        from .overview import read_keys

        with self._database.reading() as connection:
            return read_keys(connection, self._number(connection, run_id))

    def names(self, run_id: str) -> dict[str, dict[str, str]]:
        """The names that the run recorded, by what they are of (metric, artifact, event) and by key."""
        from .overview import read_names

        with self._database.reading() as connection:
            return read_names(connection, self._number(connection, run_id))

    def latest(self, run_id: str) -> dict[str, tuple[int | None, float]]:
        """The last step and value of every metric key, as they arrived."""
        from .overview import read_latest

        with self._database.reading() as connection:
            return read_latest(connection, self._number(connection, run_id))

    def count(self, run_id: str) -> dict[str, int]:
        """The number of records of every kind that the run has."""
        from .overview import read_counts

        with self._database.reading() as connection:
            return read_counts(connection, self._number(connection, run_id))

    def size(self, run_id: str, key: str | None = None) -> int:
        """How many points are looked at at most to read a metric key; without one, those of all that are not packed."""
        from .overview import read_size

        with self._database.reading() as connection:
            return read_size(connection, self._number(connection, run_id), key)

    def sizes(self, run_id: str, keys: "Sequence[str]") -> tuple[int, int]:
        """How many points of a run are not packed yet, and how many are packed of the longest of some metrics."""
        from .overview import read_sizes

        with self._database.reading() as connection:
            return read_sizes(connection, self._number(connection, run_id), keys)

    def stretch(
        self, run_id: str, key: str, *, limit: int, all_attempts: bool = False, after: "Place | None" = None
    ) -> "tuple[Series, Place | None]":
        """Up to ``limit`` points of a series behind a place, and the place to go on from; None at the end.

        Only so many points are held at once, and one chunk of the store.

        Raises:
            SessionStoreError: status 409, the point at ``after`` is not there any more.
        """
        from .stretches import read_stretch

        with self._database.reading() as connection:
            number = self._number(connection, run_id)
            return read_stretch(connection, number, key, all_attempts=all_attempts, limit=limit, after=after)

    def _number(self, connection: "sa.Connection", run_id: str) -> int:
        from .arrays import run_number

        number = run_number(connection, run_id)
        if number is None:
            raise no_run(run_id)
        return number
