"""What a tracked loop consists of: tasks in the order of their declaration, and the criterion that ends it."""

import inspect
import math
import operator as operators
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ..core.lifecycle import CriterionManifest, TaskManifest
from ..errors import SchemaValidationError, WrongTypeError
from ..records.grammar import check_key, one_of, shown, to_float
from ..records.jsonable import json_object
from ..redaction import redact

GIVEN = ("step", "state", "previous", "config", "worker_id", "run")
"""What a task may take, by the names of its parameters."""

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": operators.lt, "<=": operators.le, ">": operators.gt, ">=": operators.ge, "==": operators.eq,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LoopTask:
    """A declared task of a loop: its function, what trackers may know of it, and what only its backend may know."""

    name: str
    function: Callable[..., Any]
    log_params: Mapping[str, Any] = field(default_factory=dict)
    backend: Mapping[str, Any] = field(default_factory=dict, repr=False)  # may hold secrets: shown nowhere
    takes: frozenset[str] = frozenset()

    @property
    def manifest(self) -> TaskManifest:
        """What trackers are told of it."""
        return TaskManifest(**name_of(self.function), log_params=self.log_params)


@dataclass(frozen=True, slots=True)
class Criterion:
    """When a loop has reached its goal: ``metric operator threshold``; a function may compute the metric."""

    manifest: CriterionManifest
    function: Callable[..., Any] | None = None
    takes: frozenset[str] = frozenset()

    def met(self, value: float | None) -> bool:
        """Whether the value reaches the goal; None and NaN never do."""
        if value is None or math.isnan(value):
            return False
        return COMPARISONS[self.manifest.operator](value, self.manifest.threshold)


def name_of(function: Any) -> dict[str, str]:
    """Name and module of a function, as manifests hold them."""
    return {
        "func_name": getattr(function, "__name__", type(function).__name__),
        "func_module": getattr(function, "__module__", None) or "",
    }


def make_task(
    name: str, function: Any, log_params: Any, backend: Mapping[str, Any], *, strict: bool
) -> LoopTask:  # fmt: skip
    """A task, checked.

    Raises:
        SchemaValidationError: the name breaks the grammar, or the function needs what a loop does not give.
        WrongTypeError: the function cannot be called, or in strict mode ``log_params`` is no JSON object.
    """
    if "/" in check_key(name, what="task name"):
        raise SchemaValidationError(f"task name {shown(name)} must be one word without '/'; name it like 'training'")
    params = redact(json_object(log_params, "log_params", strict=strict, otherwise="value"))
    return LoopTask(
        name, function, MappingProxyType(params), MappingProxyType(dict(backend)),
        parameters_of(function, f"task {name!r}"),
    )  # fmt: skip


def make_criterion(metric: Any, threshold: Any, operator: Any) -> Criterion:
    """A criterion without a function, checked."""
    limit = to_float(threshold, "threshold")
    if not math.isfinite(limit):
        raise SchemaValidationError(f"threshold must be finite, got {limit}")
    word = one_of(operator, COMPARISONS, "operator")
    return Criterion(CriterionManifest(check_key(metric, what="criterion's metric"), limit, word))


def parameters_of(function: Any, what: str) -> frozenset[str]:
    """Which of the things that a loop gives the function takes; all of them with ``**kwargs``."""
    if not callable(function):
        raise WrongTypeError(f"{what} must be a function, got {shown(function)}; decorate the function with it")
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some builtins have no signature: call them with nothing
        return frozenset()
    takes: set[str] = set()
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            takes.update(GIVEN)
        elif parameter.name in GIVEN and parameter.kind is not parameter.POSITIONAL_ONLY:
            takes.add(parameter.name)
        elif parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL:
            raise SchemaValidationError(
                f"{what} takes {parameter.name!r}, which a loop does not give; it gives {', '.join(GIVEN)}. "
                "Give the parameter a default, or bind it with functools.partial"
            )
    return frozenset(takes)
