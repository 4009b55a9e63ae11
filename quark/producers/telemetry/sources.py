"""Machine and GPU as one source that is looked at off the training thread."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .config import SystemTelemetryConfig
from .gpu import Gpu
from .machine import Machine, this_machine
from .sample import BLANK, Sample, make_sample
from .sampler import INTERVAL_S, Feed, Sampler, shared_sampler
from .timing import active_cuda

SAMPLE_WAIT_S = 0.05
"""How long an explicit sample waits for a fresh look."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the telemetry finds around it; a test puts its own in the place."""

    clock: Callable[[], float] = time.perf_counter
    sampling_clock: Callable[[], float] = time.monotonic
    cuda: Callable[[], Any] = active_cuda
    sampler: Callable[[], Sampler] = shared_sampler
    machine: Callable[[], Machine] = this_machine
    gpu: Callable[[int | None], Gpu] = Gpu


class Sources:
    """What a configuration wants sampled, and the latest sample of it.

    Args:
        around: machine, GPU and sampler.
        config: which of them.
        enabled: False for a run that records nothing: no thread, no look.
        report: takes a cause and an error when a source raises.
    """

    def __init__(
        self, around: Surroundings, config: SystemTelemetryConfig, *, enabled: bool,
        report: Callable[[str, BaseException], None],
    ) -> None:  # fmt: skip
        self._clock = around.sampling_clock
        self._cuda = around.cuda
        self._report = report
        self._machine = around.machine() if enabled and config.capture_cpu else None
        self._gpu = around.gpu(config.gpu_index) if enabled and config.capture_gpu else None
        self._device_is_known = False
        self._feed: Feed | None = None
        if self._machine is not None or self._gpu is not None:
            # The machine is read here once, so that the first record has values; a driver may take long to start.
            first = self._look(self._machine) if self._machine is not None else BLANK
            self._feed = Feed(lambda: self._look(self._machine, self._gpu), first=first, clock=self._clock)
            self._sampler = around.sampler()
            self._sampler.add(self._feed)

    def _look(self, *sources: Machine | Gpu | None) -> Sample:
        """Read the sources, each for itself; on the sampler's thread but for the first look."""
        values: dict[str, Any] = {}
        for source in sources:
            if source is not None:
                try:
                    values.update(source.read())
                except Exception as error:  # noqa: BLE001  no driver's fault may harm the run
                    self._report("telemetry_sample", error)
        complete = all(source is None or source.complete for source in (self._machine, self._gpu))
        return make_sample(values, self._clock(), complete=complete)

    def ask(self) -> None:
        """A sample will be wanted soon."""
        if self._feed is not None:
            self._feed.ask()

    def latest(self) -> Sample:
        """The latest sample, at once."""
        return BLANK if self._feed is None else self._feed.current()

    def fresh(self) -> Sample:
        """A sample of the last 100 ms; it waits up to 50 ms for one."""
        return BLANK if self._feed is None else self._feed.await_sample(INTERVAL_S, SAMPLE_WAIT_S)

    def on_cuda(self) -> Any:
        """torch.cuda if it is in use. The device in use is the calling thread's own, so the training thread asks."""
        cuda = self._cuda()
        if cuda is not None and self._gpu is not None and not self._gpu.chosen:
            try:
                self._gpu.device = cuda.current_device()
                self._device_is_known = True
            except RuntimeError:  # a device that failed; the training will say so
                return None
        return cuda

    def find_device(self) -> None:
        """Find the GPU to look at for another thread than the training's, which has a current device of its own.

        While the training thread has said nothing, it is the one on which this process holds the most memory.
        """
        cuda = self._cuda()
        if cuda is None or self._gpu is None or self._gpu.chosen or self._device_is_known:
            return
        try:
            held = [cuda.memory_allocated(index) for index in range(cuda.device_count())]
        except RuntimeError:  # a device that failed; the training will say so
            return
        if any(held):
            self._gpu.device = held.index(max(held))

    def close(self) -> None:
        """Look no more."""
        if self._feed is not None:
            self._sampler.remove(self._feed)
        if self._gpu is not None:
            self._gpu.close()
