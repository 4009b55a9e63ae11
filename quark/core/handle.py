"""What a producer, an analyzer or a comparison knows of a run: a place to emit to and a reader."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from ..records.base import Origin, Record
from ..records.naming import RecordedNames
from .reader import RecordReader

R = TypeVar("R", bound=Record)


class JournalLike(Protocol):
    """The part of a journal that a producer of many small records uses directly."""

    next: int
    origin: Origin

    def put(self, number: int, line: bytes) -> bool:
        """Store a line that carries ``number``; False if the number is taken by now: encode again."""
        ...


class RunHandle(Protocol):
    """A run that can be written to and read; TrainingSession is one, and a RunContext resolves to one."""

    @property
    def run_id(self) -> str:
        """Identity of the run."""
        ...

    @property
    def run_path(self) -> str:
        """Directory of the run's files."""
        ...

    @property
    def journal(self) -> JournalLike:
        """Where records go."""
        ...

    @property
    def known_keys(self) -> set[str]:
        """Metric keys that were checked already."""
        ...

    @property
    def names(self) -> RecordedNames:
        """The names that are recorded under another key, as far as this process has used them."""
        ...

    @property
    def disabled(self) -> bool:
        """Whether nothing is recorded at all (QUARK_DISABLE)."""
        ...

    @property
    def strict(self) -> bool:
        """Whether bad arguments raise; otherwise they are refused, counted and warned about."""
        ...

    def emit(
        self, cls: type[R], fields: Mapping[str, Any], *, step: int | None = None, epoch: int | None = None,
        timestamp: str | None = None,
    ) -> R:  # fmt: skip
        """Journal a record of ``cls`` with its own ``fields`` and return it."""
        ...

    def lifecycle(self, action: str, body: Mapping[str, Any]) -> None:
        """Journal a step of the run's own life, such as ``discard`` of the records of a kind."""
        ...

    def log_values(self, values: Mapping[str, Any], *, step: int | None = None, epoch: int | None = None) -> None:
        """Journal many metrics of one step as one wide record."""
        ...

    def defer(self, key: str, value: Any, step: int | None, epoch: int | None, time: int) -> None:
        """Record a metric whose value is still on a device, when it has arrived."""
        ...

    def offer(self) -> None:
        """Wake the delivery: there is something that a reader may want soon."""
        ...

    def attach(self, producer: Any) -> None:
        """Close ``producer`` when the run ends, before the trackers are told."""
        ...

    def refuse(self, error: BaseException, *, what: str, subject: str | None = None) -> None:
        """A bad argument: raise it in strict mode, else count it and warn once, of each ``subject`` if there is one.

        Interrupts, exits and what a signal handler raised are raised again in any case.
        """
        ...

    def report(self, cause: str, error: BaseException | None = None) -> None:
        """A fault of the infrastructure: count it and warn once per cause; it never raises."""
        ...

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until the store holds everything emitted so far; False when the time ran out."""
        ...

    def reader(self) -> RecordReader:
        """The store that holds this run's records."""
        ...
