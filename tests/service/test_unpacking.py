"""Packed bodies: what they need while they are unpacked is counted, and nothing of a refused one is kept."""

import gc
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import zstandard

from quark.service.bodies import unpacked
from quark.service.config import MIB
from quark.service.problems import ProblemError

from .conftest import Served
from .test_costs import event

LIMIT = 32 * MIB
BLOCK = 128 << 10


def frame(blocks: int, window_log: int = 17) -> bytes:
    """A zstd frame of blocks of one repeated letter: four bytes each, which become 128 KiB (RFC 8878)."""
    head = b"\x28\xb5\x2f\xfd\x00" + bytes([(window_log - 10) << 3])
    letters = [
        ((BLOCK << 3 | 1 << 1 | (number == blocks - 1)).to_bytes(3, "little") + b"x") for number in range(blocks)
    ]
    return head + b"".join(letters)


@contextmanager
def peak() -> Iterator[list[int]]:
    """The most bytes that are held within the block beyond those of before, and what is left behind it."""
    found: list[int] = []
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        yield found
        found += reversed(tracemalloc.get_traced_memory())
    finally:
        tracemalloc.stop()
        gc.enable()


def test_what_is_unpacked_at_once() -> None:
    """Four kilobytes that are 128 MiB are given up before more than the limit and a few megabytes are unpacked."""
    taken: list[int] = []
    with peak() as found, pytest.raises(ProblemError) as raised:
        unpacked(frame(1024), "zstd", LIMIT, taken.append)
    assert raised.value.status == 413
    assert max(taken) <= 8 * MIB and sum(taken) <= LIMIT + BLOCK
    assert found[0] < LIMIT + 24 * MIB
    with peak() as found:
        assert len(unpacked(frame(255), "zstd", LIMIT, taken.append)) == 255 * BLOCK
    assert found[0] < LIMIT + 24 * MIB


def test_the_window_is_memory_too() -> None:
    """A frame that wants a larger window than a body may have is refused before the window is made."""
    assert unpacked(frame(1, window_log=25), "zstd", LIMIT, lambda _: None) == b"x" * BLOCK
    with pytest.raises(ProblemError, match="window") as raised:
        unpacked(frame(1, window_log=27), "zstd", LIMIT, lambda _: None)
    assert raised.value.status == 413
    taken: list[int] = []
    unpacked(frame(1, window_log=24), "zstd", LIMIT, taken.append)
    assert sum(taken) == (1 << 24) + BLOCK


def announced(content: bytes, size: int) -> bytes:
    """A zstd frame that says its content is so long, whatever it is."""
    head = b"\x28\xb5\x2f\xfd" + bytes([0b1000_0000, (17 - 10) << 3]) + size.to_bytes(4, "little")
    return head + (len(content) << 3 | 1).to_bytes(3, "little") + content


def test_a_frame_may_say_how_long_it_is() -> None:
    """So many bytes are taken before they are unpacked, and a frame that holds more or fewer is damaged."""
    taken: list[int] = []
    assert unpacked(announced(b"abc", 3), "zstd", LIMIT, taken.append) == b"abc"
    assert unpacked(zstandard.compress(b"x" * MIB), "zstd", LIMIT, taken.append) == b"x" * MIB
    assert taken == [1 << 17, 3, MIB, MIB]  # the window of each, and what it becomes


@pytest.mark.parametrize(
    "body",
    [
        announced(b"abc", 2), announced(b"abc", 4), announced(b"abc", LIMIT), announced(b"abc", 3)[:-1],
        announced(b"abc", 3) + b"d", announced(b"abc", 3) * 2, announced(b"x" * 1000, 1),
    ],
    ids=["longer", "shorter", "much shorter", "cut off", "more behind it", "another frame", "much longer"],
)  # fmt: skip
def test_a_frame_that_lies_about_its_length_is_damaged(body: bytes) -> None:
    """Nothing of it is taken for the body."""
    with peak() as found, pytest.raises(ProblemError) as raised:
        unpacked(body, "zstd", LIMIT, lambda _: None)
    assert (raised.value.status, raised.value.content["code"]) == (400, "damaged")
    assert found[0] < LIMIT + 24 * MIB


def test_a_frame_that_says_it_is_too_long_is_refused_unread() -> None:
    """Its room is not taken either."""
    taken: list[int] = []
    with pytest.raises(ProblemError) as raised:
        unpacked(announced(b"abc", 1 << 31), "zstd", LIMIT, taken.append)
    assert raised.value.status in (400, 413)
    assert sum(taken) < MIB


def test_unpacking_takes_room(served: Served) -> None:
    """There is no room for what a body becomes: 503, and everything is given back."""
    room = served.app.state.room
    before = room.free
    room.take("others", room.free - MIB)
    headers = {"Content-Encoding": "zstd"}
    answer = served.ask("POST", "/api/v1/runs/r/writers/w/records?first=0&stop=1", content=frame(16), headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
    room.leave("others")
    assert room.free == before


def test_nothing_of_a_refused_body_is_kept(served: Served) -> None:
    """What a refused request held is free when it has been answered; it does not wait for the collector of cycles."""
    packed = zstandard.ZstdCompressor().compress(event(b'{"m":"%s"}' % (b"x" * (12 * MIB))))

    def send() -> int:
        path, headers = "/api/v1/runs/r/writers/w/records?first=0&stop=1", {"Content-Encoding": "zstd"}
        return served.ask("POST", path, content=packed, headers=headers).status_code

    assert send() == 422
    with peak() as found:
        assert [send() for _ in range(3)] == [422] * 3
    assert found[1] < 6 * MIB


def test_large_buffers_go_back_to_the_system() -> None:
    """The memory of threads that have had large buffers is the system's again, in a process that serves."""
    code = """
import threading, psutil
from quark.service.memory import return_freed_memory
return_freed_memory()
own = psutil.Process()
before, meet = own.memory_info().rss, threading.Barrier(9)
def work():
    for size in (24, 20, 24):
        held = bytearray(size << 20)
        small = bytes(1 << 16)
        del held
    meet.wait(); meet.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
meet.wait()
print((own.memory_info().rss - before) >> 20)
meet.wait()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 32


@pytest.mark.parametrize("level", [1, 3, 9, 19])
def test_packed_as_clients_do(level: int) -> None:
    """Data with and without its size in front, of every usual level."""
    data = b"".join(b'{"n":%d}\n' % number for number in range(20_000))
    stream = zstandard.ZstdCompressor(level=level).compressobj()
    for packed in (zstandard.ZstdCompressor(level=level).compress(data), stream.compress(data) + stream.flush()):
        assert unpacked(packed, "zstd", LIMIT, lambda _: None) == data
