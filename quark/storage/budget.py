"""How much one page of an answer may hold, for those who serve strangers."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class PageBudget:
    """A page ends before the row with which it would pass ``size``, but holds at least one.

    Attributes:
        size: bytes of JSON text.
        take: called with each text before it is decoded; what it raises ends the reading.
        look: the same for a text whose content is let go of at once.
    """

    size: int
    take: Callable[[str], None]
    look: Callable[[str], None] = lambda text: None


def bytes_of(connection: sa.Connection, column: Any) -> Any:
    """The length of a text; of a large one PostgreSQL knows the bytes without reading it."""
    return sa.func.octet_length(column) if connection.dialect.name == "postgresql" else sa.func.length(column)


def groups(rows: Iterable[Any], size: int | None) -> Iterator[list[Any]]:
    """Rows in groups whose ``size`` columns add up to ``size`` at most, or of a single larger row."""
    group: list[Any] = []
    held = 0
    for row in rows:
        if group and size is not None and held + row.size > size:
            yield group
            group, held = [], 0
        group.append(row)
        held += row.size
    if group:
        yield group
