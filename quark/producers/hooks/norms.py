"""The norms of many tensors at once: those in main memory now, those on a device in one vector that travels later."""

import math
import sys
from collections.abc import Callable
from typing import Any

from .compiled import Kernels, Table
from .host import ROW, sum_of_squares
from .llvm_squares import SQUARES
from .ondevice import DeviceProbe
from .tensors import on_host, plain


class Norms:
    """The norms of many tensors: floats for those in main memory, places in a vector for those on a device.

    Args:
        device: where what is measured on accelerators is kept.
        kernels: the compiled sums, if there are any.
        failed: called with what keeps a tensor from being read.
    """

    def __init__(
        self, device: Callable[[], DeviceProbe], kernels: Kernels | None, failed: Callable[[Exception], None]
    ) -> None:
        self._device = device
        self._kernels = kernels
        self.failed = failed

    def plain(self, tensor: Any) -> Any:
        """``tensors.plain``; None for a tensor that does not let itself be read, whose neighbours are not to suffer."""
        try:
            return plain(tensor)
        except Exception as error:  # noqa: BLE001  a foreign class of tensor may raise anything
            self.failed(error)
            return None

    def of(self, tensors: list[Any]) -> list[Any]:
        """A float, a (device, place) or None for each tensor, which may be None itself or have no values."""
        found: list[Any] = [None] * len(tensors)
        groups: dict[Any, list[tuple[int, Any]]] = {}
        taken: dict[Any, list[tuple[int, Any]]] = {}
        for index, tensor in enumerate(tensors):
            if tensor is None:
                continue
            if self._kernels is not None and self._kernels.take(tensor):
                taken.setdefault(tensor.dtype, []).append((index, tensor))
                continue
            tensor = self.plain(tensor)
            if tensor is None:
                continue
            if on_host(tensor) and tensor.numel() > ROW:
                found[index] = host_norm(tensor)
            else:
                groups.setdefault((tensor.device, tensor.dtype), []).append((index, tensor))
        for members in taken.values():
            for (index, tensor), square in zip(members, self._squares([tensor for _, tensor in members]), strict=True):
                found[index] = math.sqrt(square) if summable(square, tensor) else host_norm(tensor)
        for (where, dtype), members in groups.items():
            try:
                self._enter(found, members, where, _grouped([tensor for _, tensor in members], dtype))
            except Exception as error:  # noqa: BLE001  a type without norms leaves the others alone
                self.failed(error)
        return found

    def _enter(self, found: list[Any], members: list[tuple[int, Any]], where: Any, norms: list[Any]) -> None:
        if where.type == "cpu":
            measured = sys.modules["torch"].stack(norms).tolist()
            for (index, tensor), norm in zip(members, measured, strict=True):
                found[index] = norm if 1e-15 < norm < math.inf else host_norm(tensor)
        else:
            start = self._device().keep(where, norms)
            for offset, (index, _) in enumerate(members):
                found[index] = (where, start + offset)

    def _squares(self, tensors: list[Any]) -> list[float]:
        return [] if self._kernels is None else Table(self._kernels, tensors).squares(SQUARES, tensors)


def summable(square: float, tensor: Any) -> bool:
    """Whether a sum of squares in double precision is right: nothing but double precision itself can leave it."""
    return 1e-280 < square < math.inf or tensor.dtype is not sys.modules["torch"].float64


def _grouped(tensors: list[Any], dtype: Any) -> list[Any]:
    torch = sys.modules["torch"]
    if dtype in (torch.float16, torch.bfloat16):
        return list(torch._foreach_norm(tensors, 2, dtype=torch.float32))
    if dtype not in (torch.float32, torch.float64):
        tensors = [tensor.to(torch.float32 if dtype.is_floating_point else torch.float64) for tensor in tensors]
    return list(torch._foreach_norm(tensors))


def host_norm(tensor: Any) -> float:
    """The norm of a tensor in main memory; in double precision where its squares leave the range of float32."""
    torch = sys.modules["torch"]
    if tensor.dtype is not torch.float32:
        tensor = tensor.to(torch.float64)
    squares = sum_of_squares(tensor.contiguous().numpy().reshape(-1))
    if not 1e-30 < squares < math.inf and tensor.dtype is torch.float32:
        squares = float(tensor.double().square().sum())
    return math.sqrt(squares)
