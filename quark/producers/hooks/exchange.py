"""How long a rank is busy exchanging gradients with the others, as torch's DistributedDataParallel times it."""

from typing import Any

from .naming import inside

KEY = "system/runtime/sync_time_ms"
"""The metric: time of one backward pass in which gradients were on their way and nothing was computed, ms."""

_DEVICES_THAT_WAIT_FOR_NOBODY = frozenset(("cpu", None))


class GradientExchange:
    """Reads what DDP measures by itself: who waits for another rank in a step is busy exchanging for that long.

    DDP times the first ten iterations and then every hundredth. Reading costs some 0.1 ms, and nothing is waited for.

    Args:
        model: a DistributedDataParallel, compiled or not; of anything else nothing is known.
        every: the cadence of reading in steps. In main memory DDP times as often; on a GPU it stays at its own
            cadence, because there it waits for its events.
    """

    def __init__(self, model: Any, every: int | None) -> None:
        while (inner := inside(model)) is not None and type(model).__name__ != "DistributedDataParallel":
            model = inner
        known = hasattr(model, "_get_ddp_logging_data")
        self._model = model if known else None
        self._read = 0
        if known and every is not None and getattr(model, "device_type", None) in _DEVICES_THAT_WAIT_FOR_NOBODY:
            model._set_ddp_runtime_logging_sample_rate(every)

    def times(self) -> dict[str, float]:
        """The metric of the last iteration that was timed; empty if it was read before or nothing was timed."""
        if self._model is None:
            return {}
        data = self._model._get_ddp_logging_data()
        iteration = int(data.get("iteration", 0))
        busy, hidden = data.get("backward_comm_time"), data.get("backward_compute_comm_overlap_time")
        if iteration <= self._read or busy is None or hidden is None:
            return {}
        self._read = iteration
        return {KEY: max(busy - hidden, 0) / 1e6}
