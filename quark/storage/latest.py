"""Reads events of which only the latest counts: that of a checkpoint's place, and that of a process which counts."""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from ..core.choice import checked_checkpoints
from ..core.reader import RecordFilter
from ..records.base import Record
from ..records.literals import CHECKPOINT, UNRECORDED
from .bodies import BODIES
from .budget import PageBudget
from .conditions import any_of, has_run_id
from .ids import public_id
from .lifecycle import UNKNOWN
from .rows import has_id, page_of, record_of
from .schema import projects, records, runs, writers


def read_checkpoints(
    connection: sa.Connection, filters: Mapping[str, Any], wanted: RecordFilter, limit: int, *,
    projects_only: Collection[str] | None = None, budget: PageBudget | None = None,
) -> tuple[list[Record], int | None]:  # fmt: skip
    """The last event of each checkpoint, up to ``limit`` of those that match, and the cursor behind them.

    Raises:
        WrongTypeError, SchemaValidationError: a filter that cannot be used.
    """
    chosen = checked_checkpoints(filters)
    body = BODIES[connection.dialect.name]
    within = _runs_within(chosen.get("run"), chosen.get("project"), projects_only)
    query = _latest(CHECKPOINT, within, body.inner("payload", "path"), body.inner("payload", "artifact_id"))
    if "ids" in chosen:
        query = query.where(any_of(map(has_id, chosen["ids"])))
    if "status" in chosen:
        is_complete = sa.func.coalesce(body.inner_is("complete", "payload", "status"), sa.false())
        query = query.where(any_of(is_complete if one == "complete" else ~is_complete for one in chosen["status"]))
    return page_of(connection, query, wanted, limit, budget, _event)


def read_unrecorded(
    connection: sa.Connection, run_ids: Collection[str], after: int | None, limit: int, *,
    projects_only: Collection[str] | None = None, budget: PageBudget | None = None,
) -> tuple[list[Record], int | None]:  # fmt: skip
    """The last counts of each process of some runs of what it did not record, and the cursor behind them."""
    query = _latest(UNRECORDED, _runs_within(run_ids, None, projects_only), records.c.writer_pk)
    return page_of(connection, query, RecordFilter(after=after), limit, budget, _event)


def _runs_within(
    run_ids: Collection[str] | None, names: Collection[str] | None, projects_only: Collection[str] | None
) -> Any:
    """The row numbers of the runs that are meant."""
    query = sa.select(runs.c.pk).join(projects, projects.c.id == runs.c.project_id).where(runs.c.deleted_at.is_(None))
    if run_ids is not None:
        query = query.where(any_of(map(has_run_id, run_ids)))
    if names is not None:
        query = query.where(projects.c.name.in_(names))
    if projects_only is not None:
        query = query.where(projects.c.name.in_(projects_only), projects.c.id != UNKNOWN)
    return query.correlate(None)


def _latest(event_type: str, within: Any, *same: Any) -> Any:
    """The last events of a type in some runs, of those whose columns ``same`` are equal."""
    turn = sa.func.row_number().over(partition_by=(records.c.run_pk, *same), order_by=records.c.pk.desc())
    ranked = (
        sa.select(records.c.pk, turn.label("turn"))
        .where(records.c.run_pk.in_(within), records.c.kind == "event", records.c.label == event_type)
        .subquery()
    )
    return (
        sa.select(
            records.c.pk, records.c.sequence, records.c.time_ns, records.c.step, records.c.epoch, records.c.body,
            writers.c.id, writers.c.rank, writers.c.attempt, runs.c.id.label("run_id"),
        )
        .join(writers, writers.c.pk == records.c.writer_pk)
        .join(runs, runs.c.pk == records.c.run_pk)
        .where(records.c.pk.in_(sa.select(ranked.c.pk).where(ranked.c.turn == 1)))
    )  # fmt: skip


def _event(row: Any) -> Record | None:
    return record_of(public_id(row.run_id), "event", row)
