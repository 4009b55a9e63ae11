"""One probed step: the hooks that are on the model while it lasts, and what they saw."""

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from . import host
from .compiled import Asked, Kernels
from .eager import EagerStep
from .layers import UnitOrder
from .ondevice import DeviceProbe
from .scale import LossScale
from .summary import MOMENTS, Measured, Wanted
from .tensors import (
    flat,
    has_memory,
    has_values,
    local_shape,
    on_host,
    plain,
    shape_of,
    tensors_in,
    unit_layout,
    unnested,
)
from .watched import Layer, Plan, Repeat, Units, in_function, version_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...records.configs import HookEngineConfig

FORWARD, BACKWARD = 0, 1
MOST_PLANS = 64

MOST_CALLS = 100
"""Calls of a layer that are recorded in one step, whatever they are; as many again are recorded of those that build a
graph, so that passes without gradients, such as those of a rollout, do not use up the room of the training."""

MOST_GRADIENTS = 4 * MOST_CALLS
"""Gradients of a layer that are recorded in one step."""


class Sharded(NamedTuple):
    """The shape of a distributed tensor, and that of the part of it which was measured."""

    whole: tuple[int, ...] | None
    local: tuple[int, ...]


Shape = tuple[int, ...] | Sharded | None
Sighting = tuple[Layer, int, int, str, Shape, Measured, bool]
"""Layer, direction, call index, path of the tensor, its shape, its statistics, whether the layer was training."""


class Probe:
    """What the hooks of one step saw, in the order in which they saw it.

    Args:
        layers: the modules that are watched.
        network: what they are parts of.
        config: what is captured.
        step, epoch: where the training is.
        scale: the factor by which the loss is multiplied before the backward pass.
        kernels: the compiled statistics, if there are any.
        failed: called with a fault in a hook, as (cause, error); it raises where the policy says so.
        early: whether the step has not begun yet, because nobody says when it does: passes that are none of a training
            are then left out.
        eagerly: runs compiled code eagerly while the probe lasts; None: nothing inside of it is seen.

    Attributes:
        left_out: calls and gradients beyond the most that are recorded.
        silent: once it is closed, the layers that were trained during the probe without ever being called.
        called: once it is closed, the names of the layers that were called.
    """

    def __init__(
        self, layers: list[Layer], network: Any, config: "HookEngineConfig", step: int, epoch: int | None,
        scale: LossScale, kernels: Kernels | None, failed: "Callable[[str, Exception], None]", *, early: bool = False,
        eagerly: EagerStep | None = None,
    ) -> None:  # fmt: skip
        torch = sys.modules["torch"]
        self.layers = layers
        self._network = network
        self._in_train_mode = network.training
        self.early = early
        self._eagerly = eagerly
        self._passed_over = 0
        self._gave_up = False
        self.left_out = 0
        self.silent: list[Layer] = []
        self.called: set[str] = set()
        self.step = step
        self.epoch = epoch
        self.failed = failed
        self.open = True
        self.sightings: list[Sighting] = []
        self.device: DeviceProbe | None = None
        self.scale = scale
        self._scaled = scale.given
        self.compiling: Callable[[], bool] = torch.compiler.is_compiling
        self.tracing: Callable[[], bool] = torch._C._is_tracing
        self._with_gradients: Callable[[], bool] = torch.is_grad_enabled
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
        if self._eagerly is not None:
            self._eagerly.begin()
        for layer in self.layers:
            layer.arm(self)

    @property
    def saw_training(self) -> bool:
        """Whether anything was seen, or would have been if an evaluation before it had been shorter."""
        return bool(self.sightings) or (self._gave_up and any(layer.trained_unseen for layer in self.layers))

    def forward(self, layer: Layer, output: Any) -> None:
        """A layer was called."""
        if self._task() != -1:
            self._recomputed(layer, output)
            return
        if self.early and self._is_evaluation():
            self._pass_over()
            return
        training = layer.module.training
        if not training and self._is_left_over(layer):
            return
        call = layer.calls
        layer.calls = call + 1
        if call >= MOST_CALLS and self._beyond(layer):
            return
        if type(output) is self._tensor:
            if self._forward:
                self._saw(layer, call, "", output, training)
            graph = output.requires_grad
            if graph and self._backward:
                self._watch_gradient(layer, call, "", output, training)
        else:
            graph = self._saw_inside(layer, call, output, training)
        if training and not graph and not self._with_gradients() and in_function():
            layer.unhooked.append(call)

    def _is_evaluation(self) -> bool:
        """Whether a pass is none of a training: it is without gradients, or the network trains in another mode."""
        if not self._with_gradients():
            return True
        if not self._network.training:
            return self._in_train_mode
        if not self._in_train_mode:  # what came before in eval mode was an evaluation, then
            self._in_train_mode = True
            self.sightings.clear()
            for layer in self.layers:
                layer.forget()
        return False

    def _beyond(self, layer: Layer) -> bool:
        """Whether a call is one too many."""
        if self._with_gradients() and layer.graphs < MOST_CALLS:
            layer.graphs += 1
            return False
        self.left_out += 1
        if self.early:  # steps that nobody names are not to run eagerly for ever
            self._leave_rest()
        return True

    def _is_left_over(self, layer: Layer) -> bool:
        """Whether an evaluation follows the training of the step, which is left to compiled code if there is some."""
        return not self._with_gradients() and layer.version != version_of(layer.module) and self._leave_rest()

    def _leave_rest(self) -> bool:
        """Look no further in this step and let compiled code run; False if there is none."""
        if self._eagerly is None or not self._eagerly.ease():
            return False
        self.unhook()
        return True

    def _pass_over(self) -> None:
        """A layer was called in an evaluation before the step; one that goes on for long is left to compiled code."""
        self._passed_over += 1
        if self._passed_over == MOST_CALLS * len(self.layers):
            self._gave_up = self._leave_rest()

    def _saw_inside(self, layer: Layer, call: int, output: Any, training: bool) -> bool:
        """A layer made something other than a plain tensor; whether there is a graph behind it."""
        graph = False
        for path, tensor in tensors_in(output):
            if self._forward and has_values(tensor):
                try:
                    self._saw(layer, call, path, unnested(tensor), training)
                except Exception as error:  # noqa: BLE001  one tensor that cannot be measured leaves its neighbours alone
                    self.failed("hook_forward", error)
            if tensor.requires_grad:
                graph = True
                if self._backward:
                    self._watch_gradient(layer, call, path, tensor, training)
        return graph

    def _saw(self, layer: Layer, call: int, path: str, tensor: Any, training: bool) -> None:
        try:
            shape = tensor.shape
        except RuntimeError:  # a nested tensor, which has none
            tensor = unnested(tensor)
            shape = tensor.shape
        wanted, units, asked = layer.plans.get(shape) or self._plan(layer, shape)
        measured = self._look(tensor, asked) or self._measure(tensor, wanted, units)
        if measured is not None:
            if type(tensor) is not self._tensor:
                shape = _shape(tensor)
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
                self._saw_gradient(layer, call, path, gradient, training)
            except Exception as error:  # noqa: BLE001  nor the backward pass
                self.failed("hook_backward", error)

        node = tensor.grad_fn
        if node is not None:  # a hook of the tensor itself is two to three times as dear
            node.register_prehook(on_gradients)
        else:  # a leaf outlives the step, as a parameter that a layer returns does
            self._leaves.append(tensor.register_hook(lambda gradient: on_gradients((gradient,))))

    def _saw_gradient(self, layer: Layer, call: int | Repeat, path: str, gradient: Any, training: bool) -> None:
        if layer.gradients >= MOST_GRADIENTS:
            self.left_out += 1
            return
        layer.gradients += 1
        if self._scaled:
            self.scale.look(self)
        try:
            shape = gradient.shape if type(gradient) is self._tensor else _shape(gradient)
        except RuntimeError:  # a nested tensor, which has none
            shape = None
        if shape is None:
            gradient = unnested(gradient)
            shape = tuple(gradient.shape)
        measured = self._look(gradient) or self._measure(gradient, MOMENTS, None)
        if measured is not None:
            number = layer.number(call) if isinstance(call, Repeat) else call
            self.sightings.append((layer, BACKWARD, number, path, shape, measured, training))

    def _measure(self, tensor: Any, wanted: Wanted, units: Units | None) -> Measured | None:
        if tensor.dtype is self._float and tensor.is_cpu and type(tensor) is self._tensor and has_memory(tensor):
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

    def unhook(self) -> None:
        """Take the hooks off the layers before the step is over."""
        for layer in self.layers:
            layer.unhook()

    def close(self) -> None:
        """The step is over: take the hooks off; gradients that come later are not of it."""
        self.open = False
        if self._eagerly is not None:
            self._eagerly.end()
        self.silent = [] if self._gave_up else [layer for layer in self.layers if layer.trained_unseen]
        self.called = {layer.name for layer in self.layers if layer.calls}
        for layer in self.layers:
            layer.disarm()
        for handle in self._leaves:
            handle.remove()
        self._leaves.clear()
        if self.device is not None:
            self.device.send()


def _shape(tensor: Any) -> Shape:
    local = local_shape(tensor)
    return shape_of(tensor) if local is None else Sharded(shape_of(tensor), local)


def _left_alone(tensor: Any, asked: Asked | None = None) -> None:
    """No kernel is compiled."""


def _no_task() -> int:
    return -1
