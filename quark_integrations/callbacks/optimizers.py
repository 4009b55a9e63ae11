"""What is recorded of the optimizers: learning rates and norms of gradients, each optimizer under a name of its own."""

from typing import Any


class LearningRates:
    """Names and reads the learning rates of the optimizers: ``optimizer/lr``, or one key for each group."""

    def __init__(self) -> None:
        self._shape: list[int] = []
        self._keys: list[str] = []

    def read(self, optimizers: list[Any]) -> dict[str, Any]:
        """The learning rates that the coming step uses."""
        if len(optimizers) == 1 and len(groups := optimizers[0].param_groups) == 1:  # most are alone
            return {"optimizer/lr": groups[0]["lr"]} if "lr" in groups[0] else {}
        shape = [len(optimizer.param_groups) for optimizer in optimizers]
        if shape != self._shape:  # groups are added while a network is unfrozen
            self._shape, self._keys = shape, _keys(optimizers)
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        return {key: group["lr"] for key, group in zip(self._keys, groups, strict=True) if "lr" in group}


def optimizer_names(optimizers: list[Any]) -> list[str]:
    """``optimizer`` for the only one, else ``optimizer/Adam``, ``optimizer/SGD``, ``optimizer/Adam-1``."""
    if len(optimizers) == 1:
        return ["optimizer"]
    names: list[str] = []
    for optimizer in optimizers:
        base = f"optimizer/{type(optimizer).__name__}"
        count = sum(name == base or name.startswith(base + "-") for name in names)
        names.append(f"{base}-{count}" if count else base)
    return names


def _keys(optimizers: list[Any]) -> list[str]:
    keys: list[str] = []
    for name, optimizer in zip(optimizer_names(optimizers), optimizers, strict=True):
        count = len(optimizer.param_groups)
        keys += [f"{name}/lr"] if count == 1 else [f"{name}/lr/pg{number}" for number in range(1, count + 1)]
    return keys


def gradient_norm(optimizer: Any) -> Any:
    """The Euclidean norm of all gradients of an optimizer's parameters as a tensor; None if there are none."""
    return norm_of([parameter.grad for group in optimizer.param_groups for parameter in group["params"]])


def norm_of(found: list[Any]) -> Any:
    """The Euclidean norm of some gradients together as a tensor; None if there are none among them but None."""
    import torch

    gradients = [gradient for gradient in found if gradient is not None]
    if not gradients:
        return None
    if hasattr(torch.nn.utils, "get_total_norm"):  # since torch 2.6
        return torch.nn.utils.get_total_norm(gradients)
    device = gradients[0].device
    norms = [torch.linalg.vector_norm(gradient).to(device) for gradient in gradients]
    return torch.linalg.vector_norm(torch.stack(norms))
