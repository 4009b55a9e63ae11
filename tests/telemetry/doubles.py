"""What stands in for the machine, the clock and the GPU in tests of the telemetry."""

from collections.abc import Mapping
from typing import Any

from quark import SystemTelemetry
from quark.producers.telemetry.sampler import Sampler
from quark.producers.telemetry.sources import Surroundings


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Source:
    """A source of fixed values that counts how often it was read."""

    complete = True
    chosen = False

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)
        self.reads = 0
        self.fault: Exception | None = None
        self.closed = False
        self.device: int | None = None

    def read(self) -> dict[str, Any]:
        """The values, or the fault."""
        self.reads += 1
        if self.fault is not None:
            raise self.fault
        return dict(self.values)

    def close(self) -> None:
        """Remember that the source was let go."""
        self.closed = True


class CudaEvent:
    """An event that the device passes when the test says so."""

    def __init__(self, cuda: "Cuda", enable_timing: bool) -> None:
        assert enable_timing
        self._cuda = cuda
        self.place = -1
        self.stamp = 0.0

    def record(self) -> None:
        """Queue the event."""
        self._cuda.fail()
        self.place = len(self._cuda.queue)
        self._cuda.queue.append(self)

    def query(self) -> bool:
        """Whether the device has passed it."""
        self._cuda.fail()
        return self.place < self._cuda.passed

    def elapsed_time(self, end: "CudaEvent") -> float:
        """Milliseconds between two events that were passed."""
        if not (self.query() and end.query()):
            raise RuntimeError("the event was not passed yet")
        return end.stamp - self.stamp


class Cuda:
    """torch.cuda as far as the telemetry uses it. There is no ``synchronize``: a call of it would fail the test."""

    def __init__(self) -> None:
        self.queue: list[CudaEvent] = []
        self.passed = 0
        self.capturing = False
        self.broken = False
        self.held = [0, 0, 0, 0]

    def Event(self, *, enable_timing: bool) -> CudaEvent:
        """A new event."""
        return CudaEvent(self, enable_timing)

    def fail(self) -> None:
        """Raise as a lost device does."""
        if self.broken:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    def is_current_stream_capturing(self) -> bool:
        """Whether a graph is being captured."""
        return self.capturing

    def current_device(self) -> int:
        """The device of the calling thread."""
        self.fail()
        return 1

    def device_count(self) -> int:
        """How many devices the process sees."""
        return 4

    def memory_allocated(self, index: int) -> int:
        """Bytes that the process holds on a device."""
        self.fail()
        return self.held[index]

    def run(self, *stamps: float) -> None:
        """Let the device pass the next events at these milliseconds."""
        for stamp in stamps:
            self.queue[self.passed].stamp = stamp
            self.passed += 1


MACHINE = {
    "cpu_usage_percent": 12.5,
    "ram_usage_percent": 40.0,
    "ram_used_bytes": 4_000_000_000,
    "process_rss_bytes": 300_000_000,
}
GPU = {
    "gpu_index": 0,
    "gpu_utilization_percent": 75.0,
    "gpu_memory_used_bytes": 10_000_000_000,
    "gpu_memory_usage_percent": 12.5,
    "gpu_memory_allocated_bytes": 7_000_000_000,
    "gpu_memory_reserved_bytes": 8_000_000_000,
    "gpu_memory_peak_allocated_bytes": 7_500_000_000,
    "gpu_memory_fragmentation_ratio": 0.125,
    "gpu_memory_inactive_split_bytes": 200_000_000,
}


class Bench:
    """A telemetry whose surroundings a test holds in its hand; there is no thread, the test calls ``sampler.tick``."""

    def __init__(self, cuda: Cuda | None = None) -> None:
        self.clock = Clock()
        self.machine = Source(MACHINE)
        self.gpu = Source(GPU)
        self.cuda = cuda
        self.sampler = Sampler(self.clock, threaded=False)

    def telemetry(self, handle: Any, **arguments: Any) -> SystemTelemetry:
        """A SystemTelemetry in these surroundings; the sampler has looked once."""
        surroundings = Surroundings(
            clock=self.clock,
            sampling_clock=self.clock,
            cuda=lambda: self.cuda,
            sampler=lambda: self.sampler,
            machine=lambda: self.machine,  # type: ignore[arg-type, return-value]
            gpu=lambda index: self.gpu,  # type: ignore[arg-type, return-value]
        )
        placed = type("SystemTelemetry", (SystemTelemetry,), {"_surroundings": surroundings})
        made = placed(handle, **arguments)
        self.sampler.tick()
        return made
