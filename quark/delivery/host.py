"""The process of one sink, ``python -m quark.delivery.host``: started by ``Apart``, and ended with who started it."""

import logging
import os
import select
import signal
import sys
import threading
import time
from importlib import import_module
from typing import Any

import msgspec

from ..core.batch import RecordBatch
from ..core.lifecycle import RunManifest
from ..core.sink import Sink
from ..records.base import Origin
from ..records.ready import ready
from .frames import Answer, Call, Fault, Made, receive, send

GRACE_S = 30.0
"""How long the call that is at work may still take when the run is over and nobody waits for it any more."""


class Host:
    """Makes the sink, and calls it on a thread of its own, as a worker does in the training's process."""

    def __init__(self, inbound: int, outbound: int, lock: int) -> None:
        self._inbound = inbound
        self._outbound = outbound
        self._lock = lock
        self._parent = os.getppid()
        if lock >= 0:
            os.set_inheritable(lock, False)
        self._logged = _Logged()
        self._sink: Any = None
        self._left = False
        signal.signal(signal.SIGTERM, self._leave)
        for number in (signal.SIGINT, signal.SIGHUP):  # they are meant for the training, which says when it ends
            signal.signal(number, lambda *_: None)
        logging.getLogger().addHandler(self._logged)

    def run(self) -> None:
        """Serve until the sink is closed, or the other side is gone."""
        threading.Thread(target=self._served, name="quark-sink", daemon=True).start()
        hung_up = select.poll()
        hung_up.register(self._inbound, 0)
        while self._has_parent() and not hung_up.poll(500):  # signals reach this thread only: it makes no calls
            pass
        self._abandoned()

    def _leave(self, *_: Any) -> None:
        self._left = True

    def _abandoned(self) -> None:
        """The other process is gone. Killed: its journal is for who comes next. Ended in time: finish the call."""
        if self._left:
            nothing = os.open(os.devnull, os.O_WRONLY)
            for number in (1, 2):  # whoever reads what the training printed has read all of it
                os.dup2(nothing, number)
            time.sleep(GRACE_S)
        os._exit(0)

    def _served(self) -> None:
        try:
            self._answer(self._make, receive(self._inbound, Made, alive=self._has_parent))
            while True:
                call: Call = receive(self._inbound, Call, alive=self._has_parent)
                self._answer(self._do, call)
                if call.method == "close":
                    break
        except (OSError, EOFError):
            if self._left and self._sink is not None:
                self._answer(self._do, Call("close"), tell=False)
        logging.shutdown()
        os._exit(0)

    def _has_parent(self) -> bool:
        return os.getppid() == self._parent

    def _answer(self, act: Any, message: Any, *, tell: bool = True) -> None:
        rejected: list[tuple[bytes, str]] = []
        result: Any = None
        fault: Fault | None = None
        try:
            result = act(message, rejected)
        except BaseException as error:  # noqa: BLE001  whatever a sink raises is raised again where it is waited for
            pause = float(getattr(error, "retry_after_s", 0.0) or 0.0)
            fault = Fault(type(error).__name__, str(error), isinstance(error, (OSError, MemoryError)), pause)
        if isinstance(message, Call) and message.method == "close":
            self._unlock()
        if tell:
            send(self._outbound, Answer(result, fault, rejected, self._logged.taken()))

    def _unlock(self) -> None:
        """Let go of the journal before the answer: who gets that may delete it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _make(self, made: Made, rejected: list[tuple[bytes, str]]) -> None:
        self._sink = getattr(import_module(made.module), made.name)(**made.options)

    def _do(self, call: Call, rejected: list[tuple[bytes, str]]) -> Any:
        sink: Sink = self._sink
        if call.method == "write":
            origin, first, stop, data, dropped = call.arguments
            batch = RecordBatch(msgspec.convert(origin, ready(Origin)), first, stop, data, dropped)
            try:
                return sink.write(batch)
            finally:
                rejected.extend(batch.rejected)
        if call.method == "on_start":
            sink.on_start(msgspec.convert(call.arguments[0], ready(RunManifest)))
            return sink.tell()
        return getattr(sink, call.method)(*call.arguments)


class _Logged(logging.Handler):
    """Keeps what is logged until the next answer takes it along."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._kept: list[tuple[str, int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, unless nobody asks for a long while."""
        if len(self._kept) < 1000:
            self._kept.append((record.name, record.levelno, record.getMessage()))

    def taken(self) -> list[tuple[str, int, str]]:
        """What was kept; it is forgotten here."""
        kept, self._kept = self._kept, []
        return kept


def main() -> None:
    """Take the pipes for the frames, and send to the standard error what anybody prints."""
    inbound, outbound = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    Host(inbound, outbound, int(sys.argv[1])).run()


if __name__ == "__main__":
    main()
