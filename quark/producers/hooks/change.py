"""One probed step of the optimizers: the parameters before and after, as norms."""

import math
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .config import ParameterDiagnosticsConfig
from .copies import Copies
from .norms import Norms
from .ondevice import DeviceProbe
from .optimizers import trained_by, unwrapped_optimizer
from .scale import ScaledGradients
from .tensors import plain

MOST_STEPS = 100
"""Steps of an optimizer that are recorded in one step of the training."""


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


class _Seen(NamedTuple):
    watched: Watched
    call: int
    weight: Any
    gradient: Any
    update: Any
    state: dict[str, Any]
    scaled: bool


class ParameterProbe:
    """The hooks of one step on the optimizers, and what they saw.

    The hooks are on every optimizer: one that was made after the watcher is seen if it trains a watched parameter.

    Args:
        parameters: those that are watched.
        optimizers: those that are known to train them; others that do so are added.
        copies: where the parameters are kept while an optimizer steps.
        config: what is captured.
        step, epoch: where the training is.
        scale: the factor by which the loss is multiplied before the backward pass.
        failed: called with a fault in a hook, as (cause, error); it raises where the policy says so.
        early: whether the step has not begun yet, because nobody says when it does.

    Attributes:
        added: the optimizers that were not known.
        left_out: optimizer steps beyond the most that are recorded.
    """

    def __init__(
        self, parameters: list[Watched], optimizers: list[Any], copies: "Copies", config: ParameterDiagnosticsConfig,
        step: int, epoch: int | None, scale: ScaledGradients, failed: Callable[[str, Exception], None], *,
        early: bool = False,
    ) -> None:  # fmt: skip
        self.step = step
        self.epoch = epoch
        self.early = early
        self.device: DeviceProbe | None = None
        self.added: list[Any] = []
        self.left_out = 0
        self._copies = copies
        self._parameters = parameters
        self._watched = {id(one.parameter) for one in parameters}
        self._optimizers = optimizers
        self._config = config
        self._scale = scale
        self._failed = failed
        self._norms = Norms(self.on_device, copies.kernels, lambda error: failed("parameter_hook", error))
        self._handles: list[Any] = []
        self._numbers: dict[int, int | None] = {id(optimizer): place for place, optimizer in enumerate(optimizers)}
        self._stepping: dict[int, tuple[Any, int]] = {}
        self._before: dict[int, tuple[list[Watched], list[Any], list[Any], list[bool]]] = {}
        self._calls: dict[int, int] = {}
        self._seen: list[_Seen] = []
        self._unfinished: list[_Seen] = []
        self.finished_in: int | None = None

    def on_device(self) -> DeviceProbe:
        if self.device is None:
            self.device = DeviceProbe()
        return self.device

    @property
    def saw_training(self) -> bool:
        """Whether an optimizer stepped."""
        return bool(self._calls)

    def arm(self) -> None:
        """Put the hooks on the optimizers."""
        from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

        self._scale.arm(one.parameter for one in self._alive())
        self._handles += [
            register_optimizer_step_pre_hook(self._begins),
            register_optimizer_step_post_hook(self._ends),
        ]

    def _number(self, optimizer: Any) -> int | None:
        """The number of an optimizer that trains watched parameters; None for any other."""
        key = id(optimizer)
        if key not in self._numbers:
            number = self._numbers.get(id(unwrapped_optimizer(optimizer)))
            if number is None and trained_by([optimizer]) & self._watched:
                self.added.append(optimizer)
                number = len(self._numbers)
            self._numbers[key] = number
        return self._numbers[key]

    def _begins(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """A hook: an optimizer is about to step. One within the step of another is a part of it."""
        thread = threading.get_ident()
        if thread in self._stepping:
            owner, depth = self._stepping[thread]
            self._stepping[thread] = owner, depth + 1
            return
        self._stepping[thread] = optimizer, 1
        closure = bool(args[1:] or (kwargs or {}).get("closure"))
        self._act(self._before_step, optimizer, closure)

    def _ends(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """A hook: an optimizer has stepped."""
        thread = threading.get_ident()
        owner, depth = self._stepping.get(thread, (None, 0))
        if depth > 1:
            self._stepping[thread] = owner, depth - 1
        elif owner is optimizer:
            del self._stepping[thread]
            closure = bool(args[1:] or (kwargs or {}).get("closure"))
            self._act(self._after_step, optimizer, closure)

    def _act(self, act: Callable[[Any, int, bool], None], optimizer: Any, closure: bool) -> None:
        number = None
        try:
            number = self._number(optimizer)
            if number is not None:
                with sys.modules["torch"].no_grad(), np.errstate(all="ignore"):
                    act(optimizer, number, closure)
        except Exception as error:  # noqa: BLE001  nothing here may keep the optimizer from its step
            if number is not None:
                self._before.pop(number, None)
            self._failed("parameter_hook", error)

    def _mine(self, optimizer: Any) -> list[Watched]:
        trained = trained_by([optimizer])
        return [one for one in self._alive() if id(one.parameter) in trained]

    def _alive(self) -> list[Watched]:
        """Those that have values by now; a lazy one has none before its module is called."""
        nn = sys.modules["torch"].nn
        lazy, usual = nn.parameter.is_lazy, nn.Parameter
        return [one for one in self._parameters if type(one.parameter) is usual or not lazy(one.parameter)]

    def _before_step(self, optimizer: Any, number: int, closure: bool) -> None:
        if self._calls.get(number, 0) >= MOST_STEPS:
            self.left_out += 1
            return
        mine = self._mine(optimizer)
        # With a closure the gradients are made within the step; they are looked at after it.
        gradients = [] if closure else self._gradients(mine, optimizer)
        weights = [one.parameter for one in mine]
        scaled = [] if closure else self._scale.held_at_step(weights)
        if self._config.capture_updates:
            norms = self._copies.keep(number, weights, self._norms)
        else:
            norms = self._norms.of(weights)
        self._before[number] = (mine, gradients, norms, scaled)

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
        mine, gradients, weights, scaled = before
        gradients = gradients or self._gradients(mine, optimizer)
        updates: list[Any] = [None] * len(mine)
        if self._config.capture_updates:
            updates = self._copies.changes(number, [one.parameter for one in mine], self._norms)
        call = self._calls.get(number, 0)
        self._calls[number] = call + 1
        state = self._state(optimizer, mine) if self._config.capture_optimizer_state else {}
        scaled = scaled or self._scale.held_at_step([one.parameter for one in mine])
        if any(scaled):
            self._scale.look(self)
        for one, weight, gradient, update, held in zip(mine, weights, gradients, updates, scaled, strict=True):
            self._seen.append(_Seen(one, call, weight, gradient, update, state.get(one.name, {}), held))

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

    def look(self) -> None:
        """The step is over and no optimizer has stepped: what is known of weights and gradients now."""
        with sys.modules["torch"].no_grad(), np.errstate(all="ignore"):
            mine = self._alive()
            parameters = [one.parameter for one in mine]
            weights = self._norms.of(parameters)
            gradients = self._norms.of([one.grad for one in parameters])
            scaled = self._scale.held_after(parameters, self._optimizers)
            if any(scaled):
                self._scale.look(self)
        self._unfinished = [
            _Seen(one, 0, weight, gradient, None, {}, held)
            for one, weight, gradient, held in zip(mine, weights, gradients, scaled, strict=True)
        ]

    def close(self) -> None:
        """The probe is over: take the hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._scale.close()
        self._before.clear()
        self._copies.release()
        if self.device is not None:
            self.device.send()

    def changes(self) -> Iterator[Change]:
        """What the step did, once the device's scalars have arrived.

        Where no optimizer stepped, weights and gradients are told alone. Where one stepped only in a later step of the
        training, what was not finite in the step itself is told too: that may be why.
        """
        stepped = bool(self._seen)
        for one in self._unfinished:
            change = self._change(one)
            if not stepped or "nonfinite" in change.details:
                if change.gradient_norm is not None and not stepped:
                    change.details["optimizer_stepped"] = False
                yield change
        for one in self._seen:
            change = self._change(one)
            if self.finished_in not in (None, self.step):
                change.details["optimizer_step"] = self.finished_in
            yield change

    def _change(self, seen: _Seen) -> Change:
        one, call, *norms, state, scaled = seen
        weight, gradient, update = values = [self._value(norm) for norm in norms]
        if scaled and gradient is not None:
            gradient = values[1] = gradient / self._scale.value(self.device)
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
        return Change(one, call, weight, gradient, update, details)

    def _value(self, norm: Any) -> float | None:
        return self.on_device().value(*norm) if isinstance(norm, tuple) else norm


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
