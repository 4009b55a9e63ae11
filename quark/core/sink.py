"""The sink protocol: where records go. A sink is a tracker with one method for data, ``write(batch)``."""

from collections.abc import Callable
from typing import Any, ClassVar

from .batch import RecordBatch
from .handle import RunHandle
from .lifecycle import TrackerBase


class Sink(TrackerBase):
    """A destination of records, run by a worker thread of its own; it may wait, fail and raise.

    The worker calls, in this order: ``on_start(manifest)`` once, ``write(batch)`` for every batch in the order of the
    journal, ``flush()`` when somebody waits, ``on_stop(final_state, reason)`` when everything is written and the run
    has ended, ``close()`` at last. A call that raises is tried again with back-off; the batch stays in the journal
    until it was taken. ``on_step`` is not called: a step's metrics arrive as records.

    ``write`` is retried with the same batch after a fault, so it should take a batch twice without harm, or tell with
    ``position`` what it holds.
    """

    name: ClassVar[str] = "sink"
    per_writer: ClassVar[bool] = False
    """True: each process feeds its own instance. False: the process that owns the run feeds all writers' records."""

    isolates: ClassVar[bool] = False
    """True: the sink sets a record that it cannot take aside by itself, in ``batch.rejected``; no fault of it is a
    record's. False: a batch that keeps failing is written line by line, and what fails alone is set aside."""

    package: ClassVar[str] = ""
    """The client library that the sink imports. If it is named, ``spec`` tells all options, and the program itself has
    not imported it, the worker runs the sink in a process of its own: neither the import nor the client is felt."""

    def joined(self, run: RunHandle, settle: Callable[[float], bool]) -> None:
        """The sink was attached to a live run: for one that writes into the run what it finds in its records.

        ``settle(timeout_s)`` waits until the sink was given everything that is recorded by now. A sink that is given a
        stored run, as ``quark sync`` does, is not called.
        """

    def companion(self) -> "Sink | None":
        """A second sink, with a worker and a cursor of its own, for what would hold up this one; None for most."""
        return None

    def interrupt(self) -> None:
        """The time for the end is over: a ``write`` that takes long should raise soon. Called from another thread."""

    def idle(self) -> None:
        """Nothing new came for a moment (a quarter of a second). Not called while the sink is in trouble."""

    def write(self, batch: RecordBatch) -> None:
        """Take a batch. Returning means that it is kept as durably as this sink ever keeps anything."""
        raise NotImplementedError

    def position(self, writer_id: str) -> int | None:
        """The next sequence number that this sink expects of a writer; None where it does not know itself."""
        return None

    def flush(self) -> None:
        """Make what was written visible to readers."""

    def close(self) -> None:
        """Let go of files and connections. Called once, also after faults."""

    def spec(self) -> dict[str, Any] | None:
        """Options from which ``quark sync`` can build this sink again: JSON values, no secrets; None if it cannot."""
        return None

    def secret_spec(self) -> dict[str, Any] | None:
        """The same with secrets, for a process that ends with this one; never written down."""
        return self.spec()

    def tell(self) -> Any:
        """After ``on_start`` in a process of its own: what the object that the user holds shall know; JSON values."""
        return None

    def told(self, content: Any) -> None:
        """What ``tell`` said over there; called on the worker's thread."""
