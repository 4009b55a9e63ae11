"""Conditions that several queries share."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import Grouping

from .ids import MARK
from .schema import runs


def any_of(conditions: Iterable[Any]) -> Any:
    """Whether any of the conditions holds; of none, false.

    SQLite refuses expressions that are nested more than 1,000 deep, which a chain of alternatives is: so they are
    grouped as a balanced tree. SQLAlchemy would flatten one of ``or_``, and would drop the joins beside a bare false.
    """
    level = [Grouping(condition) for condition in conditions] or [Grouping(sa.false())]
    while len(level) > 1:
        pairs = [level[start : start + 2] for start in range(0, len(level), 2)]
        level = [Grouping(one[0].op("OR", is_comparison=True)(one[1])) if len(one) == 2 else one[0] for one in pairs]
    return level[0]


def has_run_id(run_id: str) -> Any:
    """Whether a row is the run that its clients know by this id; answered by the index of the ids.

    Behind the mark stands the id of a project. No id holds the mark, so all rows from it to the next letter are meant.
    """
    beyond = f"{run_id}{chr(ord(MARK) + 1)}"
    return sa.or_(runs.c.id == run_id, sa.and_(runs.c.id > f"{run_id}{MARK}", runs.c.id < beyond))
