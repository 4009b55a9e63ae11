"""Makes runs and projects of their rows."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec
import sqlalchemy as sa

from ..core.choice import RUN_FIELDS
from ..records.base import format_timestamp
from ..records.run import ProjectRecord, RunRecord
from .budget import PageBudget
from .ids import no_run, public_id
from .lifecycle import UNKNOWN
from .schema import projects, run_tags, runs

_BATCH = 200

PURGED = 2**63 - 1
"""What stands in ``deleted_at`` of a run whose records are gone."""

shown_runs = sa.and_(projects.c.id == runs.c.project_id, runs.c.deleted_at.is_(None))
deleted_runs = sa.and_(projects.c.id == runs.c.project_id, runs.c.deleted_at.is_not(None), runs.c.deleted_at < PURGED)
_PROJECT_NAME = projects.c.name.label("project_name")
_TEXTS = tuple(column for column in (*runs.c, _PROJECT_NAME) if isinstance(column.type, sa.Text))
tag_bytes = (
    sa.select(sa.func.coalesce(sa.func.sum(sa.func.length(run_tags.c.tag)), 0))
    .where(run_tags.c.run_pk == runs.c.pk)
    .scalar_subquery()
)


def read_run(connection: sa.Connection, run_id: str, budget: PageBudget | None = None) -> RunRecord:
    """The run.

    Raises:
        RunNotFoundError: there is none with this id.
    """
    row = connection.execute(sa.select(*columns_of()).where(shown_runs, runs.c.id == run_id)).one_or_none()
    if row is None:
        raise no_run(run_id)
    pay(budget, row)
    return records_of(connection, [row])[0]


def read_projects(connection: sa.Connection, only: Collection[str] | None = None) -> list[ProjectRecord]:
    """All projects that have runs, or those of them with these names, by name."""
    query = sa.select(projects).where(
        sa.exists().where(runs.c.project_id == projects.c.id, runs.c.deleted_at.is_(None))
    )
    if only is not None:
        query = query.where(projects.c.name.in_(only), projects.c.id != UNKNOWN)
    return [
        ProjectRecord(
            id=row.id, name=row.name, root_path=row.root_path, created_at=format_timestamp(row.created_at),
            updated_at=format_timestamp(row.updated_at), schema_version=row.schema_version,
        )
        for row in connection.execute(query.order_by(projects.c.name, projects.c.id))
    ]  # fmt: skip


def columns_of(names: Collection[str] | None = None) -> list[Any]:
    """The columns that the fields of a run need, with the number of its row; all fields by default."""
    wanted = RUN_FIELDS if names is None else names
    columns = [runs.c[name] for name in wanted if name in runs.c]
    return [runs.c.pk, *columns, *([_PROJECT_NAME] if "project_name" in wanted else [])]


def pay(budget: PageBudget | None, row: Any) -> None:
    """Count what decoding a run will take, before it is done."""
    if budget is not None:
        for column in _TEXTS:
            budget.take(getattr(row, column.name, None) or "")


def records_of(connection: sa.Connection, rows: Iterable[Any]) -> list[RunRecord]:
    """The runs of whole rows."""
    return [RunRecord(**fields) for fields in values_of(connection, rows, RUN_FIELDS)]


def values_of(connection: sa.Connection, rows: Iterable[Any], names: Collection[str]) -> list[dict[str, Any]]:
    """The fields of runs by name, of rows that have at least their columns."""
    rows = list(rows)
    tags = tags_of(connection, [row.pk for row in rows]) if "tags" in names else {}
    return [{name: _value(row, name) if name != "tags" else tuple(tags[row.pk]) for name in names} for row in rows]


def tags_of(connection: sa.Connection, numbers: list[int]) -> dict[int, list[str]]:
    """The tags of runs by their numbers, in order."""
    tags: dict[int, list[str]] = {number: [] for number in numbers}
    for start in range(0, len(numbers), _BATCH):
        query = sa.select(run_tags.c.run_pk, run_tags.c.tag).where(
            run_tags.c.run_pk.in_(numbers[start : start + _BATCH])
        )
        for run_pk, tag in connection.execute(query.order_by(run_tags.c.run_pk, run_tags.c.position)):
            tags[run_pk].append(_text(tag))
    return tags


def _value(row: Any, name: str) -> Any:
    value = getattr(row, name)
    if name in _TEXT_NAMES and not (value is None and name in _NULLABLE):
        value = _text(value)
    return value if value is None else _DECODE.get(name, _as_it_is)(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):  # SQLite takes anything anywhere
        raise TypeError(f"a field of a run holds {value!r:.80} in the place of text")
    return value


def _as_it_is(value: Any) -> Any:
    return value


def _object(text: str) -> dict[str, Any]:
    return msgspec.json.decode(text, type=dict)


_TEXT_NAMES = frozenset(column.name for column in _TEXTS)
_NULLABLE = frozenset(column.name for column in runs.c if column.nullable)
_DECODE: dict[str, Callable[[Any], Any]] = {
    "id": public_id, "config": _object, "environment": _object, "strict_mode": bool, "started_at": format_timestamp,
    "ended_at": format_timestamp, "updated_at": format_timestamp,
}  # fmt: skip
