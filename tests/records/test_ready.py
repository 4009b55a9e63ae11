"""msgspec may convert to a class that several threads meet for the first time at once."""

import subprocess
import sys

from quark.records.ready import ready

from ..children import child_environment

FIRST_SIGHTINGS = """
import dataclasses, sys, threading
from typing import Annotated
import msgspec
from quark.records.ready import ready

sys.setswitchinterval(1e-6)
for number in range(200):
    fields = [(f"f{field}", Annotated[list[dict[str, int]] | None, msgspec.Meta(ge=None)]) for field in range(40)]
    shape = dataclasses.make_dataclass(f"Shape{number}", fields)
    value = {name: [{"a": 1}] for name, _ in fields}
    at_once = threading.Barrier(4)

    def meet():
        at_once.wait()
        msgspec.convert(value, type=ready(shape))

    threads = [threading.Thread(target=meet) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""

FORKS = """
import dataclasses, os, sys, threading
import msgspec
from quark.records.ready import ready

sys.setswitchinterval(1e-6)
fields = [(f"f{field}", list[int | None] | None, None) for field in range(80)]
shapes = [dataclasses.make_dataclass(f"Shape{number}", fields) for number in range(200)]
thread = threading.Thread(target=lambda: [ready(shape) for shape in shapes])
thread.start()
while thread.is_alive():
    child = os.fork()
    if child == 0:
        for shape in shapes:
            msgspec.convert({"f39": [1]}, type=ready(shape))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


def _runs(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], env=child_environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_threads_that_meet_a_class_at_once() -> None:
    """It ended the process with a null pointer: a service that had just started, and two clients."""
    _runs(FIRST_SIGHTINGS)


def test_a_child_that_is_forked_meanwhile() -> None:
    """It neither waits for a lock that nobody holds any more nor keeps a class that is described by half."""
    _runs(FORKS)


def test_annotations() -> None:
    """An annotation is as good as a class, and is given back as it is."""
    annotation = dict[str, list[int]] | None
    assert ready(annotation) is annotation
