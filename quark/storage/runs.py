"""Answers questions about runs and projects: one of them, or page after page of those that match."""

import base64
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from ..core.choice import check_sort, checked_choice
from ..core.reader import Page
from ..errors import SchemaValidationError
from ..records.base import format_timestamp, parse_timestamp
from ..records.grammar import check_index
from ..records.run import ProjectRecord, RunRecord
from .budget import PageBudget, bytes_of, groups
from .ids import MARK, no_run, public_id
from .lifecycle import UNKNOWN
from .schema import projects, run_tags, runs

_SORTS: dict[str, Any] = {
    "started_at": runs.c.started_at,
    "updated_at": runs.c.updated_at,
    "name": sa.func.coalesce(runs.c.name, ""),
    "project": projects.c.name,
    "status": runs.c.status,
    "id": runs.c.id,
}
_PAGE = 200
_LIMIT = 2**63
PURGED = _LIMIT - 1
"""What stands in ``deleted_at`` of a run whose records are gone."""

_MISSING = object()

_shown = sa.and_(projects.c.id == runs.c.project_id, runs.c.deleted_at.is_(None))
_TEXTS = tuple(column for column in runs.c if isinstance(column.type, sa.Text))
_everything = sa.select(runs, projects.c.name.label("project_name")).where(_shown)
_hidden = sa.select(runs, projects.c.name.label("project_name")).where(
    projects.c.id == runs.c.project_id, runs.c.deleted_at.is_not(None), runs.c.deleted_at < PURGED
)
_tag_bytes = (
    sa.select(sa.func.coalesce(sa.func.sum(sa.func.length(run_tags.c.tag)), 0))
    .where(run_tags.c.run_pk == runs.c.pk)
    .scalar_subquery()
)


def read_run(connection: sa.Connection, run_id: str, budget: PageBudget | None = None) -> RunRecord:
    """The run.

    Raises:
        RunNotFoundError: there is none with this id.
    """
    row = connection.execute(_everything.where(runs.c.id == run_id)).one_or_none()
    if row is None:
        raise no_run(run_id)
    _pay(budget, row)
    return _records(connection, [row])[0]


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


def read_runs(
    connection: sa.Connection, *, filters: Mapping[str, Any], sort: str, limit: int | None, after: str | None,
    projects_only: Collection[str] | None, budget: PageBudget | None,
) -> Page:  # fmt: skip
    """A page of the runs that match everything given; see ``SqlStore.runs``.

    Raises:
        WrongTypeError, SchemaValidationError: a filter, sort field, limit or cursor that cannot be used.
    """
    chosen = checked_choice(filters)
    check_sort(sort)
    field, descending = sort.removeprefix("-"), sort.startswith("-")
    check_index(limit, "limit")
    query = _everything
    if projects_only is not None:
        query = query.where(projects.c.name.in_(projects_only), projects.c.id != UNKNOWN)
    for column, name in (
        (projects.c.name, "project"), (runs.c.status, "status"), (runs.c.name, "name"),
    ):  # fmt: skip
        if name in chosen:
            query = query.where(column.in_(chosen[name]))
    if "ids" in chosen:  # a run whose id another project used first is stored under more than its id
        query = query.where(sa.or_(*(_has_id(one) for one in chosen["ids"]), sa.false()))
    if "tag" in chosen:
        query = query.where(sa.exists().where(run_tags.c.run_pk == runs.c.pk, run_tags.c.tag.in_(chosen["tag"])))
    if "started_after" in chosen:
        query = query.where(runs.c.started_at >= parse_timestamp(chosen["started_after"]))
    if "started_before" in chosen:
        query = query.where(runs.c.started_at <= parse_timestamp(chosen["started_before"]))
    page = _Page(connection, query, field, descending, dict(chosen.get("config", {})), budget)
    return page.read(limit, None if after is None else _place(after, field, descending))


def read_deleted(connection: sa.Connection, limit: int | None, after: str | None, budget: PageBudget | None) -> Page:
    """A page of the runs that are deleted and not purged yet, the latest started first.

    Raises:
        WrongTypeError, SchemaValidationError: a limit or cursor that cannot be used.
    """
    check_index(limit, "limit")
    page = _Page(connection, _hidden, "started_at", True, {}, budget)
    return page.read(limit, None if after is None else _place(after, "started_at", True))


def _has_id(run_id: str) -> Any:
    return sa.or_(runs.c.id == run_id, runs.c.id == sa.literal(f"{run_id}{MARK}") + runs.c.project_id)


class _Page:
    """Reads runs in an order, until so many also match ``config``, whose values only Python can compare."""

    def __init__(
        self, connection: sa.Connection, query: Any, field: str, descending: bool, config: dict[str, Any],
        budget: PageBudget | None,
    ) -> None:  # fmt: skip
        self._connection = connection
        self._query = query
        self._field = field
        self._descending = descending
        self._config = config
        self._budget = budget

    def read(self, limit: int | None, place: tuple[Any, int] | None) -> Page:
        """The runs behind ``place``, and the cursor behind them."""
        found: list[Any] = []
        cursor, last = None, None
        left = 0 if self._budget is None else self._budget.size
        for key, row in self._matching(_PAGE if self._config or limit is None else min(_PAGE, limit + 1), place):
            if len(found) == limit or (found and self._budget is not None and key.size > left):
                cursor = None if last is None else _cursor(self._field, self._descending, last.sort_value, last.pk)
                break
            _pay(self._budget, row)
            left -= key.size
            last = key
            found.append(row)
        return Page(tuple(_records(self._connection, found)), cursor)

    def _matching(self, batch: int, place: tuple[Any, int] | None) -> Iterator[tuple[Any, Any]]:
        """Order and size of each run that matches, with its row: only so many rows are held as the budget allows."""
        while True:
            keys = self._keys(batch, place)
            for group in groups(keys, None if self._budget is None else self._budget.size):
                query = self._query.where(runs.c.pk.in_([key.pk for key in group]))
                rows = {row.pk: row for row in self._connection.execute(query)}
                for key in group:
                    row = rows.get(key.pk)
                    if row is not None and self._admits(row.config):
                        yield key, row
            if len(keys) < batch:
                return
            place = (keys[-1].sort_value, keys[-1].pk)

    def _admits(self, config: str) -> bool:
        if not self._config:
            return True
        if self._budget is not None:
            self._budget.look(config)
        return _matches(config, self._config)

    def _keys(self, batch: int, place: tuple[Any, int] | None) -> Sequence[Any]:
        column = _SORTS[self._field]
        order = sa.desc if self._descending else sa.asc
        size = (
            sum((sa.func.coalesce(bytes_of(self._connection, text), 0) for text in _TEXTS), _tag_bytes)
            if self._budget
            else sa.literal(0)
        )
        query = self._query.with_only_columns(runs.c.pk, column.label("sort_value"), size.label("size"))
        if place is not None:
            pair = sa.tuple_(column, runs.c.pk)
            bound = sa.tuple_(sa.literal(place[0], column.type), sa.literal(place[1], sa.BigInteger))
            query = query.where(pair < bound if self._descending else pair > bound)
        return self._connection.execute(query.order_by(order(column), order(runs.c.pk)).limit(batch)).all()


def _pay(budget: PageBudget | None, row: Any) -> None:
    """Count what decoding a run will take, before it is done."""
    if budget is not None:
        for column in _TEXTS:
            budget.take(getattr(row, column.name) or "")


def _cursor(field: str, descending: bool, value: Any, pk: int) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([field, descending, value, pk])).decode()


def _place(cursor: str, field: str, descending: bool) -> tuple[Any, int]:
    """What a cursor points behind: the value sorted by and the run's number."""
    try:
        known, direction, value, pk = msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=_Cursor)
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        raise SchemaValidationError(
            f"after {cursor[:80]!r} is no cursor; pass the `next` of the page before"
        ) from error
    if (known, direction) != (field, descending):
        raise SchemaValidationError("after is the cursor of a list in another order; keep `sort` from page to page")
    kind = str if isinstance(_SORTS[field].type, sa.Text) else int
    if not isinstance(value, kind) or not all(-_LIMIT <= n < _LIMIT for n in (value, pk) if isinstance(n, int)):
        raise SchemaValidationError("after is no cursor of this list; pass the `next` of the page before")
    return value, pk


_Cursor = tuple[str, bool, int | str, int]


def _matches(text: str, wanted: dict[str, Any]) -> bool:
    config = msgspec.json.decode(text)
    return all(_same(_at(config, path), value) for path, value in wanted.items())


def _same(found: Any, wanted: Any) -> bool:
    """Equal as JSON: 1 is 1.0, but true is not 1."""
    if isinstance(found, bool) is not isinstance(wanted, bool):
        return False
    return found == (list(wanted) if isinstance(wanted, tuple) else wanted)


def _at(config: Any, path: str) -> Any:
    """The value at a dotted path; a key that has dots itself is found too."""
    if not isinstance(config, dict):
        return _MISSING
    if path in config:
        return config[path]
    for key, value in config.items():
        if path.startswith(key + "."):
            found = _at(value, path[len(key) + 1 :])
            if found is not _MISSING:
                return found
    return _MISSING


def _records(connection: sa.Connection, rows: Iterable[Any]) -> list[RunRecord]:
    rows = list(rows)
    tags: dict[int, list[str]] = {row.pk: [] for row in rows}
    numbers = list(tags)
    for start in range(0, len(numbers), _PAGE):
        query = sa.select(run_tags.c.run_pk, run_tags.c.tag).where(
            run_tags.c.run_pk.in_(numbers[start : start + _PAGE])
        )
        for run_pk, tag in connection.execute(query.order_by(run_tags.c.run_pk, run_tags.c.position)):
            tags[run_pk].append(tag)
    return [_record(row, tuple(tags[row.pk])) for row in rows]


def _record(row: Any, tags: tuple[str, ...]) -> RunRecord:
    texts = (row.id, row.project_id, row.project_name, row.status, row.lineage_root_run_id, row.run_path, *tags)
    for text in (*texts, *(text for text in (row.name, row.reason, row.parent_run_id, row.git_commit) if text)):
        if not isinstance(text, str):  # SQLite takes anything anywhere
            raise TypeError(f"a field of a run holds {text!r:.80} in the place of text")
    return RunRecord(
        id=public_id(row.id), name=row.name, project_id=row.project_id, project_name=row.project_name,
        status=row.status, reason=row.reason, parent_run_id=row.parent_run_id,
        lineage_root_run_id=row.lineage_root_run_id, resume_count=row.resume_count, run_path=row.run_path,
        git_commit=row.git_commit, strict_mode=bool(row.strict_mode), tags=tags,
        config=msgspec.json.decode(row.config, type=dict),
        environment=msgspec.json.decode(row.environment, type=dict), started_at=format_timestamp(row.started_at),
        ended_at=None if row.ended_at is None else format_timestamp(row.ended_at),
        updated_at=format_timestamp(row.updated_at), schema_version=row.schema_version,
    )  # fmt: skip
