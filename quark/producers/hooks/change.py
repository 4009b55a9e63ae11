"""One probed step of the optimizers: the parameters before and after, as norms."""

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .config import ParameterDiagnosticsConfig
from .copies import Copies
from .norms import Norms
from .ondevice import DeviceProbe
from .tensors import plain


class Watched(NamedTuple):
    """A parameter and its name."""

    name: str
    parameter: Any


class Change(NamedTuple):
    """What one optimizer step did to one parameter."""

    watched: Watched
    call: int
    weight_norm: float | None
    gradient_norm: float | None
    update_norm: float | None
    details: dict[str, Any]


class ParameterProbe:
    """The hooks of one step on the optimizers, and what they saw.

    Args:
        parameters: those that are watched.
        optimizers: those that train them.
        copies: where the parameters are kept while an optimizer steps.
        config: what is captured.
        step, epoch: where the training is.
        failed: told of a fault in a hook, as (cause, error); it raises where the policy says so.
    """

    def __init__(
        self, parameters: list[Watched], optimizers: list[Any], copies: "Copies", config: ParameterDiagnosticsConfig,
        step: int, epoch: int | None, failed: Callable[[str, Exception], None],
    ) -> None:  # fmt: skip
        self.step = step
        self.epoch = epoch
        self.device: DeviceProbe | None = None
        self._copies = copies
        self._parameters = parameters
        self._optimizers = optimizers
        self._config = config
        self._failed = failed
        self._norms = Norms(self._on_device, copies.kernels)
        self._handles: list[Any] = []
        self._before: dict[int, tuple[list[Watched], list[Any], list[Any]]] = {}
        self._calls = dict.fromkeys(range(len(optimizers)), 0)
        self._seen: list[tuple[Watched, int, Any, Any, Any, dict[str, Any]]] = []

    def _on_device(self) -> DeviceProbe:
        if self.device is None:
            self.device = DeviceProbe()
        return self.device

    def arm(self) -> None:
        """Put the hooks on the optimizers."""
        for number, optimizer in enumerate(self._optimizers):
            self._handles += [
                optimizer.register_step_pre_hook(self._hook(self._before_step, number)),
                optimizer.register_step_post_hook(self._hook(self._after_step, number)),
            ]

    def _hook(self, act: Callable[..., None], number: int) -> Callable[..., None]:
        def hook(optimizer: Any, args: Any, kwargs: Any) -> None:
            try:
                with sys.modules["torch"].no_grad(), np.errstate(all="ignore"):
                    act(optimizer, number, bool(args[1:] or (kwargs or {}).get("closure")))
            except Exception as error:  # noqa: BLE001  nothing here may keep the optimizer from its step
                self._before.pop(number, None)
                self._failed("parameter_hook", error)

        return hook

    def _mine(self, optimizer: Any) -> list[Watched]:
        trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
        return [one for one in self._alive() if id(one.parameter) in trained]

    def _alive(self) -> list[Watched]:
        """Those that have values by now; a lazy one has none before its module is called."""
        nn = sys.modules["torch"].nn
        lazy, usual = nn.parameter.is_lazy, nn.Parameter
        return [one for one in self._parameters if type(one.parameter) is usual or not lazy(one.parameter)]

    def _before_step(self, optimizer: Any, number: int, closure: bool) -> None:
        mine = self._mine(optimizer)
        # With a closure the gradients are made within the step; they are looked at after it.
        gradients = [] if closure else self._gradients(mine, optimizer)
        weights = [one.parameter for one in mine]
        if self._config.capture_updates:
            norms = self._copies.keep(number, weights, self._norms)
        else:
            norms = self._norms.of(weights)
        self._before[number] = (mine, gradients, norms)

    def _gradients(self, mine: list[Watched], optimizer: Any) -> list[Any]:
        gradients = [one.parameter.grad for one in mine]
        scale = getattr(optimizer, "grad_scale", None)  # a GradScaler leaves unscaling to a fused optimizer
        if scale is not None:
            gradients = [None if one is None else plain(one) / scale.to(one.device) for one in gradients]
        return self._norms.of(gradients)

    def _after_step(self, optimizer: Any, number: int, closure: bool) -> None:
        before = self._before.pop(number, None)
        if before is None:
            return
        mine, gradients, weights = before
        gradients = gradients or self._gradients(mine, optimizer)
        updates: list[Any] = [None] * len(mine)
        if self._config.capture_updates:
            updates = self._copies.changes(number, [one.parameter for one in mine], self._norms)
        call = self._calls[number]
        self._calls[number] = call + 1
        state = self._state(optimizer, mine) if self._config.capture_optimizer_state else {}
        for one, weight, gradient, update in zip(mine, weights, gradients, updates, strict=True):
            self._seen.append((one, call, weight, gradient, update, state.get(one.name, {})))

    def _state(self, optimizer: Any, mine: list[Watched]) -> dict[str, dict[str, Any]]:
        """Norms of the state that has the shape of its parameter: moments, momentum."""
        found = [
            (one.name, key, value)
            for one in mine
            for key, value in optimizer.state.get(one.parameter, {}).items()
            if getattr(value, "shape", None) == one.parameter.shape and value.is_floating_point()
        ]
        made: dict[str, dict[str, Any]] = {}
        for (name, key, _), norm in zip(found, self._norms.of([value for _, _, value in found]), strict=True):
            made.setdefault(name, {})[f"{key}_norm"] = norm
        return made

    def close(self) -> None:
        """The step is over: take the hooks off. Where no optimizer stepped, weights and gradients are still told."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._before.clear()
        self._copies.release()
        if not self._seen:
            with sys.modules["torch"].no_grad(), np.errstate(all="ignore"):
                mine = self._alive()
                weights = self._norms.of([one.parameter for one in mine])
                gradients = self._norms.of([one.parameter.grad for one in mine])
            for one, weight, gradient in zip(mine, weights, gradients, strict=True):
                self._seen.append((one, 0, weight, gradient, None, {}))
        if self.device is not None:
            self.device.send()

    def changes(self) -> Iterator[Change]:
        """What the step did, once the device's scalars have arrived."""
        for one, call, *norms, state in self._seen:
            weight, gradient, update = values = [self._value(norm) for norm in norms]
            details: dict[str, Any] = {}
            if not all(value is None or math.isfinite(value) for value in values):
                details["nonfinite"] = [
                    name
                    for name, value in zip(("weight", "gradient", "update"), values, strict=True)
                    if value is not None and not math.isfinite(value)
                ]
                weight, gradient, update = (_finite(value) for value in values)
            for key, norm in state.items():
                if (value := _finite(self._value(norm))) is not None:
                    details[key] = value
            yield Change(one, call, weight, gradient, update, details)

    def _value(self, norm: Any) -> float | None:
        return self._on_device().value(*norm) if isinstance(norm, tuple) else norm


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
