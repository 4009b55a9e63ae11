"""A table of runs: those that a query finds, with the values of columns, sorted by any of them, page after page."""

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from ..core.query import Column, parse_column, parse_query
from ..errors import SchemaValidationError, WrongTypeError
from ..records.base import format_timestamp
from ..records.ready import ready
from .budget import PageBudget
from .ids import public_id
from .lifecycle import UNKNOWN
from .runs import shown_runs, tags_of
from .schema import projects, runs, series
from .search import ColumnValues, conditions, order_of

MAX_COLUMNS = 100
MAX_VALUE = 4096
"""Characters of a setting; a longer one is cut, and says so by its end."""


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run of the table. ``columns`` has a value for each column that was asked for, None where the run has none.

    ``steps`` has the step of each last, least or greatest value of a metric that has one. Times are RFC 3339 text.
    """

    id: str
    name: str | None
    project: str
    status: str
    reason: str | None
    created_at: str
    ended_at: str | None
    updated_at: str
    parent_run_id: str | None
    tags: tuple[str, ...]
    columns: dict[str, Any]
    steps: dict[str, int]


@dataclass(frozen=True, slots=True)
class RunTable:
    """A page of the table; ``next`` is the cursor behind it, None at the end."""

    runs: list[ListedRun]
    next: str | None


def read_table(
    connection: sa.Connection, query: str = "", *, columns: Collection[str] = (), sort: str = "-started_at",
    limit: int = 100, after: str | None = None, projects_only: Collection[str] | None = None,
    budget: PageBudget | None = None,
) -> RunTable:  # fmt: skip
    """A page of the runs that a query finds; those without a value to sort by come last.

    Raises:
        WrongTypeError, SchemaValidationError: a query, column, sort or cursor that cannot be used.
    """
    wanted = _columns(columns)
    if not isinstance(sort, str):
        raise WrongTypeError("sort must be the text of a column, with - before it for descending")
    order = _Order(sort, connection.dialect.name)
    base = sa.select(runs.c.pk, *order.columns).where(
        shown_runs, *order.joins, *conditions(parse_query(query), connection.dialect.name)
    )
    if projects_only is not None:
        base = base.where(projects.c.name.in_(projects_only), projects.c.id != UNKNOWN)
    if after is not None:
        base = base.where(order.behind(after))
    keys = connection.execute(base.order_by(*order.by).limit(limit + 1)).all()
    rows = _rows(connection, [key.pk for key in keys[:limit]], wanted)
    shown = rows if budget is None else rows[: _fitting(rows, budget)]
    following = order.cursor(keys[len(shown) - 1]) if shown and len(shown) < len(keys) else None
    return RunTable(_built(connection, shown, wanted), following)


def _rows(connection: sa.Connection, numbers: list[int], columns: Sequence[Column]) -> list[Any]:
    """What is shown of runs, in the order of their numbers; settings are looked at only here, of a page."""
    query = sa.select(
        runs.c.pk, runs.c.id, runs.c.name, projects.c.name.label("project"), runs.c.status, runs.c.reason,
        runs.c.started_at, runs.c.ended_at, runs.c.updated_at, runs.c.parent_run_id,
        *_settings(columns, connection.dialect.name),
    ).where(shown_runs, runs.c.pk.in_(numbers))  # fmt: skip
    found = {row.pk: row for row in connection.execute(query)}
    return [found[number] for number in numbers]


def _columns(texts: Collection[str]) -> list[Column]:
    if isinstance(texts, str) or len(texts) > MAX_COLUMNS:
        raise SchemaValidationError(f"columns is a list of at most {MAX_COLUMNS} columns such as min:val/loss")
    return [parse_column(text) for text in dict.fromkeys(texts)]


class _Order:
    """The order by a column. Numbers come before text, and runs without a value last, also in descending order.

    Attributes:
        columns: what a row has to hold for ``cursor``.
        joins: conditions that a query with these columns needs.
    """

    def __init__(self, sort: str, dialect: str) -> None:
        self._sort = sort
        self._descending = sort.startswith("-")
        *self._parts, self.joins = order_of(parse_column(sort.removeprefix("-")), dialect)
        self.columns = [part.label(f"sort_{place}") for place, part in enumerate(self._parts)]

    @property
    def by(self) -> list[Any]:
        """What a query is ordered by."""
        rank, *rest = self.columns
        turned = sa.desc if self._descending else sa.asc
        return [rank, *(turned(part) for part in (*rest, runs.c.pk))]

    def cursor(self, row: Any) -> str:
        """The cursor behind a row."""
        held = [self._sort, row.sort_0, row.sort_1, row.sort_2, row.pk]
        return base64.urlsafe_b64encode(msgspec.json.encode(held)).decode()

    def behind(self, cursor: str) -> Any:
        """The condition that a row comes behind a cursor.

        Raises:
            SchemaValidationError: it is the cursor of another order, or none.
        """
        try:
            sort, rank, number, text, pk = msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=ready(_Cursor))
        except (ValueError, TypeError, msgspec.MsgspecError) as error:
            raise SchemaValidationError(
                f"cursor {cursor[:80]!r} cannot be read; pass the `next` of the page before"
            ) from error
        if sort != self._sort or not all(-(2**63) <= n < 2**63 for n in (number, pk) if isinstance(n, int)):
            raise SchemaValidationError("cursor is that of a list in another order; keep `sort` from page to page")
        column_rank, *columns = self._parts
        here = sa.tuple_(*columns, runs.c.pk)
        there = sa.tuple_(
            sa.literal(number, sa.BigInteger if isinstance(number, int) else sa.Double), sa.literal(text, sa.Text),
            sa.literal(pk, sa.BigInteger),
        )  # fmt: skip
        beyond = here < there if self._descending else here > there
        return sa.or_(column_rank > rank, sa.and_(column_rank == rank, beyond))


_Cursor = tuple[str, int, int | float, str, int]


def _settings(columns: Sequence[Column], dialect: str) -> list[Any]:
    """The settings of columns as JSON text, cut where they are long."""
    return [
        sa.func.substr(ColumnValues(column, dialect).json, 1, MAX_VALUE + 1).label(f"setting_{place}")
        for place, column in enumerate(columns)
        if column.setting is not None
    ]


def _fitting(rows: Sequence[Any], budget: PageBudget) -> int:
    """How many rows a page may hold: at least one."""
    left = budget.size
    for place, row in enumerate(rows):
        size = 300 + sum(len(value) for value in row if isinstance(value, str))
        if place and size > left:
            return place
        left -= size
        budget.take("x" * size)
    return len(rows)


def _built(connection: sa.Connection, rows: Sequence[Any], columns: Sequence[Column]) -> list[ListedRun]:
    numbers = [row.pk for row in rows]
    tags = tags_of(connection, numbers)
    metrics = _metrics(connection, numbers, sorted({column.metric for column in columns if column.metric is not None}))
    made = []
    for row in rows:
        values: dict[str, Any] = {}
        steps: dict[str, int] = {}
        for place, column in enumerate(columns):
            value, step = _cell(row, place, column, metrics)
            values[column.text] = value
            if step is not None:
                steps[column.text] = step
        made.append(ListedRun(
            public_id(row.id), row.name, row.project, row.status, row.reason, format_timestamp(row.started_at),
            None if row.ended_at is None else format_timestamp(row.ended_at), format_timestamp(row.updated_at),
            row.parent_run_id, tuple(tags[row.pk]), values, steps,
        ))  # fmt: skip
    return made


def _cell(row: Any, place: int, column: Column, metrics: Mapping[tuple[int, str], Any]) -> tuple[Any, int | None]:
    if column.field is not None:
        value = getattr(row, column.field)
        if column.field == "id":
            return public_id(value), None
        return format_timestamp(value) if isinstance(value, int) else value, None
    if column.setting is not None:
        text = getattr(row, f"setting_{place}")
        if text is not None:
            return _setting(text), None
    found = metrics.get((row.pk, column.metric or ""))
    if found is None:
        return None, None
    return getattr(found, f"{column.reduction}_value"), getattr(found, f"{column.reduction}_step")


def _setting(text: str) -> Any:
    if len(text) > MAX_VALUE:
        return text[:MAX_VALUE] + "..."
    value = msgspec.json.decode(text)
    # SQLite reads a whole number beyond 64 bits as a real one.
    return float(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


def _metrics(connection: sa.Connection, numbers: list[int], keys: list[str]) -> dict[tuple[int, str], Any]:
    """The extremes of metrics, by the numbers of runs and the keys."""
    found: dict[tuple[int, str], Any] = {}
    for start in range(0, len(numbers) if keys else 0, _AT_ONCE):
        some = numbers[start : start + _AT_ONCE]
        query = sa.select(series).where(series.c.run_pk.in_(some), series.c.key.in_(keys))
        found.update({(row.run_pk, row.key): row for row in connection.execute(query)})
    return found


_AT_ONCE = 500
