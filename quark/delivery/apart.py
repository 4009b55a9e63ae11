"""A sink in a process of its own: what its client imports, computes and waits for is not felt by the training."""

import logging
import os
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..core.batch import RecordBatch
from ..core.lifecycle import RunManifest, StepState
from ..core.sink import Sink
from ..records.foreign import suppress_foreign
from ..settings import setting
from .place import WriterPlace, writer_places

if TYPE_CHECKING:
    from .frames import Answer, Fault

_left: "list[subprocess.Popen[bytes]]" = []
"""Processes that were left at the end of their time; they are looked after when another one is started."""


def goes_apart(sink: Any) -> bool:
    """Whether a sink gets a process: its package is named, and the program itself has not imported (set up) it.

    A sink that works with the live objects of this process cannot be made again over there: it has no ``spec``, is
    told of the run by ``joined``, or had a method replaced.
    """
    cls = type(sink)
    package = getattr(cls, "package", "")
    return (
        isinstance(sink, Sink)
        and bool(package and sys.executable)
        and not getattr(sys, "frozen", False)  # what runs there is the user's own program, not Python
        and package not in sys.modules
        and setting("QUARK_SINK_PROCESSES")
        and cls.__module__ != "__main__"
        and getattr(sys.modules.get(cls.__module__), cls.__name__, None) is cls
        and cls.joined is Sink.joined
        and not any(callable(getattr(cls, name, None)) for name in vars(sink))
        and sink.spec() is not None
    )


class Apart(Sink):
    """Passes the calls of a worker on to the sink's process, and starts that again if it is gone.

    The process holds a share of a lock of the writer's, so nobody delivers the rest of a killed run while it lives.

    Args:
        sink: what is made again over there; it works here where no process can be started.
        place: that of the writer's journal.
    """

    def __init__(self, sink: Sink, place: WriterPlace) -> None:
        from .frames import Made  # here and below: few runs have such a sink

        vars(self).update(name=sink.name, isolates=sink.isolates, per_writer=sink.per_writer)
        cls = type(sink)
        self._made = Made(cls.__module__, cls.__name__, sink.secret_spec() or {})
        self._idles = cls.idle is not Sink.idle
        self._sink = sink
        self._place = place
        if place.hosts.descriptor is None:
            with suppress(OSError):  # without the lock the process may live a moment longer than somebody thinks
                place.hosts.acquire()
        self._here = False
        self._process: subprocess.Popen[bytes] | None = None
        self._manifest: RunManifest | None = None
        self._leaving_since: float | None = None

    def __repr__(self) -> str:
        return f"{self._sink!r} in a process of its own"

    def spec(self) -> dict[str, Any] | None:
        """That of the sink."""
        return self._sink.spec()

    def on_start(self, manifest: RunManifest) -> None:
        """Start the process, and the sink in it."""
        self._manifest = manifest
        told = self._call("on_start", manifest)
        if not self._here:
            self._sink.told(told)

    def position(self, writer_id: str) -> int | None:
        """What the sink says."""
        return self._call("position", writer_id)

    def write(self, batch: RecordBatch) -> None:
        """Hand the batch over, and wait until the sink has taken it."""
        if self._here:
            self._sink.write(batch)
            return
        origin = batch.origin
        self._call("write", origin, batch.first, batch.stop, batch.data, batch.dropped, rejected=batch.rejected)

    def flush(self) -> None:
        """Pass it on."""
        self._call("flush")

    def idle(self) -> None:
        """Pass it on to a sink that makes something of it."""
        if self._idles:
            self._call("idle")

    def on_stop(self, final_state: StepState | None, reason: Any) -> None:
        """Pass the reason on; a final state may hold anything, and stays here."""
        self._call("on_stop", None, reason)

    def interrupt(self) -> None:
        """Leave the process alone with what it is at; it has a while for that, also if this one ends."""
        self._leaving_since = time.monotonic()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
        if self._here:
            self._sink.interrupt()

    def close(self) -> None:
        """Close the sink and end its process."""
        if self._here:
            self._sink.close()
            return
        process = self._process
        if process is None:
            return
        try:
            if process.poll() is None:
                self._call("close")
        finally:
            self._let_go(process)

    def _call(self, method: str, *arguments: Any, rejected: list[tuple[bytes, str]] | None = None) -> Any:
        """What the sink answers.

        Raises:
            ConnectionError: its process is gone; the next call starts another one.
            Exception: what the sink raised, an OSError if it did, under the same name.
        """
        process = self._running(method)
        if process is None:
            return getattr(self._sink, method)(*arguments)
        from .frames import Call

        try:
            answer = self._asked(process, Call(method, list(arguments)))
        except (OSError, EOFError) as error:
            self._let_go(process)
            raise ConnectionError(
                f"the process of the sink {self.name!r} is gone (exit code {process.returncode}); it is started again"
            ) from error
        if rejected is not None:
            rejected.extend(answer.rejected)
        if answer.fault is not None:
            raise _raised(answer.fault)
        return answer.result

    def _asked(self, process: "subprocess.Popen[bytes]", message: Any) -> "Answer":
        from .frames import Answer, receive, send

        inbound, outbound = process.stdin, process.stdout
        if inbound is None or outbound is None:
            raise EOFError("the process has no pipes")
        send(inbound.fileno(), message)
        answer: Answer = receive(outbound.fileno(), Answer, alive=lambda: self._is_waited_for(process))
        for logger, level, text in answer.logged:
            with suppress_foreign():  # a handler of the program's own logging
                logging.getLogger(logger).log(level, "%s", text)
        return answer

    def _is_waited_for(self, process: "subprocess.Popen[bytes]") -> bool:
        since = self._leaving_since
        return process.poll() is None and (since is None or time.monotonic() - since < 1)

    def _running(self, method: str) -> "subprocess.Popen[bytes] | None":
        """The process with the sink in it; None if there can be none."""
        if self._process is None and not self._here:
            if self._leaving_since is not None:
                raise ConnectionError(f"the time of the sink {self.name!r} is over; the rest waits in the journal")
            if any(place.is_served() for place in self._earlier()):
                raise ConnectionError(f"a process of an earlier attempt still works for the sink {self.name!r}")
            self._begin(method)
        return self._process

    def _earlier(self) -> list[WriterPlace]:
        return [
            place for place in writer_places(self._place.directory.parent) if place.directory != self._place.directory
        ]

    def _begin(self, method: str) -> None:
        """Make the sink over there; one that had been at work goes on where its destination says.

        Only a sink that is just starting may stay here instead: one that was at work has been told of no run here.
        """
        try:
            self._process = self._started()
            fault = self._asked(self._process, self._made).fault
            reason = None if fault is None else f"{fault.name}: {fault.message}"
        except (OSError, EOFError) as error:
            reason = f"it could not be started: {error}"
        if reason is not None:
            self._let_go(self._process)
            if method != "on_start":
                raise ConnectionError(f"the sink {self.name!r} could not be made again in a process ({reason})")
            self._here = True
            logging.getLogger("quark").warning(
                "the sink %r works on a thread of this process, and not in one of its own (%s)", self.name, reason
            )
        elif method != "on_start":
            try:
                self._call("on_start", self._manifest)
            except Exception:
                self._let_go(self._process)
                raise

    def _started(self) -> "subprocess.Popen[bytes]":
        _left[:] = [process for process in _left if process.poll() is None]
        shared = self._place.hosts.descriptor
        paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "quark.delivery.host", str(-1 if shared is None else shared)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}, bufsize=0,
            pass_fds=() if shared is None else (shared,), start_new_session=True,
        )  # fmt: skip

    def _let_go(self, process: "subprocess.Popen[bytes] | None") -> None:
        """Close the pipes; a process that was not left alone then ends at once."""
        self._process = None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(0.2 if self._leaving_since is not None else 10.0)
        except subprocess.TimeoutExpired:
            if self._leaving_since is not None:
                _left.append(process)
            else:
                process.kill()
                process.wait()


def _raised(fault: "Fault") -> Exception:
    """The same error here: its type's name, whether it was an OSError, and the pause that it asks for."""
    base = OSError if fault.os_error else Exception
    told: Any = type(fault.name, (base,), {"__module__": "quark", "retry_after_s": fault.retry_after_s})
    return told(fault.message)
