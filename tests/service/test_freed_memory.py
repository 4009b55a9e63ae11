"""What requests free is given back where it is large, and used again where it is not."""

import subprocess
import sys

import pytest

from quark.service import memory

ROUNDS = """
import resource, runpy, sys

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def rounds(count):
    for _ in range(count):
        held = [b"x" * size for size in (65_536, 60_000, 125_536, 300_000)]
        del held

runpy.run_path(sys.argv[1])["return_freed_memory"]()  # without the package, whose imports leave other heaps behind
rounds(20)
before = faults()
rounds(200)
print(faults() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library is glibc on Linux only")
def test_buffers_of_usual_requests_are_used_again() -> None:
    """A request of the usual size maps no pages: it takes what the one before has freed."""
    command = [sys.executable, "-c", ROUNDS, memory.__file__]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 400  # a hundred pages a round would be 20,000
