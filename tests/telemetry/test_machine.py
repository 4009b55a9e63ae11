"""Processor and memory, by a psutil that a test holds and by the real one."""

import os
from collections import namedtuple
from pathlib import Path
from typing import Any

import psutil
import pytest

from quark.producers.telemetry import once
from quark.producers.telemetry.cgroup import ControlGroup
from quark.producers.telemetry.machine import Machine, this_machine

from .doubles import Clock

Times = namedtuple("Times", "user system idle iowait guest guest_nice", defaults=(0.0, 0.0))
Memory = namedtuple("Memory", "total available")


class Psutil:
    """psutil with four processors, 1000 bytes of memory and times that a test sets."""

    Error = psutil.Error

    def __init__(self) -> None:
        self.busy = [0.0] * 4
        self.wall = 0.0
        self.fault: Exception | None = None

    def cpu_count(self) -> int:
        return 4

    def cpu_times(self, percpu: bool = False) -> Any:
        each = [Times(busy, 0.0, self.wall - busy - 0.1 * self.wall, 0.1 * self.wall) for busy in self.busy]
        return each if percpu else Times(*(sum(column) for column in zip(*each, strict=True)))

    def virtual_memory(self) -> Any:
        return Memory(1000, 600)

    def Process(self) -> Any:
        return self

    def memory_info(self) -> Any:
        if self.fault is not None:
            raise self.fault
        return namedtuple("Info", "rss")(123)


@pytest.fixture
def fake() -> Psutil:
    return Psutil()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def nowhere(tmp_path: Path) -> ControlGroup:
    """No limits."""
    return ControlGroup(tmp_path / "none", tmp_path / "none")


def pass_time(fake: Psutil, clock: Clock, seconds: float, busy: list[float]) -> None:
    """Let the machine run, each processor busy for so many seconds."""
    clock.now += seconds
    fake.wall += seconds
    fake.busy = [before + more for before, more in zip(fake.busy, busy, strict=True)]


def test_the_first_look_has_memory_and_the_second_the_processor(fake: Psutil, clock: Clock, tmp_path: Path) -> None:
    """The use of the processor is counted from the look before; waiting for a disk is not use."""
    machine = Machine(fake, nowhere(tmp_path), clock=clock)
    first = machine.read()
    assert not machine.complete
    pass_time(fake, clock, 1.0, [0.9, 0.1, 0.0, 0.0])
    assert first == {
        "cpu_usage_percent": None,
        "ram_usage_percent": 40.0,
        "ram_used_bytes": 400,
        "process_rss_bytes": 123,
    }
    assert machine.read()["cpu_usage_percent"] == pytest.approx(25.0)
    assert machine.complete


def test_each_look_counts_from_the_one_before(fake: Psutil, clock: Clock, tmp_path: Path) -> None:
    """A busy second after an idle one reads 100 %, not the mean."""
    machine = Machine(fake, nowhere(tmp_path), clock=clock)
    machine.read()
    seen = []
    for busy in (0.0, 0.9, 0.45):
        pass_time(fake, clock, 1.0, [busy] * 4)
        seen.append(machine.read()["cpu_usage_percent"])
    assert seen == pytest.approx([0.0, 90.0, 45.0])


def test_a_window_shorter_than_a_tick_keeps_the_last_value(fake: Psutil, clock: Clock, tmp_path: Path) -> None:
    """The kernel counts in ticks of 10 ms; over 5 ms a share would be 0 or 100."""
    machine = Machine(fake, nowhere(tmp_path), clock=clock)
    machine.read()
    pass_time(fake, clock, 1.0, [0.5] * 4)
    machine.read()
    pass_time(fake, clock, 0.005, [0.005] * 4)
    assert machine.read()["cpu_usage_percent"] == pytest.approx(50.0)


def test_only_the_processors_that_the_process_may_use_count(fake: Psutil, clock: Clock, tmp_path: Path) -> None:
    """A process that is bound to two of four processors and keeps both busy uses all that it has."""
    machine = Machine(fake, nowhere(tmp_path), [1, 2], clock=clock)
    machine.read()
    pass_time(fake, clock, 1.0, [0.0, 0.9, 0.9, 0.0])
    assert machine.read()["cpu_usage_percent"] == pytest.approx(90.0)


def test_a_control_group_sets_what_is_available(fake: Psutil, clock: Clock, tmp_path: Path) -> None:
    """A quarter of a second in a second of half a processor is 50 %; memory is held against the limit."""
    files = {
        "cgroup.controllers": "", "cpu.max": "50000 100000", "cpu.stat": "usage_usec 0",
        "memory.max": "200", "memory.current": "50",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    machine = Machine(fake, ControlGroup(tmp_path, tmp_path / "none"), clock=clock)
    machine.read()
    pass_time(fake, clock, 1.0, [1.0] * 4)
    (tmp_path / "cpu.stat").write_text("usage_usec 250000")
    read = machine.read()
    assert (read["cpu_usage_percent"], read["ram_used_bytes"], read["ram_usage_percent"]) == (50.0, 50, 25.0)


def test_limits_above_the_machine_do_not_count(fake: Psutil, clock: Clock, tmp_path: Path) -> None:
    """A quota of eight processors on a machine of four, or a limit above its memory, limits nothing."""
    files = {
        "cgroup.controllers": "", "cpu.max": "800000 100000", "cpu.stat": "usage_usec 0",
        "memory.max": "5000", "memory.current": "50",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    machine = Machine(fake, ControlGroup(tmp_path, tmp_path / "none"), clock=clock)
    machine.read()
    pass_time(fake, clock, 1.0, [0.9] * 4)
    read = machine.read()
    assert (read["cpu_usage_percent"], read["ram_used_bytes"]) == (pytest.approx(90.0), 400)


@pytest.mark.parametrize(
    "fault", [psutil.AccessDenied(1), psutil.ZombieProcess(1), OSError("hidden"), ValueError("odd")]
)
def test_a_value_that_cannot_be_read_is_null_and_the_others_stay(
    fake: Psutil, clock: Clock, tmp_path: Path, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """A hidden /proc costs one value and one warning."""
    once.forget()
    fake.fault = fault
    machine = Machine(fake, nowhere(tmp_path), clock=clock)
    for _ in range(3):
        read = machine.read()
    assert (read["process_rss_bytes"], read["ram_used_bytes"]) == (None, 400)
    assert len(caplog.records) == 1


def test_without_psutil_all_is_null(tmp_path: Path) -> None:
    """A machine without psutil has no values, and nothing more is to be waited for."""
    machine = Machine(None, nowhere(tmp_path))
    assert (machine.read(), machine.complete) == ({}, True)


def test_a_machine_that_tells_nothing_is_all_null(tmp_path: Path) -> None:
    """With /proc hidden from the start, making and reading the machine raise nothing."""

    class Hidden:
        Error = psutil.Error

        def __getattr__(self, name: str) -> Any:
            raise FileNotFoundError("/proc")

    machine = Machine(Hidden(), nowhere(tmp_path))
    assert set(machine.read().values()) == {None}


def test_a_processor_that_is_never_told_is_not_waited_for(fake: Psutil, tmp_path: Path) -> None:
    """If the use of the processor cannot be had, the looks do not go on at the pace of the start."""
    machine = Machine(fake, nowhere(tmp_path), clock=lambda: 0.0)
    for _ in range(5):
        machine.read()
    assert machine.complete


def test_the_real_machine_gives_sensible_values() -> None:
    """The process's memory is what psutil says, and shares are between 0 and 100."""
    machine = this_machine()
    read = machine.read()
    rss = psutil.Process(os.getpid()).memory_info().rss
    assert read["process_rss_bytes"] == pytest.approx(rss, rel=0.2)
    assert 0 < read["ram_usage_percent"] <= 100  # type: ignore[operator]
