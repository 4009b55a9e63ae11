"""Optimizers as they are given: one or several, bare or in the wrappers of frameworks."""

from collections.abc import Iterable, Sequence
from typing import Any

from ...errors import WrongTypeError
from ...records.grammar import shown

_HELD_AS = ("optimizer", "_optimizer", "optim")
_DEEPEST = 8


def given_optimizers(given: Any) -> list[Any]:
    """The torch optimizers in an argument: None, one, a sequence of several, each bare or wrapped.

    Raises:
        WrongTypeError: something else.
    """
    if given is None:
        return []
    several = list(given) if isinstance(given, Sequence) else [given]
    return [_checked(one, given) for one in several]


def _checked(one: Any, given: Any) -> Any:
    optimizer = unwrapped_optimizer(one)
    if not hasattr(optimizer, "param_groups"):
        raise WrongTypeError(
            f"optimizer must be a torch optimizer or a list of several, got {shown(given)}; pass config=... by name"
        )
    return optimizer


def unwrapped_optimizer(optimizer: Any) -> Any:
    """The optimizer inside wrappers such as those of Accelerate, Lightning and DeepSpeed."""
    for _ in range(_DEEPEST):
        inner = next((held for name in _HELD_AS if hasattr(held := vars_of(optimizer).get(name), "param_groups")), None)
        if inner is None or inner is optimizer:
            return optimizer
        optimizer = inner
    return optimizer


def vars_of(value: Any) -> dict[str, Any]:
    """The attributes of an object of its own; those of a class or a property are not asked."""
    return getattr(value, "__dict__", {})


def trained_by(optimizers: Iterable[Any]) -> set[int]:
    """The identities of all parameters that optimizers train."""
    return {id(one) for optimizer in optimizers for group in optimizer.param_groups for one in group["params"]}
