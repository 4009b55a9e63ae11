"""Which modules of a model are watched: the filters of the configuration, and errors that name what was meant."""

import difflib
import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ...errors import SchemaValidationError, WrongTypeError, require
from ...records.configs import LayerFilterConfig
from ...records.grammar import shown
from .naming import ROOT, is_compiled, unwrapped

if TYPE_CHECKING:
    from torch.nn import Module

WHOLE = ("MultiheadAttention",)
"""Layers that are looked at as one although they have children: the children's hooks never fire."""

_NO_LAYERS = ("parametrizations", "_packed_params")
"""Children that hold what a module computes with, its parameters in another form, and are never called."""

_CONTAINERS = ("Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict", "Module")


def checked_model(model: Any) -> "Module":
    """``model``, if it is a torch module.

    Raises:
        MissingDependencyError: torch is not installed.
        WrongTypeError: something else.
    """
    torch = require("torch", "torch")
    if not isinstance(model, torch.nn.Module):
        raise WrongTypeError(f"model must be a torch.nn.Module, got {shown(model)}; pass the network itself")
    return model  # type: ignore[return-value]


def named_layers(model: "Module", *, into_compiled: bool = True) -> dict[str, "Module"]:
    """All modules by name, each once, without parametrizations and what is inside a module that runs as a whole.

    Args:
        model: the network.
        into_compiled: whether the layers inside of compiled modules can be seen.
    """
    found: dict[str, Any] = {}
    seen: set[int] = set()

    def enter(name: str, module: Any) -> None:
        module = unwrapped(module, into_compiled=into_compiled)
        if id(module) in seen:
            return
        seen.add(id(module))
        found[name or ROOT] = module
        if _is_whole(module, into_compiled):
            return
        for child_name, child in module.named_children():
            if child_name not in _NO_LAYERS:
                enter(f"{name}.{child_name}" if name else child_name, child)

    enter("", model)
    return found


def _is_whole(module: Any, into_compiled: bool) -> bool:
    """Whether the hooks of what is inside a module would not fire."""
    if type(module).__name__ in WHOLE or (not into_compiled and is_compiled(module)):
        return True
    return is_scripted(module)


def is_scripted(module: Any) -> bool:
    """Whether a module was made by ``torch.jit``, whose code calls no hooks of its parts."""
    return isinstance(module, sys.modules["torch"].jit.ScriptModule)


def is_leaf(module: Any, *, into_compiled: bool = True) -> bool:
    """Whether a module computes something itself rather than only holding others."""
    if _is_whole(module, into_compiled):
        return True
    if type(module).__name__ in _CONTAINERS:
        return False
    held = ("ParameterDict", "ParameterList")  # parameters of its own that it keeps by name or number
    return all(name in _NO_LAYERS or type(child).__name__ in held for name, child in module.named_children())


def type_names(module: Any) -> set[str]:
    """The names by which a filter may call the module's type, plain and fully qualified.

    A lazy module also goes by the type that it becomes, a parametrized one by the type that it was.
    """
    kinds = [type(module)]
    if kinds[0].__name__.startswith("Parametrized"):
        kinds.append(kinds[0].__mro__[1])
    becomes = getattr(module, "cls_to_become", None)
    if becomes is not None:
        kinds.append(becomes)
    return {name for kind in kinds for name in (kind.__name__, f"{kind.__module__}.{kind.__qualname__}")}


def select_layers(model: "Module", filters: LayerFilterConfig, *, into_compiled: bool = True) -> dict[str, "Module"]:
    """The modules that the filters let through, by name, in the order of ``named_modules()``.

    Raises:
        SchemaValidationError: the model has no layers, a name, type or pattern fits none of its modules, or nothing
            is left.
    """
    layers = named_layers(model, into_compiled=into_compiled)
    if not any(is_leaf(module, into_compiled=into_compiled) for module in layers.values()):
        raise SchemaValidationError(
            f"model must have layers to watch, got {type(model).__name__} without any; pass the network after "
            "it was built"
        )
    _check_filters(layers, filters)
    chosen = _passing(layers, filters, into_compiled)
    if not chosen:
        raise SchemaValidationError(
            f"LayerFilterConfig fits no module of {type(unwrapped(model)).__name__}: {_given(filters)}; "
            f"{_having(layers)}, of the types {', '.join(sorted({type(m).__name__ for m in layers.values()}))}"
        )
    return chosen


def select_again(model: "Module", filters: LayerFilterConfig, *, into_compiled: bool = True) -> dict[str, "Module"]:
    """The same of a model that has changed since: filters that fit nothing any more are no error now."""
    return _passing(named_layers(model, into_compiled=into_compiled), filters, into_compiled)


def _passing(layers: dict[str, "Module"], filters: LayerFilterConfig, into_compiled: bool) -> dict[str, "Module"]:
    return {
        name: module
        for name, module in layers.items()
        if (is_leaf(module, into_compiled=into_compiled) or not filters.leaf_modules_only)
        and _passes(name, module, filters)
    }


def _passes(name: str, module: Any, filters: LayerFilterConfig) -> bool:
    kinds = type_names(module)
    if name in filters.exclude_names or kinds & set(filters.exclude_types):
        return False
    if any(re.search(pattern, name) for pattern in filters.exclude_name_patterns):
        return False
    if not (filters.include_names or filters.include_types or filters.include_name_patterns):
        return True
    return (
        (not filters.include_names or name in filters.include_names)
        and (not filters.include_types or bool(kinds & set(filters.include_types)))
        and (
            not filters.include_name_patterns
            or any(re.search(pattern, name) for pattern in filters.include_name_patterns)
        )
    )


def _check_filters(layers: dict[str, Any], filters: LayerFilterConfig) -> None:
    kinds = set().union(*(type_names(module) for module in layers.values()))
    for field in ("include_names", "exclude_names"):
        for name in getattr(filters, field):
            if name not in layers:
                raise SchemaValidationError(
                    f"LayerFilterConfig.{field} names no module of the model: {name!r}; {nearest(name, layers)}"
                )
    for field in ("include_types", "exclude_types"):
        for name in getattr(filters, field):
            if name not in kinds and not _exists(name):
                raise SchemaValidationError(
                    f"LayerFilterConfig.{field} names no type of layer: {name!r} is neither in the model nor in "
                    f"torch.nn; {nearest(name, kinds)}"
                )
    for pattern in filters.include_name_patterns:
        if not any(re.search(pattern, name) for name in layers):
            raise SchemaValidationError(
                f"LayerFilterConfig.include_name_patterns fits no module of the model: {pattern!r}; {_having(layers)}"
            )


def _given(filters: LayerFilterConfig) -> str:
    """The filters that are set, in words."""
    return ", ".join(f"{name}={value!r}" for name, value in filters.to_dict().items() if value)


def _exists(name: str) -> bool:
    """Whether a type is one of torch's or of a loaded module: a list of types may serve several models."""
    home, _, plain = name.rpartition(".")
    return isinstance(getattr(sys.modules.get(home or "torch.nn"), plain, None), type)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known names most like ``name``, for an error."""
    names = sorted(known, key=lambda one: (one.count("."), one))
    lower = {one.lower(): one for one in reversed(names)}
    close = [lower[one] for one in difflib.get_close_matches(name.lower(), lower, 3, 0.5)]
    return f"the nearest are {', '.join(close)}" if close else _having(names)


def _having(names: Iterable[str]) -> str:
    shown_names = list(names)
    more = f" and {len(shown_names) - 5} more" if len(shown_names) > 5 else ""
    return f"it has {', '.join(shown_names[:5])}{more}"
