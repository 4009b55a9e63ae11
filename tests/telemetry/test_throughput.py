"""Throughput: rates of the last steps, by a clock that a test holds."""

from types import SimpleNamespace
from typing import Any

import pytest

from quark import ClosedError, SchemaValidationError, WrongTypeError
from quark.producers import peak_flops
from quark.producers.peak_flops import peak_flops_of
from quark.producers.telemetry import once
from quark.producers.throughput import MFU, SAMPLES, TOKENS, Throughput
from quark.testing import MemoryRunHandle

from .doubles import Clock


@pytest.fixture
def handle() -> MemoryRunHandle:
    return MemoryRunHandle()


class Loop:
    """A training whose steps take as long as a test says."""

    def __init__(self, handle: MemoryRunHandle, **arguments: Any) -> None:
        self.throughput = Throughput(handle, **arguments)
        self.clock = self.throughput._clock = Clock()
        self.number = 0
        self.rates: dict[str, float] = self.step()

    def step(self, seconds: float = 0.0, **counts: Any) -> dict[str, float]:
        """One step."""
        self.clock.now += seconds
        self.rates = self.throughput.step(self.number, **counts)
        self.number += 1
        return self.rates


def test_samples_and_tokens_a_second_are_recorded(handle: MemoryRunHandle) -> None:
    """From the second step on: what was done over the time that it took."""
    loop = Loop(handle)
    assert loop.rates == {}
    loop.step(0.5, samples=32, tokens=1000, epoch=1)
    loop.step(0.25, samples=32, tokens=500)
    assert handle.values(SAMPLES) == [64.0, 64 / 0.75]
    assert handle.values(TOKENS) == [2000.0, 2000.0]
    assert [line.step for line in handle.journal.lines()] == [1, 2]


def test_what_nobody_counts_is_not_recorded(handle: MemoryRunHandle) -> None:
    """Samples without tokens, tokens in some steps only, and a step without either."""
    loop = Loop(handle)
    assert loop.step(0.5, samples=1) == {SAMPLES: 2.0}
    assert loop.step(0.5, tokens=3) == {SAMPLES: 2.0, TOKENS: 6.0}
    assert Loop(MemoryRunHandle()).step(0.5) == {}


def test_rates_are_those_of_the_last_steps(handle: MemoryRunHandle) -> None:
    """A window of 4 forgets what was before it."""
    loop = Loop(handle, window=4)
    for _ in range(10):
        loop.step(0.1, samples=1)
    for _ in range(4):
        loop.step(0.2, samples=1)
    assert loop.rates[SAMPLES] == pytest.approx(5.0)


def test_a_pause_counts_nowhere(handle: MemoryRunHandle) -> None:
    """An evaluation or checkpoint between two steps does not make the training slower, even if nobody says so."""
    loop = Loop(handle)
    for _ in range(5):
        loop.step(0.1, samples=1)
    assert loop.step(60.0, samples=1)[SAMPLES] == pytest.approx(10.0)
    assert loop.step(0.1, samples=1)[SAMPLES] == pytest.approx(10.0)


def test_a_slow_first_step_counts_no_longer_than_it_must(handle: MemoryRunHandle) -> None:
    """Compilation is known to be a pause as soon as two usual steps were seen."""
    loop = Loop(handle)
    loop.step(30.0, samples=1)
    loop.step(0.1, samples=1)
    assert loop.step(0.1, samples=1)[SAMPLES] == pytest.approx(10.0)


def test_a_pace_that_stays_slower_is_the_pace(handle: MemoryRunHandle) -> None:
    """It is not taken for pauses for ever: when half the window is slow, the rates are."""
    loop = Loop(handle, window=10)
    for _ in range(20):
        loop.step(0.1, samples=1)
    for _ in range(9):
        loop.step(2.0, samples=1)
    assert loop.step(2.0, samples=1)[SAMPLES] == pytest.approx(0.5)


def test_a_pause_that_is_announced_is_not_measured(handle: MemoryRunHandle) -> None:
    """A short one too."""
    loop = Loop(handle)
    loop.step(0.1, samples=1)
    loop.throughput.pause()
    assert loop.step(0.2, samples=1) == {}
    assert loop.step(0.1, samples=1)[SAMPLES] == pytest.approx(10.0)


def test_utilization_is_what_is_done_of_what_could_be(handle: MemoryRunHandle) -> None:
    """FLOPs of a step over its time, over the peak."""
    loop = Loop(handle, flops_per_step=4e12, peak_flops=1e14)
    assert loop.step(0.1) == {MFU: pytest.approx(0.4)}


def test_the_peak_is_looked_up_by_the_name_of_the_gpu(handle: MemoryRunHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    """With torch on a known GPU nobody has to know its data sheet."""
    cuda = SimpleNamespace(current_device=lambda: 0, get_device_name=lambda index: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(peak_flops, "active_cuda", lambda: cuda)
    assert Loop(handle, flops_per_step=989e12).step(2.0) == {MFU: pytest.approx(0.5)}


@pytest.mark.parametrize("name", [None, "NVIDIA Imaginary 9000"])
def test_an_unknown_peak_is_said_once_and_records_no_utilization(
    handle: MemoryRunHandle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str | None
) -> None:
    """No guess is recorded; the warning says what to pass."""
    once.forget()
    cuda = SimpleNamespace(current_device=lambda: 0, get_device_name=lambda index: name)
    monkeypatch.setattr(peak_flops, "active_cuda", lambda: None if name is None else cuda)
    loop = Loop(handle, flops_per_step=1e12)
    assert loop.step(0.1, samples=1).keys() == loop.step(0.1, samples=1).keys() == {SAMPLES}
    assert caplog.text.count("Throughput(peak_flops=...)") == 1


@pytest.mark.parametrize(
    ("name", "tera"),
    [
        ("NVIDIA A100-SXM4-80GB", 312), ("NVIDIA A100 80GB PCIe", 312), ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H100 NVL", 835), ("NVIDIA H100 80GB HBM3", 989), ("NVIDIA H200", 989), ("NVIDIA GH200 480GB", 989),
        ("NVIDIA L4", 121), ("NVIDIA L40", 181), ("NVIDIA L40S", 362), ("NVIDIA A10", 125), ("NVIDIA A10G", 70),
        ("NVIDIA RTX A6000", 154.8), ("NVIDIA RTX A4000", None), ("Tesla T4", 65), ("Tesla V100-SXM2-16GB", 125),
        ("NVIDIA GeForce RTX 4090", 165.2), ("NVIDIA GeForce RTX 4090 Laptop GPU", None), ("AMD Instinct MI300X", 1307),
        ("NVIDIA B200", 2250), ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None), ("cpu", None),
    ],
)  # fmt: skip
def test_names_are_told_apart(name: str, tera: float | None) -> None:
    """A board is not taken for another whose name begins alike."""
    found = peak_flops_of(name)
    assert found == (None if tera is None else tera * 1e12)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"flops_per_step": 0.0}, SchemaValidationError),
        ({"flops_per_step": "much"}, WrongTypeError),
        ({"peak_flops": -1.0}, SchemaValidationError),
        ({"peak_flops": float("inf")}, SchemaValidationError),
        ({"window": 0}, SchemaValidationError),
        ({"window": 2.5}, WrongTypeError),
    ],
)
def test_a_wrong_setting_is_refused_where_it_is_written(
    handle: MemoryRunHandle, arguments: dict[str, Any], error: type[Exception]
) -> None:
    """Before the first step."""
    with pytest.raises(error, match=next(iter(arguments))):
        Throughput(handle, **arguments)


@pytest.mark.parametrize("wrong", [{"samples": -1}, {"tokens": float("nan")}, {"samples": "many"}, {"epoch": -1}])
def test_a_wrong_count_is_refused_and_the_training_goes_on(wrong: dict[str, Any]) -> None:
    """Outside strict mode it is counted."""
    handle = MemoryRunHandle(strict=False)
    loop = Loop(handle)
    assert loop.step(0.1, **wrong) == {}
    assert len(handle.refused) == 1
    assert loop.throughput.step(None) == {}  # type: ignore[arg-type]
    assert len(handle.refused) == 2


def test_a_closed_one_takes_no_step(handle: MemoryRunHandle) -> None:
    """As every producer."""
    with Throughput(handle) as throughput:
        throughput.step(0)
    with pytest.raises(ClosedError):
        throughput.step(1)


def test_off_is_off() -> None:
    """With QUARK_DISABLE nothing is measured."""
    handle = MemoryRunHandle(disabled=True)
    assert Loop(handle).step(0.1, samples=1) == {}
    assert handle.journal.next == 0


def test_steps_in_no_time_have_no_rate(handle: MemoryRunHandle) -> None:
    """A clock that stands still divides nothing."""
    assert Loop(handle, flops_per_step=1.0, peak_flops=1.0).step(0.0, samples=1) == {}
