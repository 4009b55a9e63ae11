"""Says once what a watcher does not see: layers that train unseen, layers that nobody calls, calls beyond the most."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...core.handle import RunHandle
from .eager import can_run_eagerly
from .naming import is_compiled
from .notices import MOST_NAMES, notice, some
from .probe import MOST_CALLS, Probe
from .selection import is_scripted

if TYPE_CHECKING:
    from .watched import Layer

UNSEEN = "layers_unseen"
LEFT_OUT = "layer_calls_left_out"


class Silence:
    """What the probes of a watcher did not see.

    Args:
        handle: the run.
    """

    def __init__(self, handle: RunHandle) -> None:
        self._handle = handle
        self._told: set[str] = set()
        self._told_left_out = False
        self._waiting: set[str] | None = None
        self._called: set[str] = set()
        self._probes = 0
        self._step: int | None = None

    def before(self, layers: Mapping[str, Any], compiled: str) -> None:
        """The watcher is made: tell of modules whose inside it cannot look into.

        Args:
            layers: the modules that are watched, by name.
            compiled: what is done with compiled code, as the configuration says.
        """
        scripted = [name for name, module in layers.items() if is_scripted(module) and list(module.children())]
        if scripted:
            self._tell_closed(scripted, "scripted", "torch.jit calls no hooks; watch the model before it is scripted")
        opaque = [name for name, module in layers.items() if is_compiled(module)]
        if opaque and compiled == "eager" and not can_run_eagerly():
            version = sys.modules["torch"].__version__
            why = f"torch {version} cannot run them eagerly in a probed step; torch 2.6 and later can"
            self._tell_closed(opaque, "compiled", why)

    def _tell_closed(self, names: list[str], kind: str, why: str) -> None:
        message = f"the layers inside of {len(names)} {kind} modules ({some(names)}) are not recorded: {why}"
        notice(self._handle, UNSEEN, message, {"layers": names[:MOST_NAMES], "count": len(names)})

    def after(self, probe: Probe) -> None:
        """A probe is recorded: tell of what it should have seen."""
        unseen = probe.silent if probe.called or not probe.silent else probe.layers
        silent = [layer.name for layer in unseen if layer.name not in self._told]
        if silent:
            self._tell(silent, probe.step, _NEVER_CALLED if probe.called else _NONE_CALLED)
        if probe.left_out and not self._told_left_out:
            self._told_left_out = True
            notice(
                self._handle, LEFT_OUT,
                f"in step {probe.step} layers were called so often that {probe.left_out} calls and gradients were not "
                f"recorded: the first {MOST_CALLS} calls of each layer are, and {MOST_CALLS} more with gradients",
                {"left_out": probe.left_out, "most_calls": MOST_CALLS}, step=probe.step,
            )  # fmt: skip
        self._note(probe)

    def _note(self, probe: Probe) -> None:
        """Remember which layers no probe has recorded anything of so far."""
        if self._waiting is None:
            self._waiting = {layer.name for layer in probe.layers}
        if self._waiting:
            self._waiting -= {sighting[0].name for sighting in probe.sightings}
            self._called |= probe.called
        self._probes += 1
        self._step = probe.step

    def close(self, layers: "list[Layer]") -> None:
        """The watcher is closed: tell of the layers of which no probe has recorded anything.

        One that was not called in a single probe may have been spared by an exception.
        """
        waiting = self._waiting or set()
        names = [layer.name for layer in layers if layer.name in waiting and layer.name not in self._told]
        silent = [name for name in names if self._probes > 1 or name in self._called]
        if silent and self._step is not None:
            self._tell(silent, self._step, _NOTHING_RECORDED)

    def _tell(self, names: list[str], step: int, why: str) -> None:
        self._told.update(names)
        message = f"nothing is recorded of {len(names)} watched layers ({some(names)}): {why}"
        payload: dict[str, Any] = {"layers": names[:MOST_NAMES], "count": len(names)}
        notice(self._handle, UNSEEN, message, payload, step=step)


_UNSEEN_CODE = (
    "the inside of a scripted module, a CUDA graph, another engine, or compiled code that is not run eagerly "
    "(compiled='skip', torch before 2.6)"
)
_NONE_CALLED = f"the model was trained in a probed step, but no layer of it was called; hooks do not see {_UNSEEN_CODE}"
_NEVER_CALLED = (
    "they were trained in a probed step without being called; hooks see module(x), not module.forward(x), "
    f"functional(x, module.weight), or {_UNSEEN_CODE}"
)
_NOTHING_RECORDED = (
    "they were not called in any probed step, or their outputs hold no tensor that can be read; hooks see module(x) "
    "and outputs that are tensors, tuples, lists, mappings or dataclasses of tensors"
)
