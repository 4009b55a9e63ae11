"""What importing costs: CPU of ``import quark``, and of the names of a training loop, above a bare interpreter."""

import resource
import statistics
import subprocess
import sys

import pytest

pytestmark = pytest.mark.benchmark

ROUNDS = 15
IMPORT_CPU_MS = 40.0
LOOP = "from quark import TrainingSession, MetricsLogger, EventLogger, ArtifactStore, start_run"


def cpu_ms(program: str) -> float:
    """CPU milliseconds of a fresh interpreter that runs ``program``, the median of the rounds."""
    return statistics.median(_once(program) for _ in range(ROUNDS))


def _once(program: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3


def test_cost_of_import() -> None:
    """``import quark`` stays within 40 ms of CPU above a bare Python."""
    bare = cpu_ms("pass")
    plain = cpu_ms("import quark") - bare
    loop = cpu_ms(LOOP) - bare
    print(
        f"\nCPU above a bare Python ({bare:.1f} ms): import quark {plain:.1f} ms, a training loop's names {loop:.1f} ms"
    )
    assert plain <= IMPORT_CPU_MS
