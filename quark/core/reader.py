"""The reading protocol: filters, and what a store, a folder and a service answer alike."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import SchemaValidationError
from ..records.base import Origin, Record, parse_timestamp
from ..records.grammar import check_index
from ..records.line import Line
from ..records.run import ProjectRecord, RunRecord
from .choice import (
    RECORD_SORT_FIELDS,
    Moment,
    Numbers,
    check_moment,
    check_numbers,
    check_sort,
)
from .control import RunControl

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFilter:
    """Which records of one kind to read, and in which order; bounds are inclusive, None does not restrict.

    Attributes:
        step, epoch: equal to this, or to one of a list; ``_min`` and ``_max`` are bounds.
        created_after, created_before: bounds of the timestamp, a datetime or RFC 3339 text.
        where: restricts a kind's own fields by equality, or by membership when the value is a tuple:
            ``where={"severity": ("error", "critical")}``.
        sort: ``arrival`` (the order in which the store received them), ``timestamp``, ``step`` or ``epoch``, with ``-``
            for descending: ``sort="-timestamp"`` is newest first. Metrics are read in the order of arrival only.
        offset: leave out the first so many.
        limit: at most so many.
        after: continues behind a cursor.
    """

    step: Numbers = None
    step_min: int | None = None
    step_max: int | None = None
    epoch: Numbers = None
    epoch_min: int | None = None
    epoch_max: int | None = None
    created_after: Moment = None
    created_before: Moment = None
    where: Mapping[str, Any] = field(default_factory=dict)
    sort: str = "arrival"
    offset: int = 0
    limit: int | None = None
    after: int | None = None

    def __post_init__(self) -> None:
        for name in ("step", "epoch"):
            object.__setattr__(self, name, check_numbers(getattr(self, name), name))
        for name in ("step_min", "step_max", "epoch_min", "epoch_max", "limit"):
            check_index(getattr(self, name), name)
        for name in ("created_after", "created_before"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check_moment(getattr(self, name), name))
        check_sort(self.sort, RECORD_SORT_FIELDS)
        object.__setattr__(self, "offset", check_index(self.offset, "offset") or 0)
        for low, high in (("step_min", "step_max"), ("epoch_min", "epoch_max")):
            first, last = getattr(self, low), getattr(self, high)
            if first is not None and last is not None and first > last:
                raise SchemaValidationError(f"{low} {first} is above {high} {last}; no record can match, swap them")

    @property
    def times_ns(self) -> tuple[int | None, int | None]:
        """The bounds of the timestamp in nanoseconds since 1970 UTC."""
        first, last = self.created_after, self.created_before
        return None if first is None else parse_timestamp(str(first)), None if last is None else parse_timestamp(
            str(last)
        )


SERIES_COLUMNS = ("steps", "epochs", "values", "timestamps", "sequences", "attempts", "ranks")
"""The arrays of a series, in their order."""


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of a run as NumPy arrays of equal length, in the order of recording.

    Attributes:
        steps: int64, -1 where a point has no step.
        epochs: int64, -1 where a point has no epoch.
        values: float64.
        timestamps: int64, nanoseconds since 1970 UTC.
        sequences: int64, the writer's sequence number of each point.
        attempts: int32, 1 for the first start of the run, one more for each resume.
        ranks: int32, the rank of the process that wrote the point.
    """

    key: str
    steps: "np.ndarray"
    epochs: "np.ndarray"
    values: "np.ndarray"
    timestamps: "np.ndarray"
    sequences: "np.ndarray"
    attempts: "np.ndarray"
    ranks: "np.ndarray"
    read_nonfinite: "Callable[[], Series] | None" = field(default=None, repr=False, compare=False, kw_only=True)

    @property
    def nonfinite(self) -> "Series":
        """The values of this metric that were NaN or infinite, in the order of recording; looked up when asked for.

        ``values`` holds finite numbers alone, so that sums and extremes are right. Only the series of a ``RunView``
        knows them.
        """
        if self.read_nonfinite is not None:
            return self.read_nonfinite()
        return Series(self.key, *(getattr(self, name)[:0] for name in SERIES_COLUMNS))

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        if not len(self):
            return f"<Series {self.key!r}: no points>"
        points = f"{len(self):,} point{'' if len(self) == 1 else 's'}"
        steps = f", steps {self.steps.min()} to {self.steps.max()}" if (self.steps >= 0).all() else ""
        return f"<Series {self.key!r}: {points}{steps}, {self.values.min():.4g} to {self.values.max():.4g}>"


@dataclass(frozen=True, slots=True)
class Chart:
    """A series reduced to at most ``buckets`` stretches, each with its true minimum and maximum.

    All arrays have the length of the number of non-empty buckets: ``step_first``, ``step_last`` (int64), ``count``
    (int64), ``minimum``, ``maximum``, ``mean``, ``last`` (float64).
    """

    key: str
    step_first: "np.ndarray"
    step_last: "np.ndarray"
    count: "np.ndarray"
    minimum: "np.ndarray"
    maximum: "np.ndarray"
    mean: "np.ndarray"
    last: "np.ndarray"


@dataclass(frozen=True, slots=True)
class Page:
    """A page of runs: a RunRecord each, or a mapping of the selected fields; the cursor of the next page or None."""

    items: Sequence[Any]
    next: str | None


Body = tuple[int, int, int, int, int | None, int | None, str]
"""A stored record: attempt and rank of its writer, sequence number, time, step, epoch, and its own fields as JSON."""


class RecordReader(Protocol):
    """What every store answers about runs and records; nothing is cut silently.

    A store may also have ``bodies(run_id, kind)``, an iterator of ``Body`` in the order of arrival: the records of a
    kind other than metric without being built and checked, which costs more than all the rest of reading them.
    """

    def run(self, run_id: str) -> RunRecord:
        """The run; RunNotFoundError if there is none."""
        ...

    def runs(
        self, *, sort: str = "-started_at", offset: int = 0, limit: int | None = None, after: str | None = None,
        id_after: str | None = None, select: Collection[str] | None = None, **filters: Any,
    ) -> Page:  # fmt: skip
        """A page of runs; see ``Store.runs`` for ``filters`` and order. With ``select`` its items are mappings."""
        ...

    def records(self, run_id: str, kind: str, where: RecordFilter | None = None) -> Iterator[Record]:
        """The records of a kind, in the order of arrival."""
        ...

    def keys(self, run_id: str) -> list[str]:
        """The metric keys of a run, sorted."""
        ...

    def series(self, run_id: str, key: str, *, all_attempts: bool = False) -> Series:
        """A metric as arrays; a step that several attempts reached shows the latest one unless ``all_attempts``."""
        ...

    def chart(
        self, run_id: str, key: str, *, buckets: int = 1000, step_min: int | None = None, step_max: int | None = None
    ) -> Chart:
        """A metric reduced to minimum and maximum per bucket."""
        ...


class StoreReader(RecordReader, Protocol):
    """What a Store needs to be built on: a RecordReader that also knows projects, latest values and counts."""

    def projects(self) -> Sequence[ProjectRecord]:
        """The projects, by name."""
        ...

    def latest(self, run_id: str) -> Mapping[str, tuple[int | None, float]]:
        """Step and value of the last point of every metric."""
        ...

    def names(self, run_id: str) -> Mapping[str, Mapping[str, str]]:
        """The names that the run recorded because they are not their own keys: by metric, artifact or event, by key."""
        ...

    def writers(self, run_id: str) -> Sequence[tuple[Origin, int]]:
        """The processes that wrote a run, as they arrived, each with the sequence number that is expected next."""
        ...

    def count(self, run_id: str) -> Mapping[str, int]:
        """How many records of each kind a run has."""
        ...

    def records_page(
        self, run_id: str, kind: str, where: RecordFilter | None = None, limit: int = 1000
    ) -> tuple[Sequence[Record], int | None]:
        """Up to ``limit`` records, and the ``RecordFilter.after`` for those behind them; None at the end."""
        ...

    def checkpoints(
        self, where: RecordFilter | None = None, limit: int = 1000, **filters: Any
    ) -> tuple[Sequence[Record], int | None]:
        """The last ``checkpoint`` event of each place in each run, up to ``limit`` of them, and the cursor behind.

        ``filters`` are ids, project, run and status; see ``Store.checkpoints``.
        """
        ...

    def unrecorded(
        self, run_ids: Collection[str], after: int | None = None, limit: int = 1000
    ) -> tuple[Sequence[Record], int | None]:
        """The last ``run_unrecorded`` event of each process of at most 1000 runs, and the cursor behind."""
        ...

    def control(self, run_id: str) -> RunControl:
        """Signs of life of a run, and the requests that wait for it."""
        ...

    def request_stop(self, run_id: str, grace_period_s: float) -> RunControl:
        """Ask a run to stop; InvalidRunStateError if it has ended."""
        ...

    def request_restart(self, run_id: str, grace_period_s: float) -> RunControl:
        """Ask the ``quark run`` that a run was started by to start it anew."""
        ...

    def write_line(self, run_id: str, attempt: int, line: Line) -> None:
        """Store one line of a run, as a writer of its own; its sequence number is 0.

        Raises:
            RunNotFoundError: there is no such run.
            SessionStoreError: it cannot be stored.
        """
        ...

    def delete_run(self, run_id: str) -> None:
        """Hide a run; InvalidRunStateError if it is running."""
        ...

    def deleted_runs(self, *, limit: int | None = None, after: str | None = None) -> Page:
        """A page of the runs that are deleted and not purged yet, the latest started first."""
        ...

    def restore_run(self, run_id: str) -> None:
        """Show a deleted run again."""
        ...

    def purge(self, older_than_s: float) -> list[str]:
        """Remove for good what was deleted that long ago; the ids of those runs."""
        ...

    def blueprint(self, project: str) -> dict[str, Any] | None:
        """The JSON Schema of a project's configurations; None if it has none."""
        ...

    def set_blueprint(self, project: str, schema: Mapping[str, Any] | None) -> None:
        """Set the JSON Schema of a project's configurations; None removes it."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


for _public in (RecordFilter, Series, Chart, Page):
    _public.__module__ = "quark"
