"""Alternatives in a query, however many they are."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import Grouping


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
