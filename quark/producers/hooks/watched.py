"""A watched layer: the hook on its module while a probe lasts, and which of its calls is which."""

import sys
from collections import OrderedDict
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from .compiled import Asked
from .layers import saturation_limits, spatial_dims
from .summary import Wanted

if TYPE_CHECKING:
    from ...records.configs import HookEngineConfig
    from .probe import Probe

Units = tuple[int, int, int]
Plan = tuple[Wanted, Units | None, Asked | None]
"""What is asked of the activations of a layer: in words, how their units lie, and as compiled kernels read both."""

SCRIPTED = "__prepare_scriptable__"
"""The method by which ``torch.jit.script`` lets a module prepare itself."""


def _nothing() -> Any:
    """A hook for copies of a watched model: of the standard library, so that a pickled model needs no Quark."""
    return nullcontext().__exit__


class BeforeScript:
    """Takes the hooks off before ``torch.jit.script``, which compiles every hook that it finds and refuses ours."""

    __slots__ = ("_layer",)

    def __init__(self, layer: "Layer") -> None:
        self._layer = layer

    def __call__(self) -> Any:
        module = self._layer.module
        for layer in watching(module):
            if layer.probe is not None:
                layer.probe.unhook()
        prepare = getattr(type(module), SCRIPTED, None)
        return module if prepare is None else prepare(module)

    def __reduce__(self) -> Any:
        # In a copy: what takes the copied hook off and returns the module, made of the standard library alone. ``max``
        # calls its key, which is the hooks' ``pop``, for the one module that it is given.
        module = self._layer.module
        unhook = partial(OrderedDict.pop, module._forward_hooks, self._layer.hook_id)
        return partial, (max,), (max, ((module,),), {"key": unhook}, None)


class Repeat:
    """A call that a checkpointed region makes again; which one it is tells the first gradient that comes after it."""

    __slots__ = ("call",)

    def __init__(self) -> None:
        self.call: int | None = None


class Layer:
    """A watched module; while a probe lasts it is the module's own forward hook."""

    __slots__ = (
        "_before_script", "calls", "gradients", "graphs", "hook_id", "limits", "module", "name", "plans", "probe",
        "repeats", "spatial", "unhooked", "version",
    )  # fmt: skip

    def __init__(self, name: str, module: Any, config: "HookEngineConfig") -> None:
        from torch.utils.hooks import RemovableHandle

        self.name = name
        self.module = module
        self.spatial = spatial_dims(module)
        self.limits = saturation_limits(module, config.saturation_module_types, config.saturation_threshold)
        self.probe: Probe | None = None
        self.calls = self.gradients = self.graphs = 0
        self.version: int | None = None
        self.unhooked: list[int] = []
        self.repeats: list[Repeat] = []
        self.plans: dict[Any, Plan] = {}
        self._before_script = BeforeScript(self)
        self.hook_id = RemovableHandle(module._forward_hooks).id

    def arm(self, probe: "Probe") -> None:
        """Put the hook on the module. Straight into its table: a handle for each of 40 layers costs 0.1 ms a step."""
        self.probe = probe
        self.forget()
        module = self.module
        self.version = version_of(module)
        module._forward_hooks[self.hook_id] = self
        module.__dict__[SCRIPTED] = self._before_script

    def forget(self) -> None:
        """No call was seen yet."""
        self.calls = self.gradients = self.graphs = 0
        self.unhooked.clear()
        self.repeats.clear()

    def unhook(self) -> None:
        """Take the hook off the module; nothing more is seen in this probe."""
        self.module._forward_hooks.pop(self.hook_id, None)

    def disarm(self) -> None:
        """The probe is over."""
        self.unhook()
        self.probe = None
        hooks = self.module._forward_hooks
        if not hooks or not watching(self.module):
            self.module.__dict__.pop(SCRIPTED, None)

    @property
    def trained_unseen(self) -> bool:
        """Whether the layer's parameters were changed during the probe although it was never called."""
        return not self.calls and self.version != version_of(self.module)

    def __call__(self, module: Any, args: Any, output: Any) -> None:
        probe = self.probe
        if probe is None or probe.compiling() or probe.tracing() or module is not self.module:
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


def watching(module: Any) -> "list[Layer]":
    """The hooks on a module that are ours."""
    return [hook for hook in module._forward_hooks.values() if isinstance(hook, Layer)]


def version_of(module: Any) -> int | None:
    """How often the first parameter of a module was changed in place; None where there is none, or nobody counts."""
    for parameter in module._parameters.values():
        if parameter is not None:
            try:
                return parameter._version
            except RuntimeError:  # made in inference mode
                return None
    return None


def in_function() -> bool:
    """Whether this is called within the forward pass of an autograd function, as reentrant checkpointing makes one."""
    contexts = sys.modules["torch"].autograd.function.FunctionCtx
    frame: Any = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_varnames[:1] == ("ctx",) and isinstance(frame.f_locals.get("ctx"), contexts):
            return True
        frame = frame.f_back
    return False
