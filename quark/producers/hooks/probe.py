"""One probed step: the hooks that are on the model while it lasts, and what they saw."""

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from . import host
from .compiled import Asked, Kernels
from .layers import UnitOrder, saturation_limits, spatial_dims
from .ondevice import DeviceProbe
from .scale import LossScale
from .summary import MOMENTS, Measured, Wanted
from .tensors import flat, on_host, plain, tensors_in, unit_layout

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...records.configs import HookEngineConfig

FORWARD, BACKWARD = 0, 1
MOST_PLANS = 64
Units = tuple[int, int, int]
Plan = tuple[Wanted, Units | None, Asked | None]
"""What is asked of the activations of a layer: in words, how their units lie, and as compiled kernels read both."""

Sighting = tuple["Layer", int, int, str, tuple[int, ...], Measured, bool]
"""Layer, direction, call index, path of the tensor, its shape, its statistics, whether the layer was training."""


def _nothing() -> Any:
    """A hook for copies of a watched model: of the standard library, so that a pickled model needs no Quark."""
    return nullcontext().__exit__


class Repeat:
    """A call that a checkpointed region makes again; which one it is tells the first gradient that comes after it."""

    __slots__ = ("call",)

    def __init__(self) -> None:
        self.call: int | None = None


class Layer:
    """A watched module; while a probe lasts it is the module's own forward hook."""

    __slots__ = (
        "_hook_id", "calls", "limits", "module", "name", "plans", "probe", "repeats", "spatial", "unhooked",
    )  # fmt: skip

    def __init__(self, name: str, module: Any, config: "HookEngineConfig") -> None:
        from torch.utils.hooks import RemovableHandle

        self.name = name
        self.module = module
        self.spatial = spatial_dims(module)
        self.limits = saturation_limits(module, config.saturation_module_types, config.saturation_threshold)
        self.probe: Probe | None = None
        self.calls = 0
        self.unhooked: list[int] = []
        self.repeats: list[Repeat] = []
        self.plans: dict[Any, Plan] = {}
        self._hook_id = RemovableHandle(module._forward_hooks).id

    def arm(self, probe: "Probe") -> None:
        """Put the hook on the module. Straight into its table: a handle for each of 40 layers costs 0.1 ms a step."""
        self.probe = probe
        self.calls = 0
        self.unhooked.clear()
        self.repeats.clear()
        self.module._forward_hooks[self._hook_id] = self

    def disarm(self) -> None:
        """Take the hook off."""
        self.module._forward_hooks.pop(self._hook_id, None)
        self.probe = None

    def __call__(self, module: Any, args: Any, output: Any) -> None:
        probe = self.probe
        if probe is None or probe.compiling() or module is not self.module:
            return
        try:
            probe.forward(self, output)
        except Exception as error:  # noqa: BLE001  whatever a foreign tensor raises must not reach the training
            probe.failed("hook_forward", error)

    def number(self, repeat: Repeat) -> int:
        """Which call a repeated one is.

        Regions run again from the last to the first, the calls within one in their own order: all that were repeated
        before a gradient came are one region, and the last ones that still had none.
        """
        if repeat.call is None:
            again = len(self.repeats)
            for one, call in zip(self.repeats, self.unhooked[-again:], strict=False):
                one.call = call
            del self.unhooked[-again:]
            self.repeats.clear()
        return repeat.call or 0

    def __reduce__(self) -> Any:
        return _nothing().__reduce__()

    def __deepcopy__(self, memo: Any) -> Any:
        return _nothing()


class Probe:
    """What the hooks of one step saw, in the order in which they saw it.

    Args:
        layers: the modules that are watched.
        config: what is captured.
        step, epoch: where the training is.
        scale: the factor by which the loss is multiplied before the backward pass.
        kernels: the compiled statistics, if there are any.
        failed: told of a fault in a hook, as (cause, error); it raises where the policy says so.
    """

    def __init__(
        self, layers: "list[Layer]", config: "HookEngineConfig", step: int, epoch: int | None, scale: LossScale,
        kernels: Kernels | None, failed: "Callable[[str, Exception], None]",
    ) -> None:  # fmt: skip
        torch = sys.modules["torch"]
        self._layers = layers
        self.step = step
        self.epoch = epoch
        self.failed = failed
        self.open = True
        self.sightings: list[Sighting] = []
        self.device: DeviceProbe | None = None
        self.scale = scale
        self._scaled = scale.given
        self.compiling: Callable[[], bool] = torch.compiler.is_compiling
        self._forward = config.capture_forward
        self._backward = config.capture_backward
        self._epsilon = config.dead_unit_epsilon
        self._units = UnitOrder()
        self._kernels = kernels
        self._look = _left_alone if kernels is None else kernels.look
        self._host = host.measure if host.underflow_is_quiet() else host.measure_quietly
        self._tensor = torch.Tensor
        self._float = torch.float32
        self._task: Callable[[], int] = getattr(torch._C, "_current_graph_task_id", _no_task)
        self._leaves: list[Any] = []

    def arm(self) -> None:
        """Put the hooks on the layers."""
        for layer in self._layers:
            layer.arm(self)

    def forward(self, layer: Layer, output: Any) -> None:
        """A layer was called."""
        if self._task() != -1:
            self._recomputed(layer, output)
            return
        call = layer.calls
        layer.calls = call + 1
        training = layer.module.training
        if type(output) is self._tensor:
            if self._forward:
                self._saw(layer, call, "", output, training)
            graph = output.requires_grad
            if graph and self._backward:
                self._watch_gradient(layer, call, "", output, training)
        else:
            graph = False
            for path, tensor in tensors_in(output):
                if self._forward:
                    self._saw(layer, call, path, tensor, training)
                if tensor.requires_grad:
                    graph = True
                    if self._backward:
                        self._watch_gradient(layer, call, path, tensor, training)
        if training and not graph:
            layer.unhooked.append(call)

    def _saw(self, layer: Layer, call: int, path: str, tensor: Any, training: bool) -> None:
        shape = tensor.shape
        wanted, units, asked = layer.plans.get(shape) or self._plan(layer, shape)
        measured = self._look(tensor, asked) or self._measure(tensor, wanted, units)
        if measured is not None:
            self.sightings.append((layer, FORWARD, call, path, shape, measured, training))

    def _plan(self, layer: Layer, shape: Any) -> Plan:
        """What is asked of the activations of a layer, kept for each shape that it makes."""
        dim = self._units.dim(shape, layer.spatial)
        wanted = Wanted(self._epsilon, layer.limits, dim)
        units = None if dim is None else unit_layout(shape, dim)
        made = wanted, units, None if self._kernels is None else self._kernels.asked(wanted, units)
        if len(layer.plans) >= MOST_PLANS:
            layer.plans.clear()
        layer.plans[shape] = made
        return made

    def _recomputed(self, layer: Layer, output: Any) -> None:
        """A checkpointed region runs again within the backward pass: not another call.

        In reentrant mode the first pass had no graph, so that the gradients are those of the second one.
        """
        if not self._backward or not layer.unhooked:
            return
        repeat = Repeat()
        layer.repeats.append(repeat)
        for path, tensor in tensors_in(output):
            if tensor.requires_grad:
                self._watch_gradient(layer, repeat, path, tensor, layer.module.training)

    def _watch_gradient(self, layer: Layer, call: int | Repeat, path: str, tensor: Any, training: bool) -> None:
        """A hook where the tensor was made, not on the module: those forbid in-place layers and miss nested outputs."""

        place = tensor.output_nr

        def on_gradients(gradients: Any) -> None:
            gradient = gradients[place]
            if gradient is None or not self.open:
                return
            try:
                if self._scaled:
                    self.scale.look(self)
                measured = self._look(gradient) or self._measure(gradient, MOMENTS, None)
                if measured is not None:
                    number = layer.number(call) if isinstance(call, Repeat) else call
                    self.sightings.append((layer, BACKWARD, number, path, gradient.shape, measured, training))
            except Exception as error:  # noqa: BLE001  nor the backward pass
                self.failed("hook_backward", error)

        node = tensor.grad_fn
        if node is not None:  # a hook of the tensor itself is two to three times as dear
            node.register_prehook(on_gradients)
        else:  # a leaf outlives the step, as a parameter that a layer returns does
            self._leaves.append(tensor.register_hook(lambda gradient: on_gradients((gradient,))))

    def _measure(self, tensor: Any, wanted: Wanted, units: Units | None) -> Measured | None:
        if tensor.dtype is self._float and tensor.is_cpu and type(tensor) is self._tensor and not tensor.is_sparse:
            array = tensor.numpy(force=True)
            if array.flags.c_contiguous:  # nearly always
                return self._host(array.reshape(-1), units, wanted)
        values = plain(tensor)
        if values is None:
            return None
        if values.shape != tensor.shape:
            wanted = wanted._replace(unit_dim=None)
        if not on_host(values):
            if values.is_cuda and sys.modules["torch"].cuda.is_current_stream_capturing():
                return None  # a graph would replay the kernels for ever, and never this code
            return self.on_device().measure(values, wanted)
        return self._host(*flat(values, wanted), wanted)

    def on_device(self) -> DeviceProbe:
        """Where what is measured on accelerators is kept."""
        if self.device is None:
            self.device = DeviceProbe()
        return self.device

    def close(self) -> None:
        """The step is over: take the hooks off; gradients that come later are not of it."""
        self.open = False
        for layer in self._layers:
            layer.disarm()
        for handle in self._leaves:
            handle.remove()
        self._leaves.clear()
        if self.device is not None:
            self.device.send()


def _left_alone(tensor: Any, asked: Asked | None = None) -> None:
    """No kernel is compiled."""


def _no_task() -> int:
    return -1
