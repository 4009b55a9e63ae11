"""Children that record and die, and the accounts that both sides keep of what was acknowledged."""

import mmap
import random
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import quark
from quark.session.sync import SyncReport, sync
from tests.children import child_environment

CHILD = Path(__file__).with_name("child.py")
THREADS = 4


class Acknowledged:
    """A page that the child writes its counts into, one 8-byte number a thread; it outlives the child."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(4096))
        self._file = path.open("r+b")
        self._page = mmap.mmap(self._file.fileno(), 4096)

    def counts(self) -> list[int]:
        """What each thread had been told."""
        return list(struct.unpack_from(f"<{THREADS}q", self._page))

    def close(self) -> None:
        self._page.close()
        self._file.close()


def start_child(directory: Path, mode: str, *options: str) -> tuple[subprocess.Popen[bytes], Acknowledged]:
    """A child that records into ``directory / store`` in the way that ``mode`` names."""
    directory.mkdir(parents=True, exist_ok=True)
    page = Acknowledged(directory / "acknowledged")
    environment = child_environment()
    process = subprocess.Popen(
        [sys.executable, str(CHILD), str(directory / "store"), str(page.path), mode, *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
    )  # fmt: skip
    return process, page


def kill_at_random(process: subprocess.Popen[bytes], page: Acknowledged, rng: random.Random) -> None:
    """Wait until every thread records, let it go on for a moment, and kill it with signal 9."""
    deadline = time.monotonic() + 60
    while not all(page.counts()) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.25))
    process.send_signal(signal.SIGKILL)
    process.wait(30)


def end(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    """Return code, output and error output of a child that ends by itself."""
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.returncode, out.decode(), err.decode()


def account(directory: Path, page: Acknowledged) -> tuple[SyncReport, "quark.RunRecord", dict[str, int]]:
    """Sync, then compare: ``lost`` acknowledged values, values found ``twice``, and how many were found."""
    report = sync(directory / "store")
    told = page.counts()
    page.close()
    with quark.open(directory / "store", sync=False) as store:
        (view,) = list(store.runs())
        lost = twice = found = 0
        known = view.keys()
        for thread, count in enumerate(told):
            key = f"thread/{thread}"
            values = view.series(key).values.tolist() if key in known else []
            seen = Counter(int(value) for value in values)
            found += len(values)
            lost += sum(1 for number in range(count) if number not in seen)
            twice += sum(n - 1 for n in seen.values())
            if values != sorted(values):
                raise AssertionError(f"{key} came out of order")
        return report, view.record, {"acknowledged": sum(told), "found": found, "lost": lost, "twice": twice}
