"""The orders in which records are read, and the cursors that continue behind a record in each of them."""

from typing import Any

import sqlalchemy as sa

from ..core.choice import RECORD_SORT_FIELDS
from ..errors import SchemaValidationError
from .schema import records

_NUMBER_BITS = 63
_VALUE_BITS = 64
_ZERO = 1 << (_VALUE_BITS - 1)
_COLUMNS = {"arrival": records.c.pk, "timestamp": records.c.time_ns, "step": records.c.step, "epoch": records.c.epoch}
_ABSENT = -1
"""Stands in a cursor for the step or epoch that a record does not have: all others are larger."""


class RecordOrder:
    """An order of the rows of ``records``; records that are equal in it follow in the order of arrival.

    A cursor holds which order it belongs to, the value that is sorted by, and the number of the row. One of ``arrival``
    is the number of the row alone.
    """

    def __init__(self, sort: str) -> None:
        field, self._descending = sort.removeprefix("-"), sort.startswith("-")
        self._column: Any = _COLUMNS[field]
        self._code = 2 * RECORD_SORT_FIELDS.index(field) + self._descending

    def columns(self) -> list[Any]:
        """What a query is ordered by; an absent step or epoch is before all others, and last in descending order."""
        if self._descending:
            ordered = [self._column.desc().nulls_last(), records.c.pk.desc()]
        else:
            ordered = [self._column.asc().nulls_first(), records.c.pk.asc()]
        return ordered[1:] if self._column is records.c.pk else ordered

    def cursor(self, row: Any) -> int:
        """The cursor behind a row that holds ``pk`` and the column that is sorted by."""
        if self._column is records.c.pk:
            return self._code << (_VALUE_BITS + _NUMBER_BITS) | row.pk
        value = getattr(row, self._column.name)
        place = (_ABSENT if value is None else value) + _ZERO
        return ((self._code << _VALUE_BITS) | place) << _NUMBER_BITS | row.pk

    def behind(self, cursor: int) -> Any:
        """The condition that a row comes behind a cursor.

        Raises:
            SchemaValidationError: it is the cursor of another order.
        """
        head, pk = divmod(cursor, 1 << _NUMBER_BITS)
        code, place = divmod(head, 1 << _VALUE_BITS)
        if code != self._code or (self._column is records.c.pk and place):
            raise SchemaValidationError("after is no cursor of this list; keep `sort` from page to page")
        number = records.c.pk < pk if self._descending else records.c.pk > pk
        if self._column is records.c.pk:
            return number
        value = place - _ZERO
        if value == _ABSENT and self._column.nullable:
            same = sa.and_(self._column.is_(None), number)
            return same if self._descending else sa.or_(same, self._column.is_not(None))
        pair = sa.tuple_(self._column, records.c.pk)
        bound = sa.tuple_(sa.literal(value, sa.BigInteger), sa.literal(pk, sa.BigInteger))
        if not self._descending:
            return pair > bound
        return sa.or_(pair < bound, self._column.is_(None)) if self._column.nullable else pair < bound
