"""Lists checkpoints, of one run or of all runs of a store."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypedDict

from ..core.choice import Moment, Numbers
from ..core.reader import RecordFilter, StoreReader
from ..producers.reports import Checkpoint, checkpoint_of

PAGE = 1000


class Bounds(TypedDict, total=False):
    """What every kind of record can be restricted and sorted by; see ``RecordFilter``."""

    step: Numbers
    step_min: int | None
    step_max: int | None
    epoch: Numbers
    epoch_min: int | None
    epoch_max: int | None
    created_after: Moment
    created_before: Moment
    sort: str
    offset: int
    limit: int | None


def checkpoints(reader: StoreReader, bounds: Bounds, filters: Mapping[str, Any]) -> Iterator[Checkpoint]:
    """The checkpoints that match, page by page."""
    wanted = RecordFilter(**bounds)
    left = wanted.limit
    wanted = replace(wanted, limit=None)
    while left is None or left > 0:
        events, cursor = reader.checkpoints(wanted, PAGE if left is None else min(PAGE, left), **filters)
        yield from map(checkpoint_of, events)  # type: ignore[arg-type]
        if cursor is None:
            return
        left = None if left is None else left - len(events)
        wanted = replace(wanted, after=cursor, offset=0)
