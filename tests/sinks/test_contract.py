"""The built-in sinks against the contract that third-party sinks are held to."""

import contextlib
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

from quark.records.base import Origin
from quark.records.line import decode_line, records_of
from quark.sinks.jsonl import JsonlSink
from quark.sinks.memory import MemorySink
from quark.testing import SinkContract


class TestMemory(SinkContract):
    """MemorySink keeps the contract."""

    durable = False

    def make_sink(self, tmp_path):
        return MemorySink()

    def read_back(self, sink):
        return list(sink.records)


class TestJsonl(SinkContract):
    """JsonlSink keeps the contract, with files on a real disk."""

    def make_sink(self, tmp_path):
        return JsonlSink(tmp_path / "run.jsonl", fsync="never")

    def read_back(self, sink):
        return [record for line in lines_in(sink.path) for record in records_of(decode_line(line), Origin("r", "w"))]

    @contextlib.contextmanager
    def broken(self, sink):
        """The file may grow by 100 bytes and no more, so that the write is a short one first and an error then."""
        with size_limit(os.path.getsize(sink.path) + 100):
            yield


class TestRollingJsonl(TestJsonl):
    """JsonlSink keeps the contract while it changes files."""

    def make_sink(self, tmp_path):
        return JsonlSink(tmp_path / "run.jsonl", fsync="never", max_bytes=700)

    def read_back(self, sink):
        numbered = sorted(sink.path.parent.glob("run*.jsonl"), key=lambda path: (len(path.name), path.name))
        lines = [line for path in numbered for line in lines_in(path)]
        return [record for line in lines for record in records_of(decode_line(line), Origin("r", "w"))]

    @contextlib.contextmanager
    def broken(self, sink):
        """The next file takes the beginning of its header and no more."""
        with size_limit(50):
            yield


def lines_in(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


@contextlib.contextmanager
def size_limit(size: int) -> Iterator[None]:
    """No file of this process may grow beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
