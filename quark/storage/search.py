"""The terms of a query, and the columns of a list of runs, as conditions and values of SQL."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from ..core.query import Column, Comparison, Term, Words, parse_column
from .conditions import any_of, has_run_id
from .schema import projects, run_tags, runs, series
from .settings import SETTINGS

_OPERATORS: dict[str, Any] = {
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
    "=": lambda a, b: a == b, "!=": lambda a, b: a == b,
}  # fmt: skip
_LOWER = {number: number + 32 for number in range(ord("A"), ord("Z") + 1)}
_FIELDS: dict[str, Any] = {
    "id": runs.c.id, "name": runs.c.name, "project": projects.c.name, "status": runs.c.status,
    "reason": runs.c.reason, "started_at": runs.c.started_at, "updated_at": runs.c.updated_at,
    "ended_at": runs.c.ended_at,
}  # fmt: skip


def conditions(terms: Iterable[Term], dialect: str) -> list[Any]:
    """A condition for each term, on the tables ``runs`` and ``projects``."""
    return [_condition(term, dialect) for term in terms]


def _condition(term: Term, dialect: str) -> Any:
    made = _words(term, dialect) if isinstance(term, Words) else _compared(term, dialect)
    made = sa.func.coalesce(made, sa.false())  # what a run does not have is not equal to anything
    return sa.not_(made) if term.negated else made


def _words(term: Words, dialect: str) -> Any:
    if term.field in ("status", "project", "name"):
        return _FIELDS[term.field].in_(term.any_of)
    if term.field == "tag":
        return sa.exists().where(run_tags.c.run_pk == runs.c.pk, run_tags.c.tag.in_(term.any_of))
    if term.field == "id":
        return any_of(sa.func.substr(runs.c.id, 1, len(text)) == text for text in term.any_of)
    if term.field == "has":
        return any_of(_is_there(parse_column(text), dialect) for text in term.any_of)
    texts = (runs.c.id, runs.c.name, projects.c.name)
    return any_of(
        condition
        for text in term.any_of
        for condition in (
            *(_holds(column, text) for column in texts),
            sa.exists().where(run_tags.c.run_pk == runs.c.pk, _holds(run_tags.c.tag, text)),
        )
    )


def _holds(column: Any, text: str) -> Any:
    """Whether a column holds text, without regard to the case of ASCII letters."""
    return sa.func.lower(column).contains(text.translate(_LOWER), autoescape=True)


def _compared(term: Comparison, dialect: str) -> Any:
    column, value = term.column, term.value
    same = _OPERATORS[term.operator]
    values = ColumnValues(column, dialect)
    if column.field == "id" and term.operator in ("=", "!="):
        made = has_run_id(str(value))
    elif column.field is not None:
        made = same(_FIELDS[column.field], value)
    elif isinstance(value, bool):
        made = values.truth == int(value)
    elif value is None:
        made = values.is_null
    elif isinstance(value, str):
        made = same(values.text, value)
    else:
        made = same(values.number, value)
    return sa.not_(sa.func.coalesce(made, sa.false())) if term.operator == "!=" else made


def _is_there(column: Column, dialect: str) -> Any:
    if column.field is not None:
        return _FIELDS[column.field].is_not(None)
    metric = ColumnValues(column, dialect).metric
    there = [] if metric is None else [metric.is_not(None)]
    if column.setting is not None:
        there.append(SETTINGS[dialect](column.setting).json.is_not(None))
    return sa.or_(*there)


class ColumnValues:
    """What a column is for every run, as SQL; each is null where a run has no such value.

    Attributes:
        metric: the number that a metric is reduced to; None for a column without a metric.
        joins: conditions that a query with these values needs; none unless ``joined``.
    """

    def __init__(self, column: Column, dialect: str, *, joined: bool = False) -> None:
        self._setting = None if column.setting is None else SETTINGS[dialect](column.setting, joined=joined)
        self.joins: list[Any] = [] if self._setting is None else self._setting.joins
        self.metric: Any = None
        if column.metric is not None:
            self.metric = (
                sa.select(series.c[f"{column.reduction}_value"])
                .where(series.c.run_pk == runs.c.pk, series.c.key == column.metric)
                .scalar_subquery()
            )

    @property
    def number(self) -> Any:
        """The value if it is a number."""
        if self._setting is None:
            return self.metric if self.metric is not None else sa.null()
        # The last value of a metric stands in for a setting only where the run has no setting of this name.
        return self._setting.number if self.metric is None else sa.func.coalesce(self._setting.number, self.metric)

    @property
    def text(self) -> Any:
        """The value if it is text, compared byte by byte."""
        return sa.cast(sa.null(), sa.Text) if self._setting is None else self._setting.text

    @property
    def truth(self) -> Any:
        """1 for true, 0 for false."""
        return sa.null() if self._setting is None else self._setting.truth

    @property
    def is_null(self) -> Any:
        """Whether the value is there, and null."""
        return sa.false() if self._setting is None else self._setting.is_null

    @property
    def json(self) -> Any:
        """The setting as JSON text."""
        return sa.cast(sa.null(), sa.Text) if self._setting is None else self._setting.json


def order_of(column: Column, dialect: str) -> tuple[Any, Any, Any, list[Any]]:
    """What runs are sorted by for a column: 0 for numbers, 1 for text, 2 for none; the number; the text; joins."""
    if column.field is not None:
        value = _FIELDS[column.field]
        if isinstance(value.type, sa.Text):
            return sa.case((value.is_(None), 2), else_=1), sa.literal(0, sa.BigInteger), sa.func.coalesce(value, ""), []
        return (
            sa.case((value.is_(None), 2), else_=0), sa.func.coalesce(value, 0), sa.literal("", sa.Text), [],
        )  # fmt: skip
    values = ColumnValues(column, dialect, joined=True)
    number, text = values.number, values.text
    if column.setting is None:
        return sa.case((number.is_(None), 2), else_=0), sa.func.coalesce(number, 0.0), sa.literal("", sa.Text), []
    number = sa.func.coalesce(number, sa.cast(values.truth, sa.Double))
    rank = sa.case((number.is_not(None), 0), (text.is_not(None), 1), else_=2)
    return rank, sa.func.coalesce(number, 0.0), sa.func.coalesce(text, ""), values.joins
