"""Reads records of every kind but metrics: pages in the order of arrival, each with a cursor to go on from."""

import logging
import math
from collections.abc import Callable
from typing import Any

import msgspec
import sqlalchemy as sa

from ..core.reader import RecordFilter
from ..errors import SchemaValidationError
from ..records.base import Origin, Record, body_names
from ..records.grammar import shown
from ..records.kinds import KINDS
from ..records.line import encode, record_of_body
from .bodies import BODIES
from .budget import PageBudget, bytes_of, groups
from .conditions import any_of
from .ordering import RecordOrder
from .schema import records, writers

_LISTS = (tuple, list, set, frozenset)
logger = logging.getLogger("quark")

ENVELOPE = ("id", "sequence", "writer_id", "rank", "attempt")
"""Fields of every record that ``where`` takes beside those of its kind."""


def read_rows(
    connection: sa.Connection, run_id: str, run_pk: int, kind: str, wanted: RecordFilter, limit: int,
    budget: PageBudget | None = None,
) -> tuple[list[Record], int | None]:  # fmt: skip
    """The first ``limit`` records behind the filter's cursor, and the cursor behind them; None if there are no more."""
    query = (
        sa.select(
            records.c.pk, records.c.sequence, records.c.time_ns, records.c.step, records.c.epoch, records.c.body,
            writers.c.id, writers.c.rank, writers.c.attempt,
        )
        .join(writers, writers.c.pk == records.c.writer_pk)
        .where(records.c.run_pk == run_pk, records.c.kind == kind)
    )  # fmt: skip
    for name, value in wanted.where.items():
        query = query.where(_condition(BODIES[connection.dialect.name], kind, name, value))
    return page_of(connection, query, wanted, limit, budget, lambda row: record_of(run_id, kind, row))


def page_of(
    connection: sa.Connection, query: Any, wanted: RecordFilter, limit: int, budget: PageBudget | None,
    make: Callable[[Any], Record | None],
) -> tuple[list[Record], int | None]:  # fmt: skip
    """The first ``limit`` records of a query within the filter's bounds, in its order; and the cursor behind them."""
    order = RecordOrder(wanted.sort)
    query = _bounded(query, wanted).order_by(*order.columns()).offset(wanted.offset)
    if wanted.after is not None:
        query = query.where(order.behind(wanted.after))
    if budget is not None:
        sizes = query.with_only_columns(records.c.pk, bytes_of(connection, records.c.body).label("size"))
        first = next(groups(connection.execute(sizes.limit(limit)), budget.size), [])
        limit = max(len(first), 1)
    rows = connection.execute(query.limit(limit + 1)).all()
    if budget is not None:
        for row in rows[:limit]:
            budget.take(row.body)
    found = [record for row in rows[:limit] if (record := make(row)) is not None]
    return found, order.cursor(rows[limit - 1]) if len(rows) > limit else None


def _bounded(query: Any, wanted: RecordFilter) -> Any:
    first, last = wanted.times_ns
    for column, exact, low, high in (
        (records.c.step, wanted.step, wanted.step_min, wanted.step_max),
        (records.c.epoch, wanted.epoch, wanted.epoch_min, wanted.epoch_max),
        (records.c.time_ns, None, first, last),
    ):
        if exact is not None:
            query = query.where(column.in_(exact) if isinstance(exact, tuple) else column == exact)
        if low is not None:
            query = query.where(column >= low)
        if high is not None:
            query = query.where(column <= high)
    return query


def _condition(bodies: Any, kind: str, name: str, value: Any) -> Any:
    cls = KINDS[kind]
    if name in cls.members:
        return _among(value, lambda one: bodies.field_holds(cls.members[name], one))
    if name == "id":
        return _among(value, lambda one: has_id(one) if isinstance(one, str) else sa.false())
    if name in ENVELOPE:
        column: Any = {
            "sequence": records.c.sequence, "writer_id": writers.c.id, "rank": writers.c.rank,
            "attempt": writers.c.attempt,
        }[name]  # fmt: skip
        if name != "writer_id":
            return _among(value, lambda one: _is_number(column, one))
    elif name == cls.label_field:
        column = records.c.label
    elif name in body_names(cls):
        return _among(value, lambda one: bodies.field_is(name, one))
    else:
        known = ", ".join([*body_names(cls), *ENVELOPE])
        raise SchemaValidationError(
            f"records of the kind {kind!r} have no field {name!r} to filter by; use one of {known}"
        )
    return _among(value, lambda one: _is_text(column, one))


def _among(value: Any, condition: Any) -> Any:
    """Equality, or membership for a tuple of values; a value that cannot be stored is one that no record has.

    Raises:
        SchemaValidationError: a list within the list: no field can be compared with one.
    """
    values = value if isinstance(value, _LISTS) else (value,)
    for one in values:
        if isinstance(one, _LISTS):
            raise SchemaValidationError(f"where compares with single values, or any of a list, got {shown(value)}")
    return any_of(condition(one) for one in values if _storable(one))


def _storable(value: Any) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return -(2**63) <= value < 2**63
    if isinstance(value, float) and not math.isfinite(value):  # JSON has none
        return False
    try:
        encode(value)
    except (UnicodeEncodeError, OverflowError, RecursionError, ValueError, TypeError):
        return False
    return True


def _is_number(column: Any, value: Any) -> Any:
    """Equality with a whole number, 1.0 being 1; any other value is no fault, and no record has it."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        value = int(value)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return sa.type_coerce(column, sa.BigInteger) == value if is_number else sa.false()


def _is_text(column: Any, value: Any) -> Any:
    """Equality with a text, or that there is none; any other value is no fault, and no record has it."""
    if value is None:
        return column.is_(None)
    return column == value if isinstance(value, str) else sa.false()


def has_id(record_id: str) -> Any:
    """Whether a row is the record of this id."""
    writer, _, number = record_id.rpartition("-")
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        return sa.false()
    return sa.and_(writers.c.id == writer, records.c.sequence == int(number))


def record_of(run_id: str, kind: str, row: Any) -> Record | None:
    """The record of a row; None, with a warning, if it is damaged."""
    origin = Origin(run_id, row.id, row.rank, row.attempt)
    try:
        return record_of_body(kind, row.body, origin, row.sequence, row.time_ns, row.step, row.epoch)
    except (ValueError, TypeError, OverflowError, msgspec.MsgspecError) as error:
        # One damaged record must not hide the others; it stays in the store as it came.
        logger.warning("quark: record %s-%d of run %s cannot be read: %s", row.id, row.sequence, run_id, error)
        return None
