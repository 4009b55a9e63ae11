"""The factor by which mixed precision multiplies the loss: gradients are told as they would be without it."""

import math
import sys
from collections.abc import Iterable
from typing import Any

from ...errors import WrongTypeError
from ...records.grammar import shown, to_float
from .optimizers import trained_by


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


class ScaledGradients:
    """Which gradients of parameters still hold the loss scale, and what it is.

    A GradScaler unscales before the optimizer steps, and says so. Who scales by a number unscales in place, which
    shows in the gradient's version.

    Args:
        given: as for LossScale.
    """

    def __init__(self, given: Any) -> None:
        self._given = given
        self._scaler = given if hasattr(given, "get_scale") else None
        self._before: Any = None
        self._versions: dict[int, tuple[int, int]] = {}
        self._handles: list[Any] = []
        self._place: tuple[Any, int] | None = None
        self._value: float | None = None

    def arm(self, parameters: Iterable[Any]) -> None:
        """The probe begins."""
        if self._scaler is not None:
            value = _current(self._scaler)
            self._before = value.detach().clone() if hasattr(value, "detach") else value
        elif self._given is not None:
            for one in parameters:
                if one.requires_grad and one.is_leaf:
                    self._handles.append(one.register_post_accumulate_grad_hook(self._accumulated))

    def _accumulated(self, parameter: Any) -> None:
        gradient = parameter.grad
        if gradient is not None:
            self._versions[id(parameter)] = id(gradient), gradient._version

    def close(self) -> None:
        """The probe is over."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def held_at_step(self, parameters: Iterable[Any]) -> list[bool]:
        """Whether the gradient of each parameter still holds the scale when its optimizer steps."""
        return [self._untouched(one) for one in parameters]

    def _untouched(self, parameter: Any) -> bool:
        gradient = parameter.grad
        return gradient is not None and self._versions.get(id(parameter)) == (id(gradient), gradient._version)

    def held_after(self, parameters: Iterable[Any], optimizers: Iterable[Any]) -> list[bool]:
        """The same where no optimizer has stepped."""
        if self._given is None:
            return [False for _ in parameters]
        if self._scaler is None:
            return self.held_at_step(parameters)
        states = getattr(self._scaler, "_per_optimizer_states", {})
        done = trained_by(one for one in optimizers if id(one) in states and states[id(one)]["stage"].value)
        return [id(one) not in done for one in parameters]

    def look(self, probe: Any) -> None:
        """Take the scale; one on a device travels with the probe. One that has fallen has unscaled the gradients."""
        value = _current(self._given)
        before = self._before
        if before is not None and getattr(value, "is_cuda", False):
            torch = sys.modules["torch"]
            factor = torch.where(value < before.to(value.device), torch.ones_like(value), value).reshape(())
            self._place = (value.device, probe.on_device().keep(value.device, [factor]))
        else:
            now = to_float(value, "grad_scale")
            self._value = 1.0 if before is not None and now < to_float(before, "grad_scale") else now

    def value(self, device: Any) -> float:
        """The factor to take out, once the probe's scalars have arrived; 1 for none."""
        value = self._value if self._place is None else device.value(*self._place)
        return value if value is not None and math.isfinite(value) and value > 0 else 1.0


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
