"""The timing of steps, on the host's clock and by events of a device.

There is no GPU on the machines that run these tests: ``doubles.Cuda`` has torch.cuda's events, and a test says when
the device passes them.
"""

import subprocess
import sys
from typing import Any

import pytest

from quark import ClosedError, SystemTelemetryConfig, SystemTelemetryRecord
from quark.producers.telemetry.timing import active_cuda
from quark.testing import MemoryRunHandle

from .doubles import Bench, Cuda


@pytest.fixture
def handle() -> MemoryRunHandle:
    return MemoryRunHandle()


def times(record: Any) -> tuple[float | None, float | None, float | None]:
    """Step, data and compute time."""
    return record.step_time_ms, record.data_time_ms, record.compute_time_ms


def test_data_time_ends_at_the_mark_and_compute_is_the_rest(handle: MemoryRunHandle) -> None:
    """From the start to the mark is data, from the mark to the end is compute."""
    bench = Bench()
    telemetry = bench.telemetry(handle)
    with telemetry.start_step(4, epoch=1, metadata={"split": "train"}) as scope:
        bench.clock.now += 0.25
        scope.mark_data_ready()
        bench.clock.now += 0.5
    record = scope.finish()
    assert record is not None
    assert times(record) == pytest.approx((750.0, 250.0, 500.0))
    assert (record.boundary, record.step, record.epoch, record.metadata) == ("step", 4, 1, {"split": "train"})


def test_without_a_mark_both_parts_are_null(handle: MemoryRunHandle) -> None:
    """What was not measured is not guessed."""
    bench = Bench()
    telemetry = bench.telemetry(handle)
    with telemetry.start_step(0) as scope:
        bench.clock.now += 0.1
    assert times(scope.finish()) == (pytest.approx(100.0), None, None)


def test_a_step_is_finished_once(handle: MemoryRunHandle) -> None:
    """A second finish returns the first record, and a later mark changes nothing."""
    bench = Bench()
    telemetry = bench.telemetry(handle)
    scope = telemetry.start_step(0)
    bench.clock.now += 0.1
    first = scope.finish()
    scope.mark_data_ready()
    bench.clock.now += 0.1
    assert scope.finish() is first
    assert len(handle.records(SystemTelemetryRecord)) == 1


def test_the_first_mark_counts(handle: MemoryRunHandle) -> None:
    """Computing begins with the first batch of the step."""
    bench = Bench()
    telemetry = bench.telemetry(handle)
    with telemetry.start_step(0) as scope:
        for _ in range(2):
            bench.clock.now += 0.1
            scope.mark_data_ready()
    assert times(scope.finish()) == pytest.approx((200.0, 100.0, 100.0))


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, StopIteration])
def test_an_exception_finishes_the_step_and_goes_on(handle: MemoryRunHandle, kind: type[BaseException]) -> None:
    """The step that failed is recorded with the exception's name, off the cadence too; the exception goes on."""
    bench = Bench()
    telemetry = bench.telemetry(handle, config=SystemTelemetryConfig(sample_every_n_steps=10))
    with pytest.raises(kind), telemetry.start_step(3, metadata={"a": 1}):
        raise kind
    (record,) = handle.records(SystemTelemetryRecord)
    assert record.metadata == {"a": 1, "exception": kind.__name__}


def test_closing_within_a_step_does_not_hide_its_exception(handle: MemoryRunHandle) -> None:
    """In strict mode too, what the training raised comes out, not that the telemetry was closed."""
    telemetry = Bench().telemetry(handle)
    with pytest.raises(ZeroDivisionError), telemetry.start_step(0):
        telemetry.close()
        raise ZeroDivisionError
    with pytest.raises(ClosedError):
        telemetry.start_step(1)


def test_device_times_replace_the_time_of_launching(handle: MemoryRunHandle) -> None:
    """The host is through in 3 ms and the device in 80: the record says 80, with the step's own moment and sample."""
    cuda = Cuda()
    bench = Bench(cuda)
    telemetry = bench.telemetry(handle)
    with telemetry.start_step(0) as scope:
        bench.clock.now += 0.001
        scope.mark_data_ready()
        bench.clock.now += 0.002
    assert scope.finish() is None
    assert handle.records(SystemTelemetryRecord) == []
    cuda.run(10.0, 30.0, 90.0)
    with telemetry.start_step(1):
        pass
    (record,) = handle.records(SystemTelemetryRecord)
    assert (record.step, *times(record), record.metadata) == (0, 80.0, 20.0, 60.0, {})
    assert handle.values("system/runtime/step_time_ms") == [80.0]
    cuda.run(100.0, 150.0)
    assert [record.step for record in telemetry.flush()] == [0, 1]


def test_a_device_that_is_behind_is_not_waited_for(handle: MemoryRunHandle) -> None:
    """Steps pile up while the device works, and are recorded in order when it is through."""
    cuda = Cuda()
    telemetry = Bench(cuda).telemetry(handle)
    for step in range(5):
        with telemetry.start_step(step):
            pass
    assert handle.records(SystemTelemetryRecord) == []
    cuda.run(*range(10))
    telemetry.record_step(9, step_time_ms=1.0)
    assert [record.step for record in handle.records(SystemTelemetryRecord)] == [0, 1, 2, 3, 4, 9]


def test_closing_keeps_a_step_whose_times_never_came(handle: MemoryRunHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that hangs costs its times: the host's stand instead, and the record says so."""
    monkeypatch.setattr("quark.producers.telemetry.telemetry.DEVICE_WAIT_S", 0.01)
    bench = Bench(Cuda())
    telemetry = bench.telemetry(handle)
    with telemetry.start_step(0):
        bench.clock.now += 0.002
    telemetry.close()
    (record,) = handle.records(SystemTelemetryRecord)
    assert (record.step_time_ms, record.metadata) == (pytest.approx(2.0), {"timing": "host"})


def test_flushing_leaves_what_the_device_has_not_told(handle: MemoryRunHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush amid a long step takes what is there, and the step still gets the device's times later."""
    monkeypatch.setattr("quark.producers.telemetry.telemetry.DEVICE_WAIT_S", 0.01)
    cuda = Cuda()
    telemetry = Bench(cuda).telemetry(handle)
    telemetry.start_step(0).finish()
    assert (telemetry.flush(), telemetry.read()) == ((), ())
    cuda.run(0.0, 3000.0)
    assert [record.step_time_ms for record in telemetry.read()] == [3000.0]


def test_steps_that_wait_are_bounded(handle: MemoryRunHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stuck device does not fill the memory: the oldest steps are recorded with the host's times."""
    monkeypatch.setattr("quark.producers.telemetry.pending.MOST", 3)
    telemetry = Bench(Cuda()).telemetry(handle)
    for step in range(5):
        telemetry.start_step(step).finish()
    assert [record.step for record in handle.records(SystemTelemetryRecord)] == [0, 1]


def test_a_device_that_fails_in_a_step_costs_its_times_only(handle: MemoryRunHandle) -> None:
    """After a CUDA error events raise too; the step keeps the host's times."""
    cuda = Cuda()
    bench = Bench(cuda)
    telemetry = bench.telemetry(handle)
    with telemetry.start_step(0) as scope:
        bench.clock.now += 0.1
        cuda.broken = True
        scope.mark_data_ready()
    assert times(scope.finish()) == pytest.approx((100.0, 100.0, 0.0))
    assert telemetry.start_step(1).finish() is not None


def test_a_device_that_fails_later_costs_the_times_that_wait(handle: MemoryRunHandle) -> None:
    """A step whose events can be asked no more is recorded with the host's times."""
    cuda = Cuda()
    telemetry = Bench(cuda).telemetry(handle)
    telemetry.start_step(0).finish()
    cuda.broken = True
    (record,) = telemetry.flush()
    assert record.metadata == {"timing": "host"}


def test_the_step_that_failed_is_recorded_at_once(handle: MemoryRunHandle) -> None:
    """After an exception there may be no later step: nothing waits for the device."""
    telemetry = Bench(Cuda()).telemetry(handle)
    with pytest.raises(RuntimeError), telemetry.start_step(0):
        raise RuntimeError("CUDA out of memory")
    (record,) = handle.records(SystemTelemetryRecord)
    assert record.metadata == {"exception": "RuntimeError"}


def test_nothing_is_queued_while_a_graph_is_captured_or_off_the_cadence(handle: MemoryRunHandle) -> None:
    """An event within a captured graph would become part of it; a step that is not recorded needs none."""
    cuda = Cuda()
    telemetry = Bench(cuda).telemetry(handle, config=SystemTelemetryConfig(sample_every_n_steps=2))
    telemetry.start_step(1).finish()
    cuda.capturing = True
    record = telemetry.start_step(2).finish()
    assert cuda.queue == []
    assert record is not None


def test_the_device_in_use_is_told_to_the_gpu_source(handle: MemoryRunHandle) -> None:
    """The current device belongs to the training thread; the sampler's own thread would always see the first."""
    bench = Bench(Cuda())
    telemetry = bench.telemetry(handle)
    telemetry.start_step(0)
    assert bench.gpu.device == 1


def test_torch_is_neither_imported_nor_initialised() -> None:
    """A process that does not use torch does not load it for the telemetry, and one that does makes no CUDA context."""
    program = (
        "import sys\n"
        "from quark import SystemTelemetry\n"
        "from quark.testing import MemoryRunHandle\n"
        "with SystemTelemetry(MemoryRunHandle()) as telemetry:\n"
        "    with telemetry.start_step(0) as scope: scope.mark_data_ready()\n"
        "    telemetry.sample()\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert active_cuda() is None or active_cuda().is_initialized()
