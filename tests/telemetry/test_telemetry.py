"""SystemTelemetry as documented: cadence, counters, mirrored metrics, flush, read and close."""

import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from quark import (
    ClosedError,
    MetricRecord,
    SchemaValidationError,
    StepTelemetryScope,
    SystemTelemetry,
    SystemTelemetryConfig,
    SystemTelemetryRecord,
    WrongTypeError,
    validate_record,
)
from quark.testing import MemoryRunHandle

from .doubles import GPU, MACHINE, Bench, Cuda

MIRRORED = {
    "system/cpu/usage_percent": 12.5,
    "system/ram/usage_percent": 40.0,
    "system/ram/used_bytes": 4e9,
    "system/process/rss_bytes": 3e8,
    "system/gpu/utilization_percent": 75.0,
    "system/gpu/memory_used_bytes": 1e10,
    "system/gpu/memory_usage_percent": 12.5,
    "system/gpu/memory_peak_allocated_bytes": 7.5e9,
    "system/gpu/memory_fragmentation_ratio": 0.125,
    "system/gpu/memory_inactive_split_bytes": 2e8,
    "system/runtime/overflow_count": 0.0,
    "system/runtime/skipped_step_count": 0.0,
}


@pytest.fixture
def handle() -> MemoryRunHandle:
    return MemoryRunHandle()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def metrics(handle: MemoryRunHandle) -> dict[str, float]:
    """The last value of every metric."""
    return {record.metric_key: record.value for record in handle.records(MetricRecord)}


def steps(records: Any) -> list[int | None]:
    """The steps of records."""
    return [record.step for record in records]


def test_the_defaults_are_the_documented_ones() -> None:
    """Every step, mirrored, processor and GPU, the GPU in use."""
    assert SystemTelemetryConfig().to_dict() == {
        "sample_every_n_steps": 1, "emit_scalar_metrics": True, "capture_cpu": True, "capture_gpu": True,
        "gpu_index": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("sample_every_n_steps", 0, SchemaValidationError),
        ("sample_every_n_steps", 1.5, WrongTypeError),
        ("gpu_index", -1, SchemaValidationError),
        ("capture_cpu", "yes", WrongTypeError),
        ("emit_scalar_metrics", None, WrongTypeError),
    ],
)
def test_a_wrong_setting_names_its_field(field: str, value: Any, error: type[Exception]) -> None:
    """A setting fails where it is written."""
    with pytest.raises(error, match=f"SystemTelemetryConfig.{field}"):
        SystemTelemetryConfig(**{field: value})


def test_the_signatures_are_the_documented_ones() -> None:
    """Arguments and defaults are a contract."""
    assert str(inspect.signature(SystemTelemetry)).startswith("(session: Any, *, config: quark.SystemTelemetryConfig")
    names = list(inspect.signature(SystemTelemetry.record_step).parameters)
    assert names[1:] == [
        "step", "epoch", "step_time_ms", "data_time_ms", "compute_time_ms", "overflow_occurred", "skipped_step",
        "metadata", "timestamp",
    ]  # fmt: skip
    assert list(inspect.signature(SystemTelemetry.sample).parameters)[1:] == ["step", "epoch", "metadata", "timestamp"]
    assert list(inspect.signature(SystemTelemetry.start_step).parameters)[1:] == ["step", "epoch", "metadata"]


def test_a_record_holds_the_machine_and_the_step(handle: MemoryRunHandle, bench: Bench) -> None:
    """Times as given, values as sampled, and what comes back from the journal is what was returned."""
    telemetry = bench.telemetry(handle)
    record = telemetry.record_step(
        7, epoch=2, step_time_ms=37.5, data_time_ms=7.5, compute_time_ms=30, metadata={"split": "train"},
        timestamp="2026-05-07T00:00:00Z",
    )  # fmt: skip
    assert record is not None
    validate_record(record)
    own = {"step": 7, "epoch": 2, "step_time_ms": 37.5, "data_time_ms": 7.5, "compute_time_ms": 30.0}
    assert (
        own.items() | MACHINE.items() | GPU.items()
        <= {name: value for name, value in record.to_dict().items() if name != "metadata"}.items()
    )
    assert record.timestamp == "2026-05-07T00:00:00Z"
    assert handle.records(SystemTelemetryRecord) == [record]


def test_a_record_is_frozen(handle: MemoryRunHandle, bench: Bench) -> None:
    """A record that was returned is what was stored."""
    record: Any = bench.telemetry(handle).record_step(0)
    with pytest.raises(AttributeError):
        record.step_time_ms = 1.0


def test_every_documented_key_is_mirrored(handle: MemoryRunHandle, bench: Bench) -> None:
    """The values of a step are metrics too, in one line, at its step, epoch and moment."""
    telemetry = bench.telemetry(handle)
    record = telemetry.record_step(7, epoch=2, step_time_ms=3, data_time_ms=1, compute_time_ms=2)
    assert record is not None
    timing = {"step": 3.0, "data": 1.0, "compute": 2.0}
    assert metrics(handle) == MIRRORED | {f"system/runtime/{name}_time_ms": value for name, value in timing.items()}
    mirrored = handle.records(MetricRecord)
    assert {(m.step, m.epoch, m.time_ns) for m in mirrored} == {(7, 2, record.time_ns)}
    assert len(handle.journal.written) == 2


def test_what_is_null_is_not_mirrored(handle: MemoryRunHandle, bench: Bench) -> None:
    """A metric exists only where there is a value."""
    bench.machine.values = {"ram_used_bytes": 5}
    bench.gpu.values = {}
    bench.telemetry(handle).record_step(0)
    assert sorted(metrics(handle)) == [
        "system/ram/used_bytes", "system/runtime/overflow_count", "system/runtime/skipped_step_count"
    ]  # fmt: skip


def test_mirroring_can_be_turned_off(handle: MemoryRunHandle, bench: Bench) -> None:
    """With emit_scalar_metrics=False there are records only."""
    bench.telemetry(handle, config=SystemTelemetryConfig(emit_scalar_metrics=False)).record_step(0)
    assert (len(handle.records(SystemTelemetryRecord)), metrics(handle)) == (1, {})


def test_sources_can_be_turned_off(handle: MemoryRunHandle, bench: Bench) -> None:
    """What is off is neither read nor recorded, and with all off there is no sampling."""
    config = SystemTelemetryConfig(capture_cpu=False, capture_gpu=False)
    record: Any = bench.telemetry(handle, config=config).record_step(0)
    assert (bench.machine.reads, bench.gpu.reads) == (0, 0)
    assert {getattr(record, name) for name in (*MACHINE, *GPU)} == {None}


def test_steps_off_the_cadence_are_not_recorded(handle: MemoryRunHandle, bench: Bench) -> None:
    """Every third step from step 0 is recorded, by record_step and by start_step."""
    telemetry = bench.telemetry(handle, config=SystemTelemetryConfig(sample_every_n_steps=3))
    returned = [telemetry.record_step(step) for step in range(5)]
    scopes = [telemetry.start_step(step).finish() for step in range(5, 8)]
    assert [record is not None for record in [*returned, *scopes]] == [
        True, False, False, True, False, False, True, False,
    ]  # fmt: skip
    assert steps(handle.records(SystemTelemetryRecord)) == [0, 3, 6]


def test_overflows_and_skipped_steps_are_always_recorded_and_counted(handle: MemoryRunHandle, bench: Bench) -> None:
    """Off the cadence too; the counts run through the whole run."""
    telemetry = bench.telemetry(handle, config=SystemTelemetryConfig(sample_every_n_steps=10))
    telemetry.record_step(1, overflow_occurred=True)
    telemetry.record_step(2, overflow_occurred=True, skipped_step=True)
    telemetry.record_step(3)
    telemetry.record_step(10)
    found = handle.records(SystemTelemetryRecord)
    assert [(r.step, r.overflow_count, r.skipped_step_count) for r in found] == [(1, 1, 0), (2, 2, 1), (10, 2, 1)]


def test_a_flag_on_the_device_is_not_waited_for(handle: MemoryRunHandle, bench: Bench) -> None:
    """A gradient scaler's found_inf is a tensor on the GPU: it is counted when it has arrived."""
    telemetry = bench.telemetry(handle, config=SystemTelemetryConfig(sample_every_n_steps=10))
    waiting: list[Any] = []

    class Arrivals:
        def add(self, value: Any, arrived: Any) -> None:
            waiting.append(lambda: arrived(value.number))

        def drain(self) -> None:
            while waiting and telemetry_allows[0]:
                waiting.pop(0)()

    class OnDevice:
        is_cuda = True

        def __init__(self, number: float) -> None:
            self.number = number

        def __bool__(self) -> bool:
            raise AssertionError("this would wait for the device")

    telemetry_allows = [False]
    telemetry._devices = Arrivals()  # type: ignore[assignment]
    for step, number in ((1, 0.0), (2, 1.0)):
        assert telemetry.record_step(step, overflow_occurred=OnDevice(number)) is None  # type: ignore[arg-type]
    assert handle.records(SystemTelemetryRecord) == []
    telemetry_allows[0] = True
    telemetry.flush()
    assert [(r.step, r.overflow_count) for r in handle.records(SystemTelemetryRecord)] == [(2, 1)]


def test_sample_has_the_boundary_time_unless_a_step_is_given(handle: MemoryRunHandle, bench: Bench) -> None:
    """A moment belongs to no step; without step and epoch there is nothing at which a metric could stand."""
    telemetry = bench.telemetry(handle)
    assert (telemetry.sample().boundary, metrics(handle)) == ("time", {})
    assert (telemetry.sample(epoch=1).boundary, metrics(handle)) == ("time", MIRRORED)
    assert telemetry.sample(step=3, metadata={"a": 1}).boundary == "step"


def test_sampling_is_off_the_training_thread(handle: MemoryRunHandle, bench: Bench) -> None:
    """A thousand steps between two looks of the sampler read nothing."""
    telemetry = bench.telemetry(handle)
    reads = bench.machine.reads
    for step in range(1000):
        with telemetry.start_step(step) as scope:
            scope.mark_data_ready()
        telemetry.record_step(step, step_time_ms=1.0)
    assert bench.machine.reads == reads


def test_the_first_record_is_not_empty(handle: MemoryRunHandle) -> None:
    """On the real machine the first step already has memory, and a sample the use of the processor."""
    with SystemTelemetry(handle, config=SystemTelemetryConfig(capture_gpu=False)) as telemetry:
        first: Any = telemetry.record_step(0)
        later = telemetry.sample()
    assert first.ram_used_bytes > 0
    assert first.process_rss_bytes > 0
    assert later.cpu_usage_percent is None or 0 <= later.cpu_usage_percent <= 100


def test_a_source_that_raises_costs_its_values_only(handle: MemoryRunHandle, bench: Bench) -> None:
    """A driver's fault is reported, and the rest of the record stays."""
    bench.gpu.fault = OSError("the driver is gone")
    record: Any = bench.telemetry(handle).record_step(0)
    assert (record.gpu_index, record.ram_used_bytes) == (None, MACHINE["ram_used_bytes"])
    assert [cause for cause, _ in handle.reported] == ["telemetry_sample"]


def test_flush_returns_the_last_records_once(handle: MemoryRunHandle, bench: Bench) -> None:
    """At most batch_size of them, and none a second time; all of them are stored."""
    telemetry = bench.telemetry(handle, batch_size=3)
    for step in range(5):
        telemetry.record_step(step)
    assert steps(telemetry.flush()) == [2, 3, 4]
    assert telemetry.flush() == ()
    assert (len(handle.records(SystemTelemetryRecord)), handle.flushes) == (5, 2)


def test_read_flushes_and_filters(handle: MemoryRunHandle, bench: Bench) -> None:
    """Boundary, step and epoch bounds (inclusive) and limit, alone and together."""
    telemetry = bench.telemetry(handle)
    for step in range(6):
        telemetry.record_step(step, epoch=step // 3)
    telemetry.sample(epoch=1)
    assert steps(telemetry.read(boundary="step")) == [0, 1, 2, 3, 4, 5]
    assert steps(telemetry.read(boundary="time")) == [None]
    assert steps(telemetry.read(step=2)) == [2]
    assert steps(telemetry.read(step_min=1, step_max=4, limit=2)) == [1, 2]
    assert steps(telemetry.read(epoch=1)) == [3, 4, 5, None]
    assert steps(telemetry.read(epoch_min=0, epoch_max=0, step_min=2)) == [2]
    assert handle.flushes == 6
    with pytest.raises(SchemaValidationError, match="boundary"):
        telemetry.read(boundary="epoch")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"step": -1}, SchemaValidationError),
        ({"step": None}, WrongTypeError),
        ({"step": True}, WrongTypeError),
        ({"step": 1, "epoch": 1.5}, WrongTypeError),
        ({"step": 1, "step_time_ms": -0.1}, SchemaValidationError),
        ({"step": 1, "data_time_ms": float("nan")}, SchemaValidationError),
        ({"step": 1, "compute_time_ms": float("inf")}, SchemaValidationError),
        ({"step": 1, "step_time_ms": "fast"}, WrongTypeError),
        ({"step": 1, "metadata": [1]}, WrongTypeError),
        ({"step": 1, "timestamp": "noon"}, SchemaValidationError),
    ],
)
def test_a_bad_argument_raises_in_strict_mode_and_is_refused_otherwise(
    bench: Bench, arguments: dict[str, Any], error: type[Exception]
) -> None:
    """The training goes on outside strict mode; nothing is recorded of such a step, and no counter moves."""
    with pytest.raises(error):
        bench.telemetry(MemoryRunHandle()).record_step(**arguments)
    lenient = MemoryRunHandle(strict=False)
    telemetry = bench.telemetry(lenient)
    assert telemetry.record_step(**arguments, overflow_occurred=True) is None
    assert len(lenient.refused) == 1
    after: Any = telemetry.record_step(2)
    assert after.overflow_count == 0


def test_metadata_that_json_cannot_hold_is_kept_as_text(bench: Bench) -> None:
    """Strict mode refuses a NaN in metadata by name; otherwise the step is recorded, and the NaN is text."""
    with pytest.raises(SchemaValidationError, match=r"metadata\.a"):
        bench.telemetry(MemoryRunHandle()).record_step(1, metadata={"a": float("nan")})
    record: Any = bench.telemetry(MemoryRunHandle(strict=False)).record_step(0, metadata={"a": float("nan")})
    assert record.metadata == {"a": "nan"}


def test_a_bad_step_gives_a_scope_that_records_nothing(bench: Bench) -> None:
    """The with-statement of the training works in any case."""
    handle = MemoryRunHandle(strict=False)
    telemetry = bench.telemetry(handle)
    with telemetry.start_step("three") as scope:  # type: ignore[arg-type]
        scope.mark_data_ready()
    assert scope.finish() is None
    assert (len(handle.refused), handle.journal.written) == (1, [])


@pytest.mark.parametrize("config", [{"sample_every_n_steps": 2}, "fast", SystemTelemetryConfig])
def test_another_kind_of_config_is_refused(handle: MemoryRunHandle, config: Any) -> None:
    """A mapping or a class is no configuration."""
    with pytest.raises(WrongTypeError, match="SystemTelemetryConfig"):
        SystemTelemetry(handle, config=config)


def test_a_closed_telemetry_takes_nothing_and_closes_twice(handle: MemoryRunHandle, bench: Bench) -> None:
    """Use after close is a ClosedError in strict mode; the sources are let go."""
    with bench.telemetry(handle) as telemetry:
        telemetry.record_step(0)
    telemetry.close()
    assert (telemetry.closed, bench.gpu.closed, bench.sampler.tick()) == (True, True, None)
    for call in (telemetry.sample, lambda: telemetry.record_step(1), lambda: telemetry.start_step(1)):
        with pytest.raises(ClosedError, match="SystemTelemetry is closed"):
            call()
    assert steps(telemetry.read()) == [0]


def test_the_end_of_the_run_closes_it(own_threads: Callable[[], list[str]]) -> None:
    """No thread outlives the run, even if nobody closed the telemetry."""
    handle = MemoryRunHandle()
    telemetry = SystemTelemetry(handle, config=SystemTelemetryConfig(capture_gpu=False))
    running = own_threads()
    handle.close()
    assert "quark-telemetry" in running
    assert "quark-telemetry" not in own_threads()
    assert telemetry.closed


def test_a_disabled_run_has_no_thread_and_no_records(
    caplog: pytest.LogCaptureFixture, own_threads: Callable[[], list[str]]
) -> None:
    """With QUARK_DISABLE everything is taken and nothing is done."""
    handle = MemoryRunHandle(disabled=True)
    with caplog.at_level(logging.DEBUG), SystemTelemetry(handle) as telemetry:
        with telemetry.start_step(0) as scope:
            scope.mark_data_ready()
        assert isinstance(scope, StepTelemetryScope)
        assert telemetry.record_step(0) is None
        assert "quark-telemetry" not in own_threads()
    assert (handle.journal.written, caplog.records) == ([], [])


def test_threads_may_record_together(handle: MemoryRunHandle, bench: Bench) -> None:
    """No overflow is lost between threads."""
    telemetry = bench.telemetry(handle, config=SystemTelemetryConfig(emit_scalar_metrics=False))

    def work() -> None:
        for step in range(200):
            telemetry.record_step(step, overflow_occurred=True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last: Any = telemetry.record_step(0)
    assert last.overflow_count == 800


def test_another_thread_looks_at_the_gpu_that_the_training_uses(handle: MemoryRunHandle) -> None:
    """A thread's current device is its own: what counts is what the training thread said, or where the memory is."""
    cuda = Cuda()
    bench = Bench(cuda)
    telemetry = bench.telemetry(handle)
    telemetry.prepare_moment()
    assert bench.gpu.device is None
    cuda.held = [1, 0, 5, 0]
    telemetry.prepare_moment()
    assert bench.gpu.device == 2
    cuda.broken = True
    telemetry.prepare_moment()
    cuda.broken = False
    telemetry.record_step(0)
    telemetry.prepare_moment()
    assert bench.gpu.device == 1


def test_a_moment_is_of_the_time_and_stands_at_its_step(handle: MemoryRunHandle, bench: Bench) -> None:
    """It has the machine's values, and neither times nor counts of a step among its metrics."""
    telemetry = bench.telemetry(handle)
    telemetry.record_moment(7, 1)
    (record,) = telemetry.flush()
    assert (record.boundary, record.step, record.epoch, record.step_time_ms) == ("time", 7, 1, None)
    assert set(metrics(handle)) == {"system/" + key for key in (
        "cpu/usage_percent", "ram/usage_percent", "ram/used_bytes", "process/rss_bytes", "gpu/utilization_percent",
        "gpu/memory_used_bytes", "gpu/memory_usage_percent", "gpu/memory_peak_allocated_bytes",
        "gpu/memory_fragmentation_ratio", "gpu/memory_inactive_split_bytes",
    )}  # fmt: skip
