"""What system telemetry costs: one look at the machine, and what a step pays in the training thread."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from quark import SystemTelemetry, SystemTelemetryConfig
from quark.producers.telemetry.machine import this_machine
from quark.records.base import Origin
from quark.testing import MemoryRunHandle

pytestmark = pytest.mark.benchmark

STEPS = 2000
ROUNDS = 30


class Mapped:
    """A journal with the cost of a mapped one: a copy into a buffer that is there."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.next = 0
        self._buffer = memoryview(bytearray(1 << 12))

    def put(self, number: int, line: bytes) -> bool:
        """Store a line over the one before."""
        if number != self.next:
            return False
        self.next = number + 1
        self._buffer[: len(line)] = line
        return True


def cpu_us(act: Callable[[int], Any], times: int) -> float:
    """CPU microseconds of one call in this thread, the best of the rounds: the machine is shared."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.thread_time_ns()
        for step in range(times):
            act(step)
        best = min(best, (time.thread_time_ns() - begun) / times / 1000)
    return best


def test_cost_of_telemetry() -> None:
    """A look at the machine costs about what its system calls cost, and a step a few microseconds."""
    handle = MemoryRunHandle()
    handle.journal = Mapped(handle.journal.origin)  # type: ignore[assignment]
    machine = this_machine()
    mirrored = SystemTelemetry(handle)
    plain = SystemTelemetry(handle, config=SystemTelemetryConfig(emit_scalar_metrics=False))
    sparse = SystemTelemetry(handle, config=SystemTelemetryConfig(sample_every_n_steps=1 << 40))
    mirrored.sample()
    plain.sample()

    def scope_of(telemetry: SystemTelemetry, first: int = 0) -> Callable[[int], None]:
        def act(step: int) -> None:
            with telemetry.start_step(step + first) as scope:
                scope.mark_data_ready()

        return act

    rows = [
        ("a look at processor, memory and process (sampler thread)", cpu_us(lambda _: machine.read(), 200)),
        ("start_step scope, record and mirrored metrics", cpu_us(scope_of(mirrored), STEPS)),
        ("start_step scope, record alone", cpu_us(scope_of(plain), STEPS)),
        ("start_step scope off the cadence", cpu_us(scope_of(sparse, 1), STEPS)),
        ("record_step, record and metrics", cpu_us(lambda step: mirrored.record_step(step, step_time_ms=1.0), STEPS)),
        ("record_step off the cadence", cpu_us(lambda step: sparse.record_step(step + 1, step_time_ms=1.0), STEPS)),
    ]
    for telemetry in (mirrored, plain, sparse):
        telemetry.close()
    print(f"\n{'CPU microseconds a call':60}{'us':>8}")
    for name, cost in rows:
        print(f"{name:60}{cost:8.2f}")
    look, scope = rows[0][1], rows[1][1]
    assert scope < look, "a step must cost less than a look at the machine, or the sampler is in its way"
