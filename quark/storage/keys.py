"""The row numbers of a run's metric keys, found or made while a batch is stored."""

from collections.abc import Iterable, Iterator

from ..records.line import WIDE, Line
from .database import Connection

FEW_KEYS = 64
"""New keys that are asked for by name; for more of them the whole list of a run's keys is as quick."""


class SeriesNumbers(dict[str, int]):
    """The row numbers of a run's series by key, in one transaction; a new key gets its row when it is asked for.

    Attributes:
        new: what was not known before; others may know it once the transaction is committed.
    """

    __slots__ = ("_connection", "_known", "_lines", "_run_pk", "new")

    def __init__(self, connection: Connection, run_pk: int, known: dict[str, int]) -> None:
        super().__init__()
        self._connection = connection
        self._run_pk = run_pk
        self._known = known
        self._lines: list[Line] = []
        self.new: dict[str, int] = {}

    def expect(self, lines: list[Line]) -> None:
        """The first key that is new brings those of all these lines with it, in one go."""
        self._lines = lines

    def __missing__(self, key: str) -> int:
        number = self._known.get(key)
        if number is None:
            if not isinstance(key, str):
                raise TypeError("a metric line must have a key")
            lines, self._lines = self._lines, []
            self._add(dict.fromkeys([*_keys(lines), key]))
            number = self.new[key]
        self[key] = number
        return number

    def _add(self, keys: Iterable[str]) -> None:
        """Find or make the rows of keys, in their order; another process may have made any of them."""
        missing = [key for key in keys if key not in self._known]
        query, arguments = "SELECT key, pk FROM series WHERE run_pk = ?", (self._run_pk,)
        if len(missing) <= FEW_KEYS:
            query, arguments = f"{query} AND key IN ({', '.join('?' * len(missing))})", (self._run_pk, *missing)
        found = dict(self._connection.execute(query, arguments).fetchall())
        new = [key for key in missing if key not in found]
        if new:
            self._connection.insert("series", "run_pk, key, count", [(self._run_pk, key, 0) for key in new])
            found = dict(self._connection.execute(query, arguments).fetchall())
        self.new.update(found)


def _keys(lines: list[Line]) -> Iterator[str]:
    for line in lines:
        if line.kind == WIDE:
            yield from line.values or ()
        elif isinstance(line.metric_key, str):
            yield line.metric_key
