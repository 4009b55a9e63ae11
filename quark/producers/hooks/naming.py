"""The names of modules and parameters as the network has them, whatever it is wrapped in."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.nn import Module, Parameter

ROOT = "(model)"
"""The name of the model itself, which has an empty name in ``named_modules()``."""

_WRAPPERS = ("DistributedDataParallel", "DataParallel", "FullyShardedDataParallel", "DeepSpeedEngine")
_INNER = ("_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_orig_mod", "_forward_module")
"""Children under which wrappers of any class hold the module that they wrap: no part of a name."""


def inside(module: "Module") -> "Module | None":
    """The module that a wrapper for distribution, checkpointing or compilation holds; None for any other module."""
    children = module._modules
    for name in _INNER:
        if name in children and children[name] is not None:
            return children[name]
    return children["module"] if type(module).__name__ in _WRAPPERS and "module" in children else None


def is_compiled(module: Any) -> bool:
    """Whether a module runs as one compiled function."""
    return type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None) is not None


def unwrapped(module: "Module", *, into_compiled: bool = True) -> "Module":
    """The network inside wrappers; ``into_compiled``: a compiled module is such a wrapper too."""
    while (into_compiled or not is_compiled(module)) and (inner := inside(module)) is not None:
        module = inner
    return module


def named_parameters(model: "Module") -> dict[str, "Parameter"]:
    """All parameters by name, each once, without the parts of names that come from wrappers."""
    named: dict[str, Any] = {}
    seen: set[int] = set()
    for name, module in _named_modules(model):
        for own_name, parameter in module._parameters.items():
            if parameter is not None and id(parameter) not in seen:
                seen.add(id(parameter))
                named.setdefault(f"{name}.{own_name}" if name else own_name, parameter)
    return named


def _named_modules(model: "Module") -> Iterator[tuple[str, "Module"]]:
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [("", model)]
    while waiting:
        name, module = waiting.pop()
        if module is None or id(module) in seen:
            continue
        seen.add(id(module))
        yield name, module
        inner = inside(module)
        children = [
            (name if child is inner else f"{name}.{child_name}" if name else child_name, child)
            for child_name, child in module._modules.items()
        ]
        waiting += reversed(children)
