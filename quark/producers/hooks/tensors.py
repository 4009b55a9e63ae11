"""Tensors as they come out of a layer: found in nested outputs, laid out flat for measuring."""

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .summary import Wanted

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

MOST_TENSORS = 64
"""Tensors of one output that are looked at; a longer list is data, not an activation."""

DEEPEST = 8


def tensors_in(output: Any) -> Iterator[tuple[str, "Tensor"]]:
    """Every tensor in an output with its path: ``""`` for the output itself, else ``"1.hidden.0"``.

    Tuples, lists, named tuples, mappings and dataclasses are walked, at most DEEPEST deep.
    """
    found = 0
    seen: set[int] = set()
    for path, tensor in _walk(output, sys.modules["torch"].Tensor, "", 0):
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        yield path, tensor
        found += 1
        if found == MOST_TENSORS:
            return


def _walk(value: Any, tensor: type, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    if isinstance(value, tensor):
        yield path, value
        return
    if depth == DEEPEST or value is None:
        return
    for name, item in _parts(value):
        yield from _walk(item, tensor, f"{path}.{name}" if path else str(name), depth + 1)


def _parts(value: Any) -> Any:
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return zip(value._fields, value, strict=False)  # type: ignore[attr-defined]
    if isinstance(value, (tuple, list)):
        return enumerate(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name, None)) for field in dataclasses.fields(value)]
    return ()


def plain(tensor: Any) -> Any:
    """A dense tensor of torch's own class, without gradient, that holds the values of any tensor.

    The values of a sparse or nested one, the part of this process of a distributed one, the modulus of a complex one.
    None for one whose values cannot be read: a meta tensor, one that a transformation such as ``vmap`` wraps, one
    whose memory was given away, a class of tensor that keeps no values in memory of its own.
    """
    torch = sys.modules["torch"]
    kind = type(tensor)
    if (
        (kind is torch.Tensor or kind is torch.nn.Parameter)
        and tensor.is_cpu
        and tensor.dtype is torch.float32
        and tensor.layout is torch.strided
        and not tensor.is_nested
    ):  # nearly always, and the questions below add up
        return tensor.detach() if has_memory(tensor) else None
    if not has_values(tensor):
        return None
    if kind.dequantize is not torch.Tensor.dequantize and not has_memory(tensor):
        tensor = tensor.dequantize()  # a class that holds compressed values elsewhere
    tensor = _dense(torch, tensor.detach())
    if tensor is None or not has_memory(tensor):
        return None
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    return tensor.abs() if tensor.is_complex() else tensor


def _dense(torch: Any, tensor: Any) -> Any:
    """The values of a tensor as a dense one of torch's own class; None where there is none."""
    if hasattr(tensor, "to_local"):
        tensor = tensor.to_local()
    if tensor.is_nested:
        tensor = tensor.values()
    if tensor.layout is torch.sparse_coo:
        if not (has_memory(tensor._indices()) and has_memory(tensor._values())):
            return None
        tensor = tensor.coalesce()
    if tensor.layout is torch._mkldnn:
        tensor = tensor.to_dense()
    if tensor.layout is not torch.strided:
        tensor = tensor.values()
    if type(tensor) is torch.Tensor:
        return tensor
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.as_subclass(torch.Tensor)


def has_values(tensor: Any) -> bool:
    """Whether a tensor has values: meta and fake ones have none, those that ``vmap`` and ``grad`` wrap hide them."""
    wrapped = sys.modules["torch"]._C._functorch.is_functorch_wrapped_tensor
    return not (tensor.is_meta or type(tensor).__name__ == "FakeTensor" or wrapped(tensor))


def unnested(tensor: Any) -> Any:
    """The packed values of a nested tensor; any other one as it is."""
    return tensor.values() if tensor.is_nested else tensor


def has_memory(tensor: Any) -> bool:
    """Whether the memory of a strided tensor is there to its end; to read one that was given away ends the process."""
    torch = sys.modules["torch"]
    if not (tensor.is_cpu or tensor.is_cuda):
        return not tensor.is_meta
    count = tensor.numel()
    if not count:
        return True
    if not torch._C._has_storage(tensor) or torch._is_functional_tensor(tensor) or not tensor.data_ptr():
        return False
    last = count - 1
    if not tensor.is_contiguous():
        last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    end = (tensor.storage_offset() + last + 1) * tensor.element_size()
    return end <= tensor.untyped_storage().nbytes()


def shape_of(tensor: Any) -> tuple[int, ...] | None:
    """The shape of a tensor as whole numbers; None where it has no single one, as the nested ones."""
    if tensor.is_nested:
        return None
    return tuple(map(int, tensor.shape))


def local_shape(tensor: Any) -> tuple[int, ...] | None:
    """The shape of this process's part of a distributed tensor; None for any other."""
    if not hasattr(tensor, "to_local"):
        return None
    local = getattr(tensor, "_local_tensor", None)
    return shape_of(tensor.to_local() if local is None else local)


def on_host(tensor: Any) -> bool:
    """Whether a tensor's values can be read without waiting for a device."""
    return tensor.is_cpu


def flat(tensor: Any, wanted: Wanted) -> tuple["np.ndarray", tuple[int, int, int] | None]:
    """A dense host tensor as a flat contiguous array in single or double precision, and the layout of its units.

    The array shares the tensor's memory where its type and layout allow; half precision becomes float32, whole
    numbers and truth values become float64. The order is that of memory: a channels-last tensor is not rearranged.
    """
    torch = sys.modules["torch"]
    kind = tensor.dtype
    if kind is not torch.float32 and kind is not torch.float64:
        tensor = tensor.to(torch.float32 if kind in (torch.float16, torch.bfloat16) else torch.float64)
    shape = tensor.shape
    unit_dim = wanted.unit_dim
    if not tensor.is_contiguous() and tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        tensor = tensor.permute(0, 2, 3, 1)
        unit_dim = {None: None, 0: 0, 1: 3, 2: 1, 3: 2}[unit_dim]
        shape = tensor.shape
    # resolve_neg: a lazily negated tensor has no array
    array = tensor.contiguous().resolve_neg().numpy().reshape(-1)
    return array, None if unit_dim is None else unit_layout(shape, unit_dim)


def unit_layout(shape: Any, dim: int) -> tuple[int, int, int]:
    """(outer, units, inner): a shape in which the dimension of the units stands alone."""
    outer = inner = 1
    for size in shape[:dim]:
        outer *= size
    for size in shape[dim + 1 :]:
        inner *= size
    return outer, shape[dim], inner
