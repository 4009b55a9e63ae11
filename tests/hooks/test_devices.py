"""Statistics of tensors on an accelerator: one copy a probe, nobody waits, and late figures are not lost."""

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from quark import HookEngine, LayerSummaryRecord
from quark.producers.hooks import ondevice, probe, probing
from quark.producers.hooks.ondevice import DeviceProbe
from quark.producers.hooks.summary import Wanted
from quark.testing import MemoryRunHandle

from ..house.tree import PACKAGES, ROOT
from .watching import places, probed

pytestmark = pytest.mark.torch
Run = MemoryRunHandle


FACTORIES = frozenset(
    """arange as_tensor asarray empty empty_permuted empty_strided eye frombuffer full hann_window linspace logspace
    normal ones rand randint randn randperm scalar_tensor sparse_coo_tensor tensor tril_indices zeros
    Tensor FloatTensor DoubleTensor""".split()
)
"""What makes a tensor on the default device unless it is given one; ``..._like`` and ``new_...`` follow theirs."""


def made_without_device(source: str) -> list[int]:
    """The lines in which a tensor is made on whatever device is the default."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in FACTORIES
        and (getattr(node.func.value, "id", None) == "torch" or getattr(node.func.value, "attr", None) == "torch")
        and not any(keyword.arg in ("device", None) for keyword in node.keywords)
    ]


def test_every_tensor_is_made_on_a_device_that_is_named():
    """Under another default device (meta, cuda) such a tensor has no memory of the kind that the code takes it for."""
    assert made_without_device(
        "a = torch.empty(3)\nb = torch.zeros(3, device=x)\nself.torch.tensor(1)\nnp.zeros(3)"
    ) == [1, 3]
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "demo" not in path.parts]
    wrong = {
        str(path.relative_to(ROOT)): lines for path in files if (lines := made_without_device(path.read_text("utf-8")))
    }
    assert wrong == {}


class Vector:
    """A vector on a device that is not there: it remembers that its stream was told of it."""

    def __init__(self, values: list[float], log: list[str]) -> None:
        self.values, self.log = values, log
        self.is_cuda, self.device, self.shape, self.dtype = True, "cuda:0", (len(values),), "float64"

    def record_stream(self, stream: Any) -> None:
        self.log.append("record_stream")


class FakeCuda:
    """torch as far as a copy to pinned memory uses it; ``done`` says whether the device got there."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.done = False
        self.cuda = self

    def Stream(self, device: Any) -> Any:
        return SimpleNamespace(wait_stream=lambda other: self.log.append("wait_stream"))

    def current_stream(self, device: Any) -> Any:
        return None

    @contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        self.log.append("side stream")
        yield

    def empty(self, shape: Any, *, dtype: Any, device: str, pin_memory: bool) -> Any:
        assert (device, pin_memory) == ("cpu", True)
        target = SimpleNamespace(values=None, tolist=lambda: target.values)

        def copy(vector: Vector, non_blocking: bool) -> None:
            assert non_blocking
            self.log.append("copy")
            target.values = vector.values

        target.copy_ = copy
        return target

    def Event(self) -> Any:
        def synchronize() -> None:
            self.log.append("synchronize")
            self.done = True

        return SimpleNamespace(record=lambda stream: None, query=lambda: self.done, synchronize=synchronize)


def test_the_copy_is_asked_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vector goes into pinned memory on a side stream behind the kernels; only an impatient reader waits."""
    monkeypatch.setattr(ondevice, "_streams", {})
    torch_double = FakeCuda()
    ask = ondevice._copy(torch_double, Vector([1.0, 2.0], torch_double.log))
    assert torch_double.log == ["wait_stream", "side stream", "copy", "record_stream"]
    assert ask(False) is None
    torch_double.done = True
    assert ask(False) == [1.0, 2.0]
    torch_double.done = False
    assert ask(True) == [1.0, 2.0]
    assert torch_double.log[-1] == "synchronize"


def test_one_vector_a_device() -> None:
    """All scalars of a probe travel together, whatever their types; a second question finds them still."""
    device_probe = DeviceProbe()
    tickets = [device_probe.measure(torch.randn(n, 3), Wanted(0.0, None, 1)) for n in (2, 3, 4)]
    place = device_probe.keep(torch.device("cpu"), [torch.tensor(7)])
    device_probe.send()
    assert len(device_probe._arriving) == 1
    assert device_probe.arrived()
    assert [device_probe.summary(ticket).size for ticket in tickets] == [6, 9, 12]
    assert device_probe.value(torch.device("cpu"), place) == 7.0


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], None]]]:
    """Tensors are taken as lying on a device, whose answers come when the functions in the list are called."""
    monkeypatch.setenv("QUARK_HOOK_KERNEL", "plain")
    arrived: set[int] = set()
    release: list[Callable[[], None]] = []

    def slow_copy(torch_module: Any, vector: Any) -> Callable[[bool], list[float] | None]:
        number = len(release)
        release.append(lambda: arrived.add(number))
        return lambda wait: vector.tolist() if wait or number in arrived else None

    monkeypatch.setattr(ondevice, "_copy", slow_copy)
    monkeypatch.setattr(probe, "on_host", lambda tensor: False)
    monkeypatch.setattr(probe.Probe, "_measure", lambda self, tensor, wanted, units: self.on_device().measure(
        tensor.detach(), wanted))  # fmt: skip
    yield release


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU())


def test_late_figures_are_recorded_later(run: Run, elsewhere: list[Callable[[], None]]) -> None:
    """What has not arrived when the step ends is recorded at a later one, in order, with the step that it is of."""
    model = network()
    hooks = HookEngine(run, model)
    for step in range(2):
        with hooks.step(step):
            model(torch.randn(2, 3)).sum().backward()
    assert run.records(LayerSummaryRecord) == []
    elsewhere[1]()
    with hooks.step(2):
        pass
    assert run.records(LayerSummaryRecord) == []  # the first one is still on its way
    elsewhere[0]()
    hooks.begin_step(3)
    hooks.end_step()
    assert [record.step for record in run.records(LayerSummaryRecord)] == [0] * 4 + [1] * 4


def test_a_reader_waits(run: Run, elsewhere: list[Callable[[], None]]) -> None:
    """flush, read and close bring everything, for which they wait."""
    model = network()
    hooks = HookEngine(run, model)
    with hooks.step(0):
        model(torch.randn(2, 3)).sum().backward()
    assert len(hooks.flush()) == 4
    with hooks.step(1):
        model(torch.randn(2, 3)).sum().backward()
    hooks.close()
    assert len(run.records(LayerSummaryRecord)) == 8
    assert len(elsewhere) == 2


def test_a_device_that_is_far_behind_is_waited_for(run: Run, elsewhere: list[Callable[[], None]]) -> None:
    """Not more than a few probes wait: memory stays bounded."""
    model = network()
    hooks = HookEngine(run, model)
    for step in range(probing.MOST_WAITING + 1):
        with hooks.step(step):
            model(torch.randn(2, 3))
    assert len(elsewhere) == probing.MOST_WAITING + 1
    assert len(run.records(LayerSummaryRecord)) == 2 * (probing.MOST_WAITING + 1)


def test_a_device_that_fails(
    lenient: Run, elsewhere: list[Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device error while figures are fetched counts as a fault; the training will meet it itself."""

    def broken(torch_module: Any, vector: Any) -> Any:
        def ask(wait: bool) -> list[float]:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

        return ask

    monkeypatch.setattr(ondevice, "_copy", broken)
    model = network()
    hooks = HookEngine(lenient, model)
    with hooks.step(0):
        model(torch.randn(2, 3))
    hooks.close()
    assert {cause for cause, _ in lenient.reported} <= {"HookEngine_close", "HookEngine_resolve"}
    assert len(lenient.reported) >= 1


def test_the_scale_of_a_device_travels_along(run: Run, elsewhere: list[Callable[[], None]]) -> None:
    """A loss scale that is a tensor on the device is not fetched but sent with the statistics."""

    class OnDevice(torch.Tensor):
        is_cuda = True  # type: ignore[assignment]

    scale = torch.tensor(4.0).as_subclass(OnDevice)
    model = network()
    records = probed(run, model, lambda: (model(torch.randn(2, 3)).sum() * 4).backward(), grad_scale=lambda: scale)
    assert places(records)[2] == ("1", "backward", 0)
    assert records[2].mean == 1.0
    assert records[2].metadata["loss_scale"] == 4.0
