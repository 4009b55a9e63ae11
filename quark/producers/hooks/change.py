"""One probed step of the optimizers: the parameters before and after, as norms."""

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .config import ParameterDiagnosticsConfig
from .host import difference_squares, sum_of_squares
from .ondevice import DeviceProbe
from .tensors import on_host, plain

LARGE = 1 << 15
"""Elements from which a tensor in main memory has its norm taken alone: torch's grouped norm adds up in float32."""


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


class Copies:
    """Copies of parameters from before a step.

    Args:
        kept: whether their memory is held from one probe to the next: fresh memory costs more than the copy.
    """

    def __init__(self, *, kept: bool) -> None:
        self._kept = kept
        self._copies: dict[int, Any] = {}

    def keep(self, parameter: Any, weight: Any) -> tuple[Any, float | None]:
        """The copy, and its norm if it is best taken now that it is in the cache."""
        if weight is None:
            return None, None
        copy = self._copies.get(id(parameter))
        if copy is None or copy.shape != weight.shape or copy.dtype != weight.dtype or copy.device != weight.device:
            copy = self._copies[id(parameter)] = weight.clone()
        else:
            copy.copy_(weight)
        return copy, _host_norm(copy) if on_host(copy) and copy.numel() >= LARGE else None

    def release(self) -> None:
        """The probe is over."""
        if not self._kept:
            self._copies.clear()


class Norms:
    """The norms of many tensors: floats for those in main memory, places in a vector for those on a device."""

    def __init__(self, device: Callable[[], DeviceProbe]) -> None:
        self._device = device

    def of(self, tensors: list[Any]) -> list[Any]:
        """A float, a (device, place) or None for each tensor, which may be None itself."""
        found: list[Any] = [None] * len(tensors)
        groups: dict[Any, list[tuple[int, Any]]] = {}
        for index, tensor in enumerate(tensors):
            if tensor is None:
                continue
            if on_host(tensor) and tensor.numel() >= LARGE:
                found[index] = _host_norm(tensor)
            else:
                groups.setdefault((tensor.device, tensor.dtype), []).append((index, tensor))
        for (where, dtype), members in groups.items():
            norms = _grouped([tensor for _, tensor in members], dtype)
            if where.type == "cpu":
                measured = sys.modules["torch"].stack(norms).tolist()
                for (index, tensor), norm in zip(members, measured, strict=True):
                    found[index] = norm if 1e-15 < norm < math.inf else _host_norm(tensor)
            else:
                start = self._device().keep(where, norms)
                for offset, (index, _) in enumerate(members):
                    found[index] = (where, start + offset)
        return found

    def of_differences(self, new: list[Any], old: list[Any]) -> list[Any]:
        """As ``of``, for the differences of tensors; large ones in main memory are not held in full."""
        found: list[Any] = [None] * len(new)
        rest: list[Any] = [None] * len(new)
        for index, (now, was) in enumerate(zip(new, old, strict=True)):
            if now is None or was is None:
                continue
            if _is_large_array(now) and _is_large_array(was):
                found[index] = math.sqrt(difference_squares(now.numpy().reshape(-1), was.numpy().reshape(-1)))
            else:
                rest[index] = now - was
        return [one if norm is None else norm for one, norm in zip(self.of(rest), found, strict=True)]


def _is_large_array(tensor: Any) -> bool:
    torch = sys.modules["torch"]
    return tensor.is_cpu and tensor.dtype is torch.float32 and tensor.numel() >= LARGE and tensor.is_contiguous()


def _grouped(tensors: list[Any], dtype: Any) -> list[Any]:
    torch = sys.modules["torch"]
    if dtype in (torch.float16, torch.bfloat16):
        return list(torch._foreach_norm(tensors, 2, dtype=torch.float32))
    if not dtype.is_floating_point:
        tensors = [tensor.to(torch.float64) for tensor in tensors]
    return list(torch._foreach_norm(tensors))


def _host_norm(tensor: Any) -> float:
    """The norm of a tensor in main memory; in double precision where its squares leave the range of float32."""
    torch = sys.modules["torch"]
    if tensor.dtype is not torch.float32:
        tensor = tensor.to(torch.float64)
    squares = sum_of_squares(tensor.contiguous().numpy().reshape(-1))
    if not 1e-30 < squares < math.inf and tensor.dtype is torch.float32:
        squares = float(tensor.double().square().sum())
    return math.sqrt(squares)


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
        self._norms = Norms(self._on_device)
        self._handles: list[Any] = []
        self._before: dict[int, tuple[list[Any], list[Any], list[Any] | None]] = {}
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
                with sys.modules["torch"].no_grad():
                    act(optimizer, number, bool(args or (kwargs or {}).get("closure")))
            except Exception as error:  # noqa: BLE001  nothing here may keep the optimizer from its step
                self._before.pop(number, None)
                self._failed("parameter_hook", error)

        return hook

    def _mine(self, optimizer: Any) -> list[Watched]:
        trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
        return [one for one in self._parameters if id(one.parameter) in trained and not _lazy(one.parameter)]

    def _before_step(self, optimizer: Any, number: int, closure: bool) -> None:
        mine = self._mine(optimizer)
        # With a closure the gradients are made within the step; they are looked at after it.
        gradients = None if closure else self._gradients(mine, optimizer)
        if self._config.capture_updates:
            kept = [self._copies.keep(one.parameter, plain(one.parameter)) for one in mine]
            old = [copy for copy, _ in kept]
            rest = self._norms.of([None if norm is not None else copy for copy, norm in kept])
            weights = [one if norm is None else norm for one, (_, norm) in zip(rest, kept, strict=True)]
        else:
            old, weights = None, self._norms.of([plain(one.parameter) for one in mine])
        self._before[number] = (weights, gradients or [], old)

    def _gradients(self, mine: list[Watched], optimizer: Any) -> list[Any]:
        gradients = [None if one.parameter.grad is None else plain(one.parameter.grad) for one in mine]
        scale = getattr(optimizer, "grad_scale", None)  # a GradScaler leaves unscaling to a fused optimizer
        if scale is not None:
            gradients = [None if one is None else one / scale.to(one.device) for one in gradients]
        return self._norms.of(gradients)

    def _after_step(self, optimizer: Any, number: int, closure: bool) -> None:
        before = self._before.pop(number, None)
        if before is None:
            return
        weights, gradients, old = before
        mine = self._mine(optimizer)
        gradients = gradients or self._gradients(mine, optimizer)
        updates: list[Any] = [None] * len(mine)
        if old is not None:
            new = [plain(one.parameter) for one in mine]
            updates = self._norms.of_differences(new, old)
        call = self._calls[number]
        self._calls[number] = call + 1
        state = self._state(optimizer, mine) if self._config.capture_optimizer_state else {}
        for one, weight, gradient, update in zip(mine, weights, gradients, updates, strict=True):
            self._seen.append((one, call, weight, gradient, update, state.get(one.name, {})))

    def _state(self, optimizer: Any, mine: list[Watched]) -> dict[str, dict[str, Any]]:
        """Norms of the state that has the shape of its parameter: moments, momentum."""
        found = [
            (one.name, key, plain(value))
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
            with sys.modules["torch"].no_grad():
                mine = [one for one in self._parameters if not _lazy(one.parameter)]
                weights = self._norms.of([plain(one.parameter) for one in mine])
                gradients = self._norms.of(
                    [None if one.parameter.grad is None else plain(one.parameter.grad) for one in mine]
                )
            for one, weight, gradient in zip(mine, weights, gradients, strict=True):
                self._seen.append((one, 0, weight, gradient, None, {}))
        if self.device is not None:
            self.device.send()

    def changes(self) -> Iterator[Change]:
        """What the step did, once the device's scalars have arrived."""
        for one, call, *norms, state in self._seen:
            values = [self._value(norm) for norm in norms]
            details: dict[str, Any] = {}
            unknown = [
                name
                for name, value in zip(("weight", "gradient", "update"), values, strict=True)
                if value is not None and not math.isfinite(value)
            ]
            if unknown:
                details["nonfinite"] = unknown
            details.update(
                (key, value) for key, norm in state.items() if (value := _finite(self._value(norm))) is not None
            )
            weight, gradient, update = (_finite(value) for value in values)
            yield Change(one, call, weight, gradient, update, details)

    def _value(self, norm: Any) -> float | None:
        if not isinstance(norm, tuple):
            return norm
        device = self._on_device()
        return device.value(*norm)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _lazy(parameter: Any) -> bool:
    return sys.modules["torch"].nn.parameter.is_lazy(parameter)
