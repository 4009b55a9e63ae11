"""Copies of parameters from before an optimizer step, and the norms of what the step made of them."""

import math
import sys
from typing import Any

import numpy as np

from .compiled import Kernels, Table
from .host import row_squares
from .llvm_squares import KEEP, MOVED
from .norms import Norms, host_norm, summable
from .tensors import on_host

ROW = 1024
"""Elements after which a row of a shelf ends: each copy in main memory begins with a row of its own."""

LINE = 16
"""Elements of which the length of a copy is a multiple."""

Group = tuple[Any, list[int], list[Any]]
"""Weights of one optimizer, one device and type, all taken by the kernels or none: which, their places, the tensors."""


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
        kind = torch.float32 if small else torch.float64
        room = torch.zeros((sum(lengths), ROW), dtype=kind, device="cpu")
        self._rows = room.numpy()
        self._starts = np.cumsum([0, *lengths[:-1]])
        self.copies = [
            part.view(-1)[: tensor.numel()].view(tensor.shape)
            for part, tensor in zip(room.split(lengths), tensors, strict=True)
        ]

    def fits(self, tensors: list[Any]) -> bool:
        """Whether the tensors have the shapes of those that it was made for."""
        return [tensor.shape for tensor in tensors] == self._shapes

    def kept(self, tensors: list[Any], norms: Norms) -> list[Any]:
        """Copy the tensors; their norms, as ``Norms.of`` tells them."""
        sys.modules["torch"]._foreach_copy_(self.copies, tensors)
        return self._norms(norms)

    def changes(self, tensors: list[Any], norms: Norms) -> list[Any]:
        """The norm of the difference between each tensor and its copy, which is used up."""
        sys.modules["torch"]._foreach_sub_(self.copies, tensors)
        return self._norms(norms)

    def _norms(self, norms: Norms) -> list[Any]:
        if self._rows is None:
            return norms.of(self.copies)
        squares = np.add.reduceat(row_squares(self._rows), self._starts, dtype=np.float64).tolist()
        return [
            math.sqrt(square) if 1e-30 < square < math.inf else host_norm(copy)
            for square, copy in zip(squares, self.copies, strict=True)
        ]


class TableShelf:
    """A shelf for tensors that the compiled kernels take: copying and summing are one read."""

    def __init__(self, kernels: Kernels, tensors: list[Any]) -> None:
        torch = sys.modules["torch"]
        self._shapes = [tensor.shape for tensor in tensors]
        lengths = [-(-tensor.numel() // LINE) * LINE for tensor in tensors]
        room = torch.empty(sum(lengths), dtype=tensors[0].dtype, device="cpu")
        self._copies = [
            part[: tensor.numel()].view(tensor.shape) for part, tensor in zip(room.split(lengths), tensors, strict=True)
        ]
        self._table = Table(kernels, tensors, self._copies)

    def fits(self, tensors: list[Any]) -> bool:
        """Whether the tensors have the shapes of those that it was made for."""
        return [tensor.shape for tensor in tensors] == self._shapes

    def kept(self, tensors: list[Any], norms: Norms) -> list[Any]:
        """Copy the tensors; their norms."""
        squares = self._table.squares(KEEP, tensors)
        return [
            math.sqrt(square) if summable(square, tensor) else host_norm(tensor)
            for square, tensor in zip(squares, tensors, strict=True)
        ]

    def changes(self, tensors: list[Any], norms: Norms) -> list[Any]:
        """The norm of the difference between each tensor and its copy."""
        squares = self._table.squares(MOVED, tensors)
        return [
            math.sqrt(square) if summable(square, tensor) else host_norm(tensor - copy)
            for square, tensor, copy in zip(squares, tensors, self._copies, strict=True)
        ]


class Copies:
    """Copies of parameters while their optimizers step.

    Args:
        kept: whether their memory is held from one probe to the next: fresh memory costs more than the copy.
        kernels: the compiled sums, if there are any.
    """

    def __init__(self, *, kept: bool, kernels: Kernels | None) -> None:
        self._kept = kept
        self.kernels = kernels
        self._shelves: dict[Any, Shelf | TableShelf] = {}

    def keep(self, owner: int, weights: list[Any], norms: Norms) -> list[Any]:
        """Copy the weights that an optimizer trains; their norms, None for a weight that has no values."""
        found: list[Any] = [None] * len(weights)
        for key, places, tensors in self._groups(owner, weights, norms):
            try:
                shelf = self._shelves.get(key)
                if shelf is None or not shelf.fits(tensors):
                    shelf = self._shelves[key] = self._shelf(key[1], tensors)
                _enter(found, places, shelf.kept(tensors, norms))
            except Exception as error:  # noqa: BLE001  a type without arithmetic leaves the weights of others alone
                self._shelves.pop(key, None)
                norms.failed(error)
        return found

    def changes(self, owner: int, weights: list[Any], norms: Norms) -> list[Any]:
        """The norms of the differences between weights and their copies, which are used up."""
        found: list[Any] = [None] * len(weights)
        for key, places, tensors in self._groups(owner, weights, norms):
            shelf = self._shelves.get(key)
            try:
                if shelf is None or not shelf.fits(tensors):  # sums do not notice: they broadcast, or go by address
                    raise RuntimeError("parameters changed their shape or type while the optimizer stepped")
                _enter(found, places, shelf.changes(tensors, norms))
            except Exception as error:  # noqa: BLE001  as above
                norms.failed(error)
        return found

    def _groups(self, owner: int, weights: list[Any], norms: Norms) -> list[Group]:
        groups: dict[Any, tuple[list[int], list[Any]]] = {}
        for place, weight in enumerate(weights):
            taken = self.kernels is not None and self.kernels.take(weight)
            tensor = weight if taken else norms.plain(weight)
            if tensor is not None:
                places, tensors = groups.setdefault((owner, taken, tensor.device, tensor.dtype), ([], []))
                places.append(place)
                tensors.append(tensor)
        return [(key, *group) for key, group in groups.items()]

    def _shelf(self, taken: bool, tensors: list[Any]) -> Shelf | TableShelf:
        return TableShelf(self.kernels, tensors) if taken and self.kernels is not None else Shelf(tensors)

    def release(self) -> None:
        """The probe is over."""
        if not self._kept:
            self._shelves.clear()


def _enter(found: list[Any], places: list[int], values: list[Any]) -> None:
    for place, value in zip(places, values, strict=True):
        found[place] = value
