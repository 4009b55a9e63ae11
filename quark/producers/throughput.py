"""Samples and tokens a second, and how much of the GPU's peak the training uses, over the last steps."""

import math
import time
from collections import deque
from collections.abc import Callable
from statistics import median
from types import TracebackType
from typing import Any

from ..errors import SchemaValidationError
from ..records.grammar import check_index, check_step, shown, to_float
from .attach import Attachment
from .peak_flops import device_peak_flops

SAMPLES = "system/throughput/samples_per_s"
TOKENS = "system/throughput/tokens_per_s"
MFU = "system/throughput/mfu"

PAUSE = 5.0
"""An interval this many times as long as the median of the window is a pause and not counted."""


class Throughput(Attachment):
    """Records how fast a training goes: samples and tokens a second, and its model FLOPs utilization (MFU).

    Call ``step`` once at the end of every step. The rates are those of the last ``window`` steps, by a clock that is
    never set. An interval between two steps that is five times as long as usual, such as an evaluation, a checkpoint
    or the compilation in the first step, is a pause and counts nowhere; a pace that stays slower counts as soon as it
    fills half the window.

    Args:
        session: a TrainingSession, or the RunContext of one.
        flops_per_step: floating-point operations of one step of the model on this process's device, forward and
            backward; for a transformer about ``6 * parameters * tokens`` (Kaplan et al. 2020). Without it no MFU.
        peak_flops: what the device can do at most, in operations a second of the precision in use; looked up by
            the name of the GPU (dense bfloat16) if omitted.
        window: over how many steps the rates are taken, at least 1.

    Raises:
        SchemaValidationError, WrongTypeError: a number is not finite or not above 0.
    """

    __module__ = "quark"

    def __init__(
        self, session: Any, *, flops_per_step: float | None = None, peak_flops: float | None = None, window: int = 20
    ) -> None:
        super().__init__(session)
        self._flops = _above_zero(flops_per_step, "flops_per_step")
        self._peak = _above_zero(peak_flops, "peak_flops")
        length = check_index(window, "window")
        if not length:
            raise SchemaValidationError(f"window must be at least 1 step, got {shown(window)}")
        self._clock: Callable[[], float] = time.perf_counter
        self._steps: deque[tuple[float, float | None, float | None]] = deque(maxlen=length)
        self._last: float | None = None

    def step(
        self, step: int, samples: float | None = None, tokens: float | None = None, epoch: int | None = None
    ) -> dict[str, float]:
        """A step is done: record the rates of the last steps as metrics, and return them.

        Args:
            step: its number.
            samples: how many samples it took on this process; None if nobody counts them.
            tokens: how many tokens it took on this process.
            epoch: its epoch.

        Returns:
            The values by metric key; empty at the first step, after ``pause`` and for a step that was refused.

        Raises:
            SchemaValidationError, WrongTypeError, ClosedError: strict mode only; otherwise the step is refused,
                counted and warned about.
        """
        if self._handle.disabled:
            return {}
        now = self._clock()
        begun, self._last = self._last, now
        try:
            self._check_open()
            step, epoch = check_step(step), check_index(epoch, "epoch")
            counted = _amount(samples, "samples"), _amount(tokens, "tokens")
            if begun is None:
                return {}
            self._steps.append((now - begun, *counted))
            rates = self._rates()
            if rates:
                self._handle.log_values(rates, step=step, epoch=epoch)
            return rates
        except BaseException as error:  # noqa: BLE001  a value may raise anything; refuse lets interrupts through
            self._handle.refuse(error, what=f"throughput of step {shown(step)}")
            return {}

    def pause(self) -> None:
        """What happens from the last step to the next one is no training and counts nowhere."""
        self._last = None

    def _rates(self) -> dict[str, float]:
        longest = PAUSE * median(entry[0] for entry in self._steps)
        steps = [entry for entry in self._steps if entry[0] <= longest]
        seconds = sum(entry[0] for entry in steps)
        if seconds <= 0.0:  # the clock is too coarse for such steps
            return {}
        rates: dict[str, float] = {}
        for key, place in ((SAMPLES, 1), (TOKENS, 2)):
            known = [entry for entry in steps if entry[place] is not None]
            spent = sum(entry[0] for entry in known)
            if spent > 0.0:
                rates[key] = math.fsum(entry[place] or 0.0 for entry in known) / spent
        if self._flops is not None:
            if self._peak is None:
                self._peak = device_peak_flops()
            if self._peak is not None:
                rates[MFU] = self._flops * len(steps) / seconds / self._peak
        return rates

    def __enter__(self) -> "Throughput":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _above_zero(value: Any, field: str) -> float | None:
    if value is None:
        return None
    number = to_float(value, field)
    if not 0.0 < number < math.inf:
        raise SchemaValidationError(f"{field} must be finite and above 0, got {number}; leave it out if it is unknown")
    return number


def _amount(value: Any, field: str) -> float | None:
    if value is None:
        return None
    number = to_float(value, field)
    if not 0.0 <= number < math.inf:
        raise SchemaValidationError(f"{field} must be finite and at least 0, got {number}; pass how many there were")
    return number
