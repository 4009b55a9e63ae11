"""The factor by which mixed precision multiplies the loss: gradients are told as they would be without it."""

import math
from typing import Any

from ...errors import WrongTypeError
from ...records.grammar import shown, to_float


class LossScale:
    """The loss scale of one probe, looked up once, when the first gradient comes: an update after it is of no concern.

    Args:
        given: a number, a callable that returns one, a ``torch.amp.GradScaler``, or None for no scaling.
    """

    def __init__(self, given: Any) -> None:
        self._given = given
        self.given = given is not None
        self._looked = given is None
        self._value: float | None = None
        self._place: tuple[Any, int] | None = None

    def look(self, probe: Any) -> None:
        """Take the scale as it is now; one that is a tensor on a device is copied there and travels with the probe."""
        if self._looked:
            return
        self._looked = True
        value = _current(self._given)
        if getattr(value, "is_cuda", False):
            self._place = (value.device, probe.on_device().keep(value.device, [value.detach().clone().reshape(())]))
        else:
            self._value = to_float(value, "grad_scale")

    def value(self, device: Any) -> float | None:
        """The scale, once the probe's scalars have arrived; None where there is none.

        Args:
            device: the DeviceProbe that carried it, or None.
        """
        value = self._value if self._place is None else device.value(*self._place)
        return value if value is not None and math.isfinite(value) and value > 0 else None


def checked_scale(given: Any) -> Any:
    """``given``, if a scale can be had from it.

    Raises:
        WrongTypeError: neither a number, nor callable, nor a GradScaler.
    """
    usable = given is None or callable(given) or hasattr(given, "get_scale")
    if not usable and (isinstance(given, bool) or not isinstance(given, (int, float))):
        raise WrongTypeError(
            f"grad_scale must be a GradScaler, a number or a callable that returns one, got {shown(given)}"
        )
    return given


def _current(given: Any) -> Any:
    if hasattr(given, "get_scale"):
        if hasattr(given, "is_enabled") and not given.is_enabled():
            return 1.0
        # get_scale() would wait for the device; the tensor behind it need not
        tensor = getattr(given, "_scale", None)
        return given.get_scale() if tensor is None else tensor
    return given() if callable(given) else given
