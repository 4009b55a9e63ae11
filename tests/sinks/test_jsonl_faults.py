"""JsonlSink exactly once through full disks, broken disks and sudden ends."""

import os
import subprocess
import sys
import time

import pytest

from quark.testing import make_batch, metric_lines

from .files import ORIGIN, numbers, opened


def test_a_failed_sync_is_written_again(tmp_path, monkeypatch):
    """With fsync="always" a batch whose sync failed is taken out again, so that its retry is neither twice nor lost."""
    sink = opened(tmp_path / "run.jsonl", fsync="always")
    batch = make_batch(ORIGIN, metric_lines(3))

    def fail(descriptor):
        raise OSError(5, "the disk is broken")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="broken"):
        patch.setattr(os, "fdatasync", fail)
        sink.write(batch)
    assert (tmp_path / "run.jsonl").read_bytes() == b""
    sink.write(batch)
    sink.close()
    assert numbers(tmp_path / "run.jsonl") == [0, 1, 2]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB, where this machine lets us mount one."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system needs privileges that this process does not have")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.fault
def test_a_full_disk(small_disk):
    """On a full disk every try raises and leaves whole lines only; once there is room, nothing is lost or twice."""
    path = small_disk / "run.jsonl"
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 40_000)
    sink = opened(path)
    batches = [make_batch(ORIGIN, metric_lines(100, first_step=first), first) for first in range(0, 400, 100)]
    taken = 0
    for batch in batches:
        try:
            sink.write(batch)
        except OSError:
            break
        taken += 1
    assert taken < len(batches)
    before = path.read_bytes()
    with pytest.raises(OSError, match="No space"):
        sink.write(batches[taken])
    assert path.read_bytes() == before
    filler.unlink()
    for batch in batches[taken:]:
        sink.write(batch)
    sink.close()
    assert numbers(path) == list(range(400))


_ENDLESS = """
import sys
from quark.records.base import Origin
from quark.sinks.jsonl import JsonlSink
from quark.testing import make_batch, make_manifest, metric_lines
origin = Origin("run-1", "writer-a")
sink = JsonlSink(sys.argv[1], fsync="never", max_bytes=int(sys.argv[2]) or None)
sink.on_start(make_manifest(origin))
first = sink.position("writer-a")
lines = metric_lines(200, ("a", "b"))
while True:
    sink.write(make_batch(origin, lines, first))
    first += 400
    print(first, flush=True)
"""


@pytest.mark.fault
@pytest.mark.parametrize("max_bytes", [0, 50_000])
def test_killed_while_it_writes(tmp_path, max_bytes):
    """Killed at a random moment, five times over: what a write returned for is there, nothing is torn or twice."""
    path = tmp_path / "run.jsonl"
    for life in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", _ENDLESS, path, str(max_bytes)], stdout=subprocess.PIPE, text=True
        )
        with process:
            assert process.stdout is not None
            told = [int(process.stdout.readline()) for _ in range(5)]
            time.sleep(0.003 * life)
            process.kill()
            told += [int(line) for line in process.stdout if line.endswith("\n")]
        sink = opened(path)
        position = sink.position("writer-a")
        sink.close()
        assert position >= told[-1]
    files = sorted(tmp_path.iterdir(), key=lambda file: (len(file.name), file.name))
    found = [number for file in files for number in numbers(file)]
    assert found == list(range(position))
