"""Lists the runs that match, in an order, page after page."""

import base64
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from ..core.choice import check_fields, check_sort, checked_choice
from ..core.query import parse_query
from ..core.reader import Page
from ..errors import SchemaValidationError
from ..records.base import parse_timestamp
from ..records.grammar import check_index
from ..records.ready import ready
from .budget import PageBudget, bytes_of, groups
from .conditions import any_of, has_run_id
from .ids import no_run
from .lifecycle import UNKNOWN
from .patterns import like
from .runs import columns_of, deleted_runs, pay, records_of, shown_runs, tag_bytes, values_of
from .schema import projects, run_tags, runs
from .search import conditions

_SORTS: dict[str, Any] = {
    "started_at": runs.c.started_at,
    "updated_at": runs.c.updated_at,
    "name": sa.func.coalesce(runs.c.name, ""),
    "project": projects.c.name,
    "status": runs.c.status,
    "id": runs.c.id,
}
_PAGE = 200
_LONG = 200
"""Characters of a name that a cursor holds as they are."""

_LIMIT = 2**63
_MISSING = object()


def read_runs(
    connection: sa.Connection, *, filters: Mapping[str, Any], sort: str, limit: int | None, after: str | None,
    offset: int = 0, id_after: str | None = None, select: Collection[str] | None = None,
    projects_only: Collection[str] | None = None, budget: PageBudget | None = None,
) -> Page:  # fmt: skip
    """A page of the runs that match everything given; see ``SqlStore.runs``.

    Raises:
        WrongTypeError, SchemaValidationError: a filter, sort field, limit or cursor that cannot be used.
        RunNotFoundError: there is no run ``id_after``.
    """
    chosen = checked_choice(filters)
    check_sort(sort)
    field, descending = sort.removeprefix("-"), sort.startswith("-")
    check_index(limit, "limit")
    base = sa.select().where(shown_runs)
    if projects_only is not None:
        base = base.where(projects.c.name.in_(projects_only), projects.c.id != UNKNOWN)
    place = None if after is None else _place(connection, after, field, descending)
    if id_after is not None:
        if place is not None:
            raise SchemaValidationError("after and id_after both say where the list goes on; give one of the two")
        place = _place_of(connection, base, id_after, field)
    base = base.where(*conditions(parse_query(chosen.get("where", "")), connection.dialect.name))
    page = _Page(connection, _matching(base, chosen), field, descending, chosen, check_fields(select), budget)
    return page.read(limit, place, check_index(offset, "offset") or 0)


def read_deleted(connection: sa.Connection, limit: int | None, after: str | None, budget: PageBudget | None) -> Page:
    """A page of the runs that are deleted and not purged yet, the latest started first.

    Raises:
        WrongTypeError, SchemaValidationError: a limit or cursor that cannot be used.
    """
    check_index(limit, "limit")
    page = _Page(connection, sa.select().where(deleted_runs), "started_at", True, {}, None, budget)
    return page.read(limit, None if after is None else _place(connection, after, "started_at", True), 0)


def _matching(query: Any, chosen: Mapping[str, Any]) -> Any:
    """The query restricted by every filter but those that ``_Page`` compares in Python."""
    for column, name in (
        (projects.c.name, "project"), (runs.c.status, "status"), (runs.c.name, "name"),
    ):  # fmt: skip
        if name in chosen:
            query = query.where(column.in_(chosen[name]))
    if "ids" in chosen:  # a run whose id another project used first is stored under more than its id
        query = query.where(any_of(map(has_run_id, chosen["ids"])))
    if "tag" in chosen:
        query = query.where(sa.exists().where(run_tags.c.run_pk == runs.c.pk, run_tags.c.tag.in_(chosen["tag"])))
    if "started_after" in chosen:
        query = query.where(runs.c.started_at >= parse_timestamp(chosen["started_after"]))
    if "started_before" in chosen:
        query = query.where(runs.c.started_at <= parse_timestamp(chosen["started_before"]))
    return query


def _place_of(connection: sa.Connection, query: Any, run_id: str, field: str) -> tuple[Any, int]:
    """The place of a run in an order."""
    found = query.with_only_columns(_SORTS[field], runs.c.pk).where(has_run_id(run_id)).order_by(runs.c.pk)
    row = connection.execute(found.limit(1)).one_or_none()
    if row is None:
        raise no_run(run_id)
    return tuple(row)  # type: ignore[return-value]


class _Page:
    """Reads runs in an order, until so many also match ``config`` and ``name_ilike``, which only Python can compare."""

    def __init__(
        self, connection: sa.Connection, query: Any, field: str, descending: bool, chosen: Mapping[str, Any],
        select: tuple[str, ...] | None, budget: PageBudget | None,
    ) -> None:  # fmt: skip
        self._connection = connection
        self._query = query
        self._field = field
        self._descending = descending
        self._config = config = dict(chosen.get("config", {}))
        self._has_name = like(chosen["name_ilike"]) if "name_ilike" in chosen else None
        self._compares = bool(config) or self._has_name is not None
        self._select = select
        self._columns = columns_of(select if select is None or not config else {*select, "config"})
        self._budget = budget

    def read(self, limit: int | None, place: tuple[Any, int] | None, offset: int) -> Page:
        """The runs behind ``place`` without the first ``offset`` of them, and the cursor behind them."""
        found: list[Any] = []
        cursor, last = None, None
        left = 0 if self._budget is None else self._budget.size
        skipped = offset if self._compares else 0
        batch = _PAGE if self._compares or limit is None else min(_PAGE, limit + 1)
        for key, row in self._rows(batch, place, 0 if self._compares else offset):
            if skipped:
                skipped -= 1
                continue
            if len(found) == limit or (found and self._budget is not None and key.size > left):
                cursor = None if last is None else _cursor(self._field, self._descending, last.sort_value, last.pk)
                break
            pay(self._budget, row)
            left -= key.size
            last = key
            found.append(row)
        if self._select is None:
            return Page(tuple(records_of(self._connection, found)), cursor)
        return Page(tuple(values_of(self._connection, found, self._select)), cursor)

    def _rows(self, batch: int, place: tuple[Any, int] | None, offset: int) -> Iterator[tuple[Any, Any]]:
        """Order and size of each run that matches, with its row: only so many rows are held as the budget allows."""
        while True:
            keys = self._keys(batch, place, offset)
            offset = 0
            named = keys if self._has_name is None else [key for key in keys if self._has_name(key.name)]
            for group in groups(named, None if self._budget is None else self._budget.size):
                query = self._query.with_only_columns(*self._columns).where(runs.c.pk.in_([key.pk for key in group]))
                rows = {row.pk: row for row in self._connection.execute(query)}
                for key in group:
                    row = rows.get(key.pk)
                    if row is not None and (not self._config or self._admits(row.config)):
                        yield key, row
            if len(keys) < batch:
                return
            place = (keys[-1].sort_value, keys[-1].pk)

    def _admits(self, config: str) -> bool:
        if self._budget is not None:
            self._budget.look(config)
        return _matches(config, self._config)

    def _keys(self, batch: int, place: tuple[Any, int] | None, offset: int) -> Sequence[Any]:
        column = _SORTS[self._field]
        order = sa.desc if self._descending else sa.asc
        size: Any = sa.literal(0)
        if self._budget is not None:
            texts = [one for one in self._columns if isinstance(one.type, sa.Text)]
            size = sum((sa.func.coalesce(bytes_of(self._connection, text), 0) for text in texts), tag_bytes)
        name: Any = sa.null() if self._has_name is None else runs.c.name
        query = self._query.with_only_columns(
            runs.c.pk, column.label("sort_value"), size.label("size"), name.label("name")
        )
        if place is not None:
            pair = sa.tuple_(column, runs.c.pk)
            bound = sa.tuple_(sa.literal(place[0], column.type), sa.literal(place[1], sa.BigInteger))
            query = query.where(pair < bound if self._descending else pair > bound)
        return self._connection.execute(
            query.order_by(order(column), order(runs.c.pk)).limit(batch).offset(offset)
        ).all()


def _cursor(field: str, descending: bool, value: Any, pk: int) -> str:
    """The cursor behind a run; of a long name it holds a digest, so that it fits into a request."""
    known = ""
    if field == "name" and len(value) > _LONG:
        value, known = "", _digest(value)
    return base64.urlsafe_b64encode(msgspec.json.encode([field, descending, value, pk, known])).decode()


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def _place(connection: sa.Connection, cursor: str, field: str, descending: bool) -> tuple[Any, int]:
    """What a cursor points behind: the value sorted by and the run's number."""
    try:
        known, direction, value, pk, long = msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=ready(_Cursor))
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        raise SchemaValidationError(
            f"after {cursor[:80]!r} is no cursor; pass the `next` of the page before"
        ) from error
    if (known, direction) != (field, descending):
        raise SchemaValidationError("after is the cursor of a list in another order; keep `sort` from page to page")
    kind = str if isinstance(_SORTS[field].type, sa.Text) else int
    if not isinstance(value, kind) or not all(-_LIMIT <= n < _LIMIT for n in (value, pk) if isinstance(n, int)):
        raise SchemaValidationError("after is no cursor of this list; pass the `next` of the page before")
    if long:
        value = connection.execute(sa.select(runs.c.name).where(runs.c.pk == pk)).scalar() or ""
        if _digest(value) != long:
            raise SchemaValidationError(
                "after points behind a run that was renamed or purged; read the list from its start again"
            )
    return value, pk


_Cursor = tuple[str, bool, int | str, int, str]


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
