"""The writing half of a session: the RunHandle that producers, analyzers and the session itself write through."""

import time
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ..core.reader import RecordReader, StoreReader
from ..delivery.dispatcher import Dispatcher
from ..delivery.worker import SinkWorker
from ..errors import QuarkError, WrongTypeError
from ..producers.device import DeviceValues
from ..producers.wide import NonFiniteMetricError, log_values
from ..records.base import Record, parse_timestamp
from ..records.foreign import described, must_propagate, type_name
from ..records.limits import check_size
from ..records.line import Line, body_of, build, encode
from ..records.naming import NONFINITE, RecordedNames
from ..records.run import RunContext
from ..redaction import redact_fields
from .home import Home
from .unrecorded import UnrecordedCounts

if TYPE_CHECKING:
    from ..analysis.verdict import Verdict
    from .capture import Capture

R = TypeVar("R", bound=Record)


class Recorder:
    """Journals records of one run, refuses bad arguments by the run's policy, and reads back what was stored."""

    disabled = False
    alerts = 0
    verdict: "Verdict | None" = None
    flush_timeout_s = 10.0
    _producers_ended = False
    capture: "Capture | None" = None
    _forked = False
    _reader: StoreReader | None = None
    _let_go_of_reader: "weakref.finalize[..., Any] | None" = None

    def __init__(self, context: RunContext, delivery: Dispatcher, store_worker: SinkWorker | None, home: Home) -> None:
        self._context = context
        self._home = home
        self._delivery = delivery
        self._store_worker = store_worker
        self._origin = delivery.journal.origin
        self._devices = DeviceValues()
        self._unrecorded = UnrecordedCounts(self, delivery)
        self.attached: list[Any] = []
        self.journal = delivery.journal
        self.known_keys: set[str] = set()
        self.names = RecordedNames()
        self.strict = context.run.strict_mode

    @property
    def run_id(self) -> str:
        """Identity of the run."""
        return self._context.run.id

    @property
    def run_path(self) -> str:
        """Directory of the run's files."""
        return self._context.run.run_path

    def emit(
        self, cls: type[R], fields: Mapping[str, Any], *, step: int | None = None, epoch: int | None = None,
        timestamp: str | None = None,
    ) -> R:  # fmt: skip
        """Journal a record of ``cls`` with its own ``fields`` and return it, frozen.

        Raises:
            SchemaValidationError: a field is missing, of a wrong type or out of its range, or the record is too large.
            ClosedError: the run has ended.
        """
        now = time.time_ns() if timestamp is None else parse_timestamp(timestamp)
        given = redact_fields(fields, cls.free_text)
        given.update((k, v) for k, v in (("step", step), ("epoch", epoch)) if v is not None)
        record = build(cls, self._origin, 0, now, given)
        label = getattr(record, cls.label_field) if cls.label_field else None
        body = msgspec.Raw(body_of(record))
        what = f"the {cls.kind} record"
        number = self.journal.append(
            lambda n: check_size(encode(Line(cls.kind, n, now, step, epoch, label=label, body=body)), what) + b"\n"
        )
        object.__setattr__(record, "sequence", number)
        self.alerts += cls.kind == "alert"
        object.__delattr__(record, "id")  # it is made from the sequence when it is read
        return record

    def lifecycle(self, action: str, body: Mapping[str, Any]) -> None:
        """Journal a step of the run's own life; stores apply it to the run."""
        now = time.time_ns()
        raw = msgspec.Raw(encode(body))
        self.journal.append(lambda n: check_size(encode(Line("run", n, now, label=action, body=raw))) + b"\n")

    def log_values(self, values: Mapping[str, Any], *, step: int | None = None, epoch: int | None = None) -> None:
        """Journal many metrics of one step as one wide record."""
        try:
            log_values(self, values, step, epoch)
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            self.refuse(error, what="log")

    def defer(self, key: str, value: Any, step: int | None, epoch: int | None, time: int) -> None:
        """Record a metric whose value is still on a device, when it has arrived."""
        self._devices.add(value, lambda number: log_values(self, {key: number}, step, epoch, time))

    def tick(self) -> None:
        """Several times a second, on the journal's thread: record what has arrived since, and what was lost."""
        self._devices.drain()
        self._unrecorded.tick()
        if self.capture is not None:
            self.capture.tick()

    def _say_start_again(self) -> None:
        """The journal was deleted, perhaps with the run's first line, and with the store that had taken it."""
        environment = self._context.run.environment
        self.lifecycle("start", {
            "project": self._context.project.to_dict(), "run": self._context.run.to_dict(), "rank": self._origin.rank,
            "world_size": 1, "host": environment.get("host"), "pid": environment.get("pid"),
        })  # fmt: skip

    def offer(self) -> None:
        """Wake the store's worker."""
        if self._store_worker is not None:
            self._store_worker.offer()

    def refuse(self, error: BaseException, *, what: str, subject: str | None = None) -> None:
        """A bad argument: raised in strict mode, else counted and warned about, for each ``subject`` once.

        What a foreign object raised while it was looked at counts as a bad argument, but for interrupts and exits.
        """
        if must_propagate(error):
            raise error
        if not isinstance(error, QuarkError):
            cause, error = error, WrongTypeError(f"{type_name(error)}: {described(error)}")
            error.__cause__ = cause
        if self.strict:
            raise error
        if isinstance(error, NonFiniteMetricError):  # it is recorded, as an event
            self._delivery.health.report(NONFINITE, str(error), subject=subject)
            return
        self._delivery.health.report(f"refused_{type_name(error)}", f"{what}: {error}", subject=subject)
        self._unrecorded.changed()

    def report(self, cause: str, error: BaseException | str | None = None) -> None:
        """A fault of the infrastructure: counted and warned about once per cause; it never raises."""
        message = f"{type_name(error)}: {described(error)}" if isinstance(error, BaseException) else str(error or "")
        self._delivery.health.report(cause, message)

    def attach(self, producer: Any) -> None:
        """Close ``producer`` when the run ends, before the trackers are told; at once if that has been.

        The journal's thread may make the run's own telemetry in the moment that the run ends: it is closed by the end
        or here, whichever comes second.
        """
        self.attached.append(producer)
        if self._producers_ended:
            producer.close()

    def _close_producers(self, attempt: Callable[[str, Callable[[], Any]], object]) -> None:
        """Close what is attached, the last one first; ``attempt`` calls each, named, and takes its errors."""
        self._producers_ended = True
        for producer in reversed(self.attached):
            attempt(f"close_{type(producer).__name__}", producer.close)

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until the store holds everything recorded so far; False when the time (10 s) ran out."""
        worker = self._store_worker
        if self._forked or worker is None or worker.done.is_set():
            return True
        self._devices.drain(wait=True)
        seconds = self.flush_timeout_s if timeout_s is None else timeout_s
        done = self._delivery.flush(time.monotonic() + seconds, [worker])
        if not done:
            self.report("flush", f"the store did not take everything within {seconds:g} s; the rest follows")
        return done

    def reader(self) -> RecordReader:
        """The store that holds this run's records."""
        return self._opened_reader()

    def _opened_reader(self) -> StoreReader:
        if self._reader is None:
            self._reader = self._home.open(self._context.project.name)
            # of a run that has ended nobody closes it: a comparison of finished sessions opens one for each
            self._let_go_of_reader = weakref.finalize(self, self._reader.close)
            self._let_go_of_reader.atexit = False  # the end of a process closes files by itself, of a forked one too
        return self._reader

    def close_reader(self) -> None:
        """Let go of the store; reading again opens it again."""
        self._reader = None
        if self._let_go_of_reader is not None:
            self._let_go_of_reader()  # which it does once

    def health(self) -> dict[str, Any]:
        """The state of the delivery: what was recorded, every sink, every fault by cause."""
        delivery = self._delivery
        return {
            "run_id": self.run_id,
            "recorded": self.journal.next,
            "dropped": delivery.dropped,
            "on_device": len(self._devices),
            "sinks": {w.name: {**w.to_dict(), "pending": delivery.pending(w)} for w in delivery.workers},
            "refused": delivery.health.total("refused_")[0],
            "faults": delivery.health.to_dict(),
        }
