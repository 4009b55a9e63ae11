"""Finds values of runs' configurations, which are JSON text, in the words of each database."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import sqlalchemy as sa

from .schema import runs

MAX_WAYS = 8
"""Readings of a dotted path that are tried: a key of a configuration may hold dots itself."""

_config = sa.func.replace(runs.c.config, r"\u0000", r"\uf8ff")  # neither database finds a NUL in JSON


def ways(path: str) -> list[tuple[str, ...]]:
    """The keys that a dotted path may stand for, the whole path as one key first."""
    parts = path.split(".")
    found: list[tuple[str, ...]] = []
    for size in range(len(parts)):
        for cuts in combinations(range(1, len(parts)), size):
            if len(found) == MAX_WAYS - 1 and size < len(parts) - 1:
                continue
            found.append(tuple(".".join(piece) for piece in _cut(parts, cuts)))
    return found


def _cut(parts: list[str], cuts: tuple[int, ...]) -> Iterator[list[str]]:
    for start, stop in zip((0, *cuts), (*cuts, len(parts)), strict=True):
        yield parts[start:stop]


class SqliteSetting:
    """A value of the configuration; SQLite reads true as 1, so the types are asked for as well."""

    def __init__(self, path: str, *, joined: bool = False) -> None:
        self.joins: list[Any] = []
        self._paths = ["$" + "".join(f'."{key}"' for key in keys) for keys in ways(path)]

    @property
    def number(self) -> Any:
        """The value if it is a number."""
        return self._first(("integer", "real"), lambda value: sa.cast(value, sa.Double))

    @property
    def text(self) -> Any:
        """The value if it is text."""
        return self._first(("text",), lambda value: value)

    @property
    def truth(self) -> Any:
        """1 for true, 0 for false."""
        return self._first(("true", "false"), lambda value: value)

    @property
    def is_null(self) -> Any:
        """Whether the value is there, and null."""
        return sa.or_(*(sa.func.json_type(_config, path).is_not_distinct_from("null") for path in self._paths))

    @property
    def json(self) -> Any:
        """The value as JSON text."""
        cases = [
            (
                sa.func.json_type(_config, path).in_(("true", "false", "null")),
                sa.func.json_type(_config, path),
            )
            for path in self._paths
        ]
        values = [sa.func.json_quote(sa.func.json_extract(_config, path)) for path in self._paths]
        found = [sa.func.json_type(_config, path).is_not(None) for path in self._paths]
        pairs = [
            pair for case, value, there in zip(cases, values, found, strict=True) for pair in (case, (there, value))
        ]
        return sa.case(*pairs)

    def _first(self, types: tuple[str, ...], reading: Any) -> Any:
        return sa.case(*(
            (sa.func.json_type(_config, path).in_(types), reading(sa.func.json_extract(_config, path)))
            for path in self._paths
        ))  # fmt: skip


class PostgresSetting:
    """A value of the configuration.

    Args:
        path: where it is.
        joined: whether the query adds ``joins`` to its conditions; then each configuration is parsed once.
    """

    def __init__(self, path: str, *, joined: bool = False) -> None:
        from sqlalchemy.dialects.postgresql import JSONB

        held = sa.cast(_config, JSONB)
        found = [sa.func.jsonb_extract_path(held, *keys) for keys in ways(path)]
        self._found = sa.func.coalesce(*found) if len(found) > 1 else found[0]
        self.joins: list[Any] = []
        self._value = sa.type_coerce(self._found, JSONB)
        if joined:  # the offset keeps the server from writing the value out wherever it is used
            held = sa.select(runs.c.pk, self._found.label("value")).offset(0).subquery()
            self.joins.append(held.c.pk == runs.c.pk)
            self._value = sa.type_coerce(held.c.value, JSONB)
        self._type = sa.func.jsonb_typeof(self._value)

    @property
    def number(self) -> Any:
        """The value if it is a number that a double holds."""
        number = sa.cast(self._value, sa.Numeric)
        double = sa.case((sa.func.abs(number) < sa.literal(10**308, sa.Numeric), sa.cast(number, sa.Double)))
        return sa.case((self._type == "number", double))

    @property
    def text(self) -> Any:
        """The value if it is text."""
        text = self._value.op("#>>")(sa.literal_column("'{}'::text[]"))
        return sa.collate(sa.case((self._type == "string", sa.type_coerce(text, sa.Text))), "C")

    @property
    def truth(self) -> Any:
        """1 for true, 0 for false."""
        return sa.case((self._type == "boolean", sa.cast(sa.cast(self._value, sa.Boolean), sa.Integer)))

    @property
    def is_null(self) -> Any:
        """Whether the value is there, and null."""
        return sa.func.coalesce(self._type == "null", sa.false())

    @property
    def json(self) -> Any:
        """The value as JSON text."""
        return sa.cast(self._found, sa.Text)


SETTINGS: dict[str, Any] = {"sqlite": SqliteSetting, "postgresql": PostgresSetting}
"""By the name of SQLAlchemy's dialect."""
