"""Copies of parameters from before an optimizer step, and the norms of what the step made of them."""

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .host import row_squares
from .norms import Norms, host_norm
from .tensors import on_host

ROW = 1024
"""Elements after which a row of a shelf ends: each copy in main memory begins with a row of its own."""

Group = tuple[Any, list[int], list[Any]]
"""Weights of one optimizer, device and type: which these are, their places in the list, the tensors."""


class Shelf:
    """Room for copies of tensors of one type on one device.

    In main memory the copies lie in one array of rows, the last one of each filled up with zeros: so the norms of all
    of them are a dot product of each row with itself, and sums of those.
    """

    def __init__(self, tensors: list[Any]) -> None:
        torch = sys.modules["torch"]
        self._shapes = [tensor.shape for tensor in tensors]
        self._rows: np.ndarray | None = None
        if not on_host(tensors[0]) or not tensors[0].dtype.is_floating_point:
            self.copies = [torch.empty_like(tensor) for tensor in tensors]
            return
        small = tensors[0].dtype is not torch.float64
        lengths = [max(1, -(-tensor.numel() // ROW)) for tensor in tensors]
        room = torch.zeros((sum(lengths), ROW), dtype=torch.float32 if small else torch.float64)
        self._rows = room.numpy()
        self._starts = np.cumsum([0, *lengths[:-1]])
        self.copies = [
            part.view(-1)[: tensor.numel()].view(tensor.shape)
            for part, tensor in zip(room.split(lengths), tensors, strict=True)
        ]

    def fits(self, tensors: list[Any]) -> bool:
        """Whether the tensors have the shapes of those that it was made for."""
        return [tensor.shape for tensor in tensors] == self._shapes

    def norms(self, norms: Norms) -> list[Any]:
        """The norm of each copy, as ``Norms.of`` tells them."""
        if self._rows is None:
            return norms.of(self.copies)
        squares = np.add.reduceat(row_squares(self._rows), self._starts, dtype=np.float64).tolist()
        return [
            math.sqrt(square) if 1e-30 < square < math.inf else host_norm(copy)
            for square, copy in zip(squares, self.copies, strict=True)
        ]


class Copies:
    """Copies of parameters while their optimizers step.

    Args:
        kept: whether their memory is held from one probe to the next: fresh memory costs more than the copy.
    """

    def __init__(self, *, kept: bool) -> None:
        self._kept = kept
        self._shelves: dict[Any, Shelf] = {}

    def keep(self, owner: int, weights: list[Any], norms: Norms) -> list[Any]:
        """Copy the weights that an optimizer trains; their norms, None for a weight that is None."""
        groups = _groups(owner, weights)
        for key, _, tensors in groups:
            shelf = self._shelves.get(key)
            if shelf is None or not shelf.fits(tensors):
                self._shelves[key] = Shelf(tensors)
        return self._norms_after(sys.modules["torch"]._foreach_copy_, groups, norms, len(weights))

    def changes(self, owner: int, weights: list[Any], norms: Norms) -> list[Any]:
        """The norms of the differences between weights and their copies, which are used up."""
        return self._norms_after(sys.modules["torch"]._foreach_sub_, _groups(owner, weights), norms, len(weights))

    def _norms_after(self, act: Callable[..., Any], groups: list[Group], norms: Norms, count: int) -> list[Any]:
        found: list[Any] = [None] * count
        for key, places, tensors in groups:
            shelf = self._shelves[key]
            act(shelf.copies, tensors)
            for place, norm in zip(places, shelf.norms(norms), strict=True):
                found[place] = norm
        return found

    def release(self) -> None:
        """The probe is over."""
        if not self._kept:
            self._shelves.clear()


def _groups(owner: int, weights: list[Any]) -> list[Group]:
    groups: dict[Any, tuple[list[int], list[Any]]] = {}
    for place, weight in enumerate(weights):
        if weight is not None:
            places, tensors = groups.setdefault((owner, weight.device, weight.dtype), ([], []))
            places.append(place)
            tensors.append(weight)
    return [(key, *group) for key, group in groups.items()]
