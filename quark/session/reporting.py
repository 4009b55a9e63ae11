"""The session's side of progress, checkpoints, notes and the summary."""

import os
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from ..core.reader import RecordFilter
from ..errors import ClosedError, QuarkError
from ..producers.events import log_event
from ..producers.reports import (
    Checkpoint,
    checked_progress,
    checkpoints_of,
    latest_of,
    report_checkpoint,
    report_note,
    report_summary,
    summary_of,
)
from ..records.artifact import ArtifactRecord
from ..records.literals import CHECKPOINT, PROGRESS, SUMMARY
from .configuration import RunConfig
from .ending import Ending
from .valuemap import ValueMap, entries

if TYPE_CHECKING:
    from .session import TrainingSession

PROGRESS_EVERY_S = 1.0


class Reporting(Ending):
    """A session that tells of itself."""

    _progress: "_Progress | None" = None
    _summary: "Summary | None" = None
    _config: RunConfig | None = None

    def set_progress(
        self, value: float, final_value: float | None = None, *, operation: str = "training", units: str = "steps"
    ) -> None:
        """Say how far an operation has come. Call it as often as you like: it is recorded once a second.

        Args:
            value: how far, in ``units``.
            final_value: where it ends, if that is known.
            operation: what is going on; several may go on beside each other.
            units: what is counted.
        """
        try:
            payload = checked_progress(value, final_value, operation, units)
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            self.refuse(error, what="set_progress")
            return
        if self._progress is None:
            self._progress = _Progress(self)
            self.attach(self._progress)
        self._progress.say(payload)

    def checkpoint(
        self, path: "str | os.PathLike[str] | None" = None, *, step: int | None = None,
        artifact: ArtifactRecord | str | None = None,
    ) -> "CheckpointWriter":  # fmt: skip
        """Announce a checkpoint that is about to be written; it counts once it is complete.

        ::

            with run.checkpoint("checkpoints/100.pt", step=100) as checkpoint:
                torch.save(state, checkpoint.path)

        An exception in the block leaves it incomplete, and so does a process that dies in it: it is never offered for
        resuming. Without ``with``, call ``complete`` when it is written.

        Args:
            path: the file or directory.
            step: the step after which it stands; that of the loop if omitted.
            artifact: an artifact of this run, or its id, instead of a path; complete at once if it is a record.
        """
        if step is None:
            step = self.current_step
        identity = artifact
        if isinstance(identity, ArtifactRecord):
            identity = None if identity.refused else identity.id
        try:
            place = None if path is None else os.fspath(path)
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            self.refuse(error, what="checkpoint")
            return CheckpointWriter(self, None, None, step)
        writer = CheckpointWriter(self, place, identity, step)
        if isinstance(artifact, ArtifactRecord):
            writer.complete()
        else:
            writer.begin()
        return writer

    def latest_checkpoint(self) -> Checkpoint | None:
        """The checkpoint to go on from: the complete one of the highest step, of this attempt or an earlier one.

        None if there is none, or if where the run lives cannot be asked (which is reported).
        """
        self.flush()
        try:
            found = self.reader().records(self.run_id, "event", RecordFilter(where={"event_type": CHECKPOINT}))
            return latest_of(checkpoints_of(found))  # type: ignore[arg-type]
        except QuarkError as error:
            self.report("latest_checkpoint", error)
            return None

    def note(self, text: str) -> None:
        """Write a note for people down with the run."""
        try:
            report_note(self, text)
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            self.refuse(error, what="note")

    @property
    def config(self) -> RunConfig:
        """The configuration: that of the start, and what is learned later: ``run.config["classes"] = 10``.

        A mapping: assign and ``update``; nothing can be deleted. The values are those that are recorded, so secrets
        read ``[redacted]``.
        """
        if self._config is None:
            self._config = RunConfig(cast("TrainingSession", self))
        return self._config

    @config.setter
    def config(self, values: Any) -> None:
        self.config.update(values)

    @property
    def summary(self) -> "Summary":
        """Results that stand for the run as a whole, apart from the metrics of its steps: ``run.summary["acc"] = 1``.

        It holds what this process set. A mapping: assign and ``update``; nothing can be deleted.
        """
        if self._summary is None:
            self._summary = Summary(self)
        return self._summary

    def set_summary(self, values: Mapping[str, Any]) -> None:
        """Set several values of the summary at once."""
        self.summary.update(values)


class CheckpointWriter:
    """A checkpoint that is being written."""

    __module__ = "quark"

    def __init__(self, session: Reporting, path: str | None, artifact_id: str | None, step: int | None) -> None:
        self._session = session
        self.path = path
        self.artifact_id = artifact_id
        self.step = step

    def begin(self) -> None:
        """It is incomplete from now on."""
        self._say("incomplete")

    def complete(self) -> None:
        """It is written to its end."""
        self._say("complete")

    def _say(self, status: str) -> None:
        try:
            report_checkpoint(self._session, status, step=self.step, path=self.path, artifact_id=self.artifact_id)
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            self._session.refuse(error, what="checkpoint")

    def __enter__(self) -> "CheckpointWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.complete()


class Summary(ValueMap):
    """The summary of a run as its process knows it; what is set is recorded at once."""

    __module__ = "quark"

    def __init__(self, session: Reporting) -> None:
        self._session = session
        self._values: dict[str, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self._session, "summary")

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def update(self, *given: Any, **named: Any) -> None:
        """Set several values with one record."""
        try:
            record = report_summary(self._session, entries(*given, strict=self._session.strict) | named)
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            self._session.refuse(error, what="summary")
            return
        self._values.update(record.payload["values"])

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"what a run has said of itself stays; set {name!r} to None instead")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Summary({self._values!r})"


def stored_summary(session: Reporting) -> Summary:
    """The summary of a run that is read and not recorded; empty where it cannot be read, which is reported."""
    made = Summary(session)
    try:
        found = session.reader().records(session.run_id, "event", RecordFilter(where={"event_type": SUMMARY}))
        made._values.update(summary_of(found))  # type: ignore[arg-type]
    except QuarkError as error:
        session.report("summary", error)
    return made


class _Progress:
    """Reports of progress, thinned out: a loop of a thousand steps a second says so once."""

    def __init__(self, session: Reporting) -> None:
        self._session = session
        self._waiting: dict[str, dict[str, Any]] = {}
        self._due: dict[str, float] = {}

    def say(self, payload: dict[str, Any]) -> None:
        operation, now = payload["operation"], time.monotonic()
        if now < self._due.get(operation, 0.0) and payload["value"] != payload["final_value"]:
            self._waiting[operation] = payload
            return
        self._due[operation] = now + PROGRESS_EVERY_S
        self._waiting.pop(operation, None)
        self._write(payload)

    def close(self) -> None:
        """The run ends: what was said last is recorded."""
        for payload in self._waiting.values():
            self._write(payload)
        self._waiting.clear()

    def _write(self, payload: dict[str, Any]) -> None:
        try:
            log_event(self._session, PROGRESS, payload=payload)
        except ClosedError as error:
            self._session.refuse(error, what="set_progress")
