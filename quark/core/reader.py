"""The reading protocol: filters, and what a store, a folder and a service answer alike."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import SchemaValidationError
from ..records.base import Origin, Record
from ..records.grammar import check_index
from ..records.run import ProjectRecord, RunRecord
from .choice import Moment, Texts
from .control import RunControl

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFilter:
    """Which records of one kind to read; bounds are inclusive, None does not restrict.

    ``where`` restricts a kind's own fields by equality, or by membership when the value is a tuple:
    ``where={"severity": ("error", "critical")}``. Records come in the order in which the store received them;
    ``limit`` takes the first so many of them, ``after`` continues behind a cursor.
    """

    step: int | None = None
    step_min: int | None = None
    step_max: int | None = None
    epoch: int | None = None
    epoch_min: int | None = None
    epoch_max: int | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = None
    after: int | None = None

    def __post_init__(self) -> None:
        for name in ("step", "step_min", "step_max", "epoch", "epoch_min", "epoch_max", "limit"):
            check_index(getattr(self, name), name)
        for low, high in (("step_min", "step_max"), ("epoch_min", "epoch_max")):
            first, last = getattr(self, low), getattr(self, high)
            if first is not None and last is not None and first > last:
                raise SchemaValidationError(f"{low} {first} is above {high} {last}; no record can match, swap them")


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
    read_nonfinite: "Callable[[], Series] | None" = field(default=None, repr=False, compare=False)

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
    """A page of runs: the records, and the cursor of the next page, None at the end."""

    items: Sequence[RunRecord]
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
        self, *, ids: Texts = None, project: Texts = None, status: Texts = None, tag: Texts = None, name: Texts = None,
        config: Mapping[str, Any] | None = None, started_after: Moment = None, started_before: Moment = None,
        sort: str = "-started_at", limit: int | None = None, after: str | None = None,
    ) -> Page:  # fmt: skip
        """A page of runs; ``config`` compares values by dotted path; ``sort`` is a field, ``-`` for descending."""
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

    def control(self, run_id: str) -> RunControl:
        """Signs of life of a run, and the requests that wait for it."""
        ...

    def request_stop(self, run_id: str, grace_period_s: float) -> RunControl:
        """Ask a run to stop; InvalidRunStateError if it has ended."""
        ...

    def request_restart(self, run_id: str, grace_period_s: float) -> RunControl:
        """Ask the ``quark run`` that a run was started by to start it anew."""
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
