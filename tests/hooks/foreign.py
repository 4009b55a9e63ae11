"""Watches networks with one odd tensor in each, in a process of its own: a segmentation fault ends it.

Usage: python -m tests.hooks.foreign [NAME ...]. For each tensor a line: its name, the causes of faults, and how many
records there are of its usual neighbours.
"""

import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from quark import HookEngine, LayerSummaryRecord, ParameterDiagnostics, ParameterSummaryRecord
from quark.testing import MemoryRunHandle

warnings.simplefilter("ignore")


class Kept(torch.Tensor):
    """A class that keeps its values in memory and knows no operation on many tensors at once."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "foreach" in str(func) or "norm" in str(func):
            raise NotImplementedError(str(func))
        return super().__torch_function__(func, types, args, kwargs)


class Wrapped(torch.Tensor):
    """A class that has no memory of its own and refuses every operation."""

    @staticmethod
    def __new__(cls, values: torch.Tensor) -> "Wrapped":
        return torch.Tensor._make_wrapper_subclass(cls, values.shape, dtype=values.dtype)  # type: ignore[attr-defined]

    def __init__(self, values: torch.Tensor) -> None:
        self.values_inside = values

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError(str(func))


class Packed(Wrapped):
    """The same, but it says what its values are."""

    def dequantize(self) -> torch.Tensor:  # type: ignore[override]
        return self.values_inside


def given_away(size: int, *, turned: bool = False) -> torch.Tensor:
    tensor = torch.ones(50, 40)
    tensor = tensor.t() if turned else tensor
    tensor.untyped_storage().resize_(size)
    return tensor


def negated() -> torch.Tensor:
    return torch.tensor([3 + 4j]).conj().imag


def fake() -> torch.Tensor:
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        return torch.ones(3)


def sparse_given_away() -> torch.Tensor:
    values = torch.ones(3)
    tensor = torch.sparse_coo_tensor(torch.tensor([[0, 1, 2]]), values, (5,))
    tensor._values().untyped_storage().resize_(0)
    return tensor


def under(transform: Callable[..., Any]) -> Callable[[], Any]:
    def make() -> Any:
        kept: list[Any] = []
        transform(lambda x: (kept.append(x), x.sum())[1])(torch.ones(3, 2))
        return kept[0]

    return make


TENSORS: dict[str, Callable[[], Any]] = {
    "meta": lambda: torch.ones(3, device="meta"),
    "sparse_coo": lambda: torch.eye(3).to_sparse(),
    "sparse_csr": lambda: torch.eye(3).to_sparse_csr(),
    "sparse_bsr": lambda: torch.eye(4).to_sparse_bsr((2, 2)),
    "mkldnn": lambda: torch.ones(2, 3).to_mkldnn(),
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    "quantized_channels": lambda: torch.quantize_per_channel(
        torch.ones(2, 3), torch.ones(2), torch.zeros(2), 0, torch.qint8
    ),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(1, 3)]),
    "jagged": lambda: torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(1, 3)], layout=torch.jagged),
    "fake": fake,
    "functional": lambda: torch._to_functional_tensor(torch.ones(3)),
    "zero": lambda: torch._efficientzerotensor((3,)),  # type: ignore[attr-defined]
    "vmap": under(lambda f: torch.func.vmap(f)),
    "grad": under(lambda f: torch.func.grad(f)),
    "jacrev": under(lambda f: torch.func.jacrev(f)),
    "given_away": lambda: given_away(0),
    "cut_short": lambda: given_away(64),
    "cut_short_strided": lambda: given_away(64, turned=True),
    "sparse_given_away": sparse_given_away,
    "kept": lambda: torch.ones(3).as_subclass(Kept),
    "wrapped": lambda: Wrapped(torch.ones(3)),
    "packed": lambda: Packed(torch.ones(3)),
    "negated": negated,
    "conjugated": lambda: torch.tensor([3 + 4j]).conj(),
    "expanded": lambda: torch.ones(1, 1).expand(1000, 1000),
    "empty": lambda: torch.empty(0, 3),
    "scalar": lambda: torch.ones(()),
    "bool": lambda: torch.ones(3, dtype=torch.bool),
    "int4_bits": lambda: torch.ones(3, dtype=torch.uint8).view(torch.bits8),
    "float8": lambda: torch.ones(3).to(torch.float8_e4m3fn),
    "complex_half": lambda: torch.ones(3, dtype=torch.complex32),
}


class Emits(nn.Module):
    """A layer that returns what it is given."""

    def __init__(self, tensor: Any) -> None:
        super().__init__()
        self.tensor = (tensor,)

    def forward(self) -> Any:
        return self.tensor[0]


def network(tensor: Any) -> nn.Module:
    model = nn.Module()
    model.first, model.odd, model.last = nn.Linear(3, 3), Emits(tensor), nn.Linear(3, 1)
    try:
        model.weight = nn.Parameter(tensor, requires_grad=False)
    except Exception:
        model.weight = None
    return model


def watch(name: str) -> None:
    """Watch two steps: one in which no optimizer steps, one in which one does."""
    run = MemoryRunHandle(strict=False)
    model = network(TENSORS[name]())
    trained = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    if model.weight is not None:
        optimizer.param_groups[0]["params"].append(model.weight)
    with HookEngine(run, model) as hooks, ParameterDiagnostics(run, model, optimizer) as parameters:
        for step in range(2):
            with hooks.step(step), parameters.step(step):
                model.last(model.first(torch.ones(2, 3))).sum().backward()
                model.odd()
                if step:
                    optimizer.step()
    layers = [one for one in run.records(LayerSummaryRecord) if one.module_name in ("first", "last")]
    usual = [one for one in run.records(ParameterSummaryRecord) if one.parameter_name != "weight"]
    complete = sum(one.weight_norm is not None and one.gradient_norm is not None for one in usual)
    print(",".join(sorted({cause for cause, _ in run.reported})) or "-", len(layers), complete, flush=True)


if __name__ == "__main__":
    for chosen in sys.argv[1:] or TENSORS:
        print(chosen, end=" ", flush=True)
        watch(chosen)
