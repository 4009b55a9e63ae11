"""The layers of a Keras model as torch modules by name.

On the torch backend every Keras layer is a ``torch.nn.Module`` whose hooks fire, but a model keeps its layers in lists
of its own, where ``named_modules()`` does not find them.
"""

from typing import Any

import torch


class KerasLayers(torch.nn.Module):
    """Holds the layers of a model, or of a layer that is made of layers, as children by their Keras names."""

    def __init__(self, owner: Any) -> None:
        super().__init__()
        for layer in parts_of(owner):
            inside = parts_of(layer)
            module = getattr(layer, "module", None) if type(layer).__name__ == "TorchModuleWrapper" else None
            child = KerasLayers(layer) if inside else layer if module is None else module
            self._modules[self._free(layer.name.replace(".", "_"))] = child

    def _free(self, name: str) -> str:
        """``name``, or with a number where the model has two layers of it."""
        free, count = name, 2
        while free in self._modules:
            free, count = f"{name}_{count}", count + 1
        return free


def parts_of(layer: Any) -> list[Any]:
    """The layers that a model or a layer is made of; none for one that computes by itself."""
    flatten = getattr(layer, "_flatten_layers", None)
    if flatten is None:
        return list(getattr(layer, "layers", ()))
    found = list(flatten(include_self=False, recursive=False))
    return [part for part in found if type(part).__name__ != "InputLayer"]
