"""Statistics of tensors on an accelerator: kernels queued where the tensor is, one copy to the host per probe.

Nothing here waits. Every statistic stays a scalar on its device until the probe ends; then all of them travel in one
vector into pinned memory on a stream of their own, and are read when their event says that they have arrived.
"""

import math
import sys
from collections.abc import Callable
from typing import Any

from .summary import Summary, Wanted

SMALLEST_SQUARED = 1e-18
"""Below this magnitude squares are lost in float32: variance and norm are then unknown rather than wrong."""


class Ticket:
    """A summary that is still on its device: which scalars of the probe's vector are its own."""

    __slots__ = ("count", "device", "names", "start", "unit_count")

    def __init__(self, device: Any, start: int, names: tuple[str, ...], count: int, unit_count: int) -> None:
        self.device = device
        self.start = start
        self.names = names
        self.count = count
        self.unit_count = unit_count

    def summary(self, vector: list[float]) -> Summary:
        """The summary, from the vector of its device."""
        own = dict(zip(self.names, vector[self.start : self.start + len(self.names)], strict=True))
        nonfinite = self.count - round(own["finite"])
        units = own.get("dead_units")
        mean = variance = norm = max_abs = None
        if not nonfinite:
            mean, max_abs = _number(own["mean"]), own["max_abs"]
            if max_abs > SMALLEST_SQUARED or not max_abs:
                variance = _number(own["variance"])
                norm = _number(math.sqrt(self.count * (own["variance"] + own["mean"] ** 2)))
        return Summary(
            self.count, mean, variance, norm, max_abs, nonfinite, _whole(own.get("dead")), _whole(own.get("saturated")),
            None if units is None else units / self.unit_count,
        )  # fmt: skip


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


class DeviceProbe:
    """The scalars of one probe, device by device, and their way to the host."""

    def __init__(self) -> None:
        self._scalars: dict[Any, list[Any]] = {}
        self._arriving: dict[Any, Callable[[bool], list[float] | None]] = {}
        self._vectors: dict[Any, list[float]] = {}

    def measure(self, tensor: Any, wanted: Wanted) -> Summary | Ticket:
        """Queue the statistics of a dense tensor without gradient; its values are wanted as they are now."""
        count = tensor.numel()
        if not count:
            return Summary(0, None, None, None, None)
        values = scalars(tensor, wanted)
        unit_count = 0 if wanted.unit_dim is None else tensor.shape[wanted.unit_dim]
        start = self.keep(tensor.device, list(values.values()))
        return Ticket(tensor.device, start, tuple(values), count, unit_count)

    def keep(self, device: Any, values: list[Any]) -> int:
        """Let scalars on ``device`` travel with the probe; the place of the first one in the vector."""
        mine = self._scalars.setdefault(device, [])
        start = len(mine)
        mine.extend(values)
        return start

    def send(self) -> None:
        """Start the copy of every device's vector to the host."""
        torch = sys.modules["torch"]
        for device, values in self._scalars.items():
            kind = torch.float32 if device.type == "mps" else torch.float64  # that one has no double precision
            with torch.no_grad():
                vector = torch.stack([value.to(kind) for value in values])
            self._arriving[device] = _copy(torch, vector)
        self._scalars.clear()

    def arrived(self, *, wait: bool = False) -> bool:
        """Whether all vectors are here; ``wait`` waits for the devices."""
        for device, ask in list(self._arriving.items()):
            vector = ask(wait)
            if vector is None:
                return False
            self._vectors[device] = vector
            del self._arriving[device]
        return True

    def summary(self, measured: Summary | Ticket) -> Summary:
        """What a ticket stands for, once ``arrived`` said so."""
        return measured if isinstance(measured, Summary) else measured.summary(self._vectors[measured.device])

    def value(self, device: Any, place: int) -> float:
        """A scalar that was kept, once ``arrived`` said so."""
        return self._vectors[device][place]


def _copy(torch: Any, vector: Any) -> Callable[[bool], list[float] | None]:
    """Start a copy to the host; the answer is a question: the values, or None while they are on their way."""
    if not vector.is_cuda:
        return lambda wait: vector.tolist()
    device = vector.device
    stream = _stream(torch, device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        target = torch.empty(vector.shape, dtype=vector.dtype, device="cpu", pin_memory=True)
        target.copy_(vector, non_blocking=True)
        vector.record_stream(stream)
        event = torch.cuda.Event()
        event.record(stream)

    def ask(wait: bool) -> list[float] | None:
        if wait:
            event.synchronize()
        elif not event.query():
            return None
        return target.tolist()

    return ask


_streams: dict[Any, Any] = {}


def _stream(torch: Any, device: Any) -> Any:
    if device not in _streams:
        _streams[device] = torch.cuda.Stream(device)
    return _streams[device]


def scalars(tensor: Any, wanted: Wanted) -> dict[str, Any]:
    """The statistics of a tensor as scalars on its device, in float32 or better.

    ``var_mean`` is one Welford pass, right however far the mean is from zero. What is counted is counted as a whole
    number; all are made float64 when they travel. The norm follows from mean and variance.
    """
    torch = sys.modules["torch"]
    kind = tensor.dtype
    if kind is not torch.float32 and kind is not torch.float64:
        small = kind.is_floating_point or tensor.device.type == "mps"
        tensor = tensor.to(torch.float32 if small else torch.float64)
    variance, mean = torch.var_mean(tensor, correction=0)
    made = {
        "variance": variance,
        "mean": mean,
        "max_abs": torch.linalg.vector_norm(tensor, math.inf),
        "finite": torch.isfinite(tensor).sum(),
    }
    if wanted.epsilon is not None:
        mask = (tensor == 0) if not wanted.epsilon else tensor.abs() <= wanted.epsilon
        made["dead"] = mask.sum()
        if wanted.unit_dim is not None:
            others = [dim for dim in range(mask.ndim) if dim != wanted.unit_dim]
            made["dead_units"] = mask.all(dim=others).sum() if others else mask.sum()
    if wanted.saturation is not None:
        low, high = wanted.saturation
        made["saturated"] = ((tensor >= high) | (tensor <= low)).sum()
    return made
