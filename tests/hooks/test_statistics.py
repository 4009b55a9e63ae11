"""The statistics of a tensor agree with those in double precision, on the host and as on a device."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import nn

from quark import HookEngineConfig
from quark.producers.hooks import compiled, host
from quark.producers.hooks.layers import UnitOrder, saturation_limits, spatial_dims
from quark.producers.hooks.ondevice import DeviceProbe
from quark.producers.hooks.summary import Summary, Wanted
from quark.producers.hooks.tensors import flat, plain, unit_layout

pytestmark = pytest.mark.torch

SIZES = (1, 7, 4096, 8192, 8193, 70_000, 300_000)


def on_host(tensor: torch.Tensor, wanted: Wanted) -> Summary:
    return host.measure(*flat(plain(tensor), wanted), wanted)


def as_on_device(tensor: torch.Tensor, wanted: Wanted) -> Summary:
    """The kernels that run on an accelerator, run here."""
    probe = DeviceProbe()
    ticket = probe.measure(plain(tensor), wanted)
    probe.send()
    assert probe.arrived(wait=True)
    return probe.summary(ticket)


def compiled_flat(tensor: torch.Tensor, wanted: Wanted) -> Summary:
    """The compiled kernels, on the flat array that the plain ones get."""
    made = compiled.kernels()
    assert made is not None
    return made.measure(*flat(plain(tensor), wanted), wanted)


def compiled_tensor(tensor: torch.Tensor, wanted: Wanted) -> Summary:
    """The compiled kernels on the tensor itself, and what follows where they decline."""
    made = compiled.kernels()
    assert made is not None
    units = None if wanted.unit_dim is None else unit_layout(tensor.shape, wanted.unit_dim)
    return made.look(tensor, made.asked(wanted, units)) or on_host(tensor, wanted)


needs_compiler = pytest.mark.skipif(find_spec("llvmlite") is None, reason="the compiled way needs llvmlite")
IN_MEMORY: list[Any] = [on_host, *(pytest.param(way, marks=needs_compiler) for way in (compiled_flat, compiled_tensor))]
WAYS: list[Any] = [*IN_MEMORY, as_on_device]


def check(found: Summary, tensor: torch.Tensor) -> None:
    """Within 1e-5 of double precision; the mean relative to the size of the values."""
    exact = tensor.detach().double()
    size = float(exact.abs().max())
    assert found.size == tensor.numel()
    assert found.mean == pytest.approx(float(exact.mean()), rel=1e-5, abs=1e-6 * float(exact.square().mean().sqrt()))
    assert found.norm == pytest.approx(float(torch.linalg.vector_norm(exact)), rel=1e-5)
    assert found.variance == pytest.approx(float(exact.var(correction=0)), rel=1e-5, abs=1e-14 * size * size)
    assert found.max_abs == pytest.approx(size, rel=1e-6)
    assert found.nonfinite == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "make",
    [
        torch.randn,
        lambda n: 1e4 + torch.randn(n),
        lambda n: -3e6 + 10 * torch.randn(n),
        lambda n: torch.relu(torch.randn(n)),
        lambda n: torch.randn(n) * 1e12,
        lambda n: torch.full((n,), 0.1),
        lambda n: torch.full((n,), 1e4),
    ],
    ids=["normal", "mean far from zero", "mean farther from zero", "sparse", "large", "constant", "large constant"],
)
def test_moments_are_right(way: Callable[..., Summary], size: int, make: Callable[[int], torch.Tensor]) -> None:
    """Mean, variance, norm and largest magnitude are within 1e-5 of double precision, whatever the values."""
    tensor = make(size)
    check(way(tensor, Wanted()), tensor)


@pytest.mark.parametrize("way", IN_MEMORY)
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1000, 70_001])
@pytest.mark.parametrize("first", [3e4, -2.5e12, 1e-20, 0.0])
def test_a_first_element_like_no_other(way: Callable[..., Summary], kind: torch.dtype, size: int, first: float) -> None:
    """Sums are around the first element; one that lies far off costs no digits."""
    tensor = (torch.randn(size, dtype=torch.float64) + 50).to(kind)
    tensor[0] = first
    check(way(tensor, Wanted()), tensor)


@pytest.mark.parametrize("way", IN_MEMORY)
@pytest.mark.parametrize("first", [-1.0, 0.0], ids=["first saturated", "first dead"])
@pytest.mark.parametrize("size", range(3, 71, 5))
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_the_last_elements(way: Callable[..., Summary], kind: torch.dtype, size: int, first: float) -> None:
    """Whatever is left over behind whole vectors is counted once: as the largest, as dead, as saturated."""
    tensor = torch.linspace(-1, 1, size, dtype=torch.float64).to(kind)
    tensor[0], tensor[-1] = first, 1.5
    found = way(tensor, Wanted(0.25, (-0.5, 0.5)))
    check(found, tensor)
    assert found.dead == int((tensor.abs() <= 0.25).sum())
    assert found.saturated == int((tensor.abs() >= 0.5).sum())


@pytest.mark.parametrize("way", IN_MEMORY)
@pytest.mark.parametrize("scale", [1e-310, 1e-160, 1e150, 1e300])
def test_the_ends_of_double_precision(way: Callable[..., Summary], scale: float) -> None:
    """Where squares leave double precision too, mean, norm and largest magnitude are kept."""
    tensor = torch.rand(500, dtype=torch.float64) * scale
    found = way(tensor, Wanted())
    assert found.mean == pytest.approx(float(tensor.mean()), rel=1e-5)
    assert found.norm == pytest.approx(float((tensor / scale).norm()) * scale, rel=1e-5)
    assert found.max_abs == float(tensor.max())


@needs_compiler
def test_what_the_kernels_leave_alone() -> None:
    """Other types and layouts, negated views and memory that is given away are not read by address."""
    made = compiled.kernels()
    assert made is not None
    given_away = torch.randn(9)
    given_away.untyped_storage().resize_(0)
    negated = torch.tensor([3 + 4j]).conj().imag
    assert negated.is_neg()
    for tensor in (
        torch.ones(3, dtype=torch.int32), torch.ones(3, dtype=torch.float16), torch.eye(3).to_sparse(),
        torch.randn(4, 5).t(), torch.ones(3, device="meta"), given_away, negated,
    ):  # fmt: skip
        assert not made.take(tensor)
        assert made.look(tensor) is None
    assert made.take(torch.randn(3)) and made.take(nn.Parameter(torch.randn(3, dtype=torch.bfloat16)))
    assert compiled_tensor(negated, Wanted()).mean == -4.0


@pytest.mark.parametrize("way", WAYS)
def test_zeros(way: Callable[..., Summary]) -> None:
    """All zeros: all moments are zero and every element is dead."""
    assert way(torch.zeros(40_000), Wanted(epsilon=0.0)) == Summary(40_000, 0.0, 0.0, 0.0, 0.0, 0, 40_000, None, None)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 4, 2)])
def test_an_empty_tensor_has_no_statistics(way: Callable[..., Summary], shape: tuple[int, ...]) -> None:
    """No elements: a count of 0 and nothing else."""
    assert way(torch.empty(shape), Wanted(epsilon=0.0)) == Summary(0, None, None, None, None)


@pytest.mark.parametrize("way", IN_MEMORY)
@pytest.mark.parametrize("size", [5, 20_000])
@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e-20, 1e25, 1e38])
def test_the_ends_of_single_precision(way: Callable[..., Summary], size: int, scale: float) -> None:
    """Subnormal values, and values whose squares overflow, keep their statistics on the host."""
    tensor = torch.rand(size) * scale
    exact = tensor.double()
    found = way(tensor, Wanted())
    assert found.norm == pytest.approx(float(exact.norm()), rel=1e-5)
    assert found.variance == pytest.approx(float(exact.var(correction=0)), rel=1e-5)
    assert found.mean == pytest.approx(float(exact.mean()), rel=1e-5)
    assert found.nonfinite == 0


@pytest.mark.parametrize("scale", [1e-42, 1e25])
def test_what_a_device_cannot_square_is_unknown_there(scale: float) -> None:
    """On a device the variance and norm of such values are null rather than wrong; the rest is right."""
    tensor = torch.rand(100) * scale
    found = as_on_device(tensor, Wanted())
    assert (found.variance, found.norm, found.nonfinite) == (None, None, 0)
    assert found.mean == pytest.approx(float(tensor.double().mean()), rel=1e-4)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [10, 100_000])
@pytest.mark.parametrize("bad", [[math.inf], [math.nan], [math.inf, -math.inf], [-math.inf, math.nan, 0.0]])
def test_a_nonfinite_element_is_counted(way: Callable[..., Summary], size: int, bad: list[float]) -> None:
    """One infinity or NaN makes the moments null; the count says how many; the dead are counted still."""
    tensor = torch.rand(size) + 1
    tensor[: len(bad)] = torch.tensor(bad)
    found = way(tensor, Wanted(epsilon=0.0))
    expected = sum(not math.isfinite(value) for value in bad)
    assert found == Summary(size, None, None, None, None, expected, bad.count(0.0), None, None)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [torch.int64, torch.int8, torch.uint8, torch.bool, torch.float16, torch.bfloat16,
                                  torch.float64])  # fmt: skip
def test_other_types(way: Callable[..., Summary], kind: torch.dtype) -> None:
    """Whole numbers, truth values, half and double precision are measured in single precision or better."""
    tensor = (torch.rand(3, 30_000) * 5).to(kind)
    check(way(tensor, Wanted()), tensor)


@pytest.mark.parametrize("way", WAYS)
def test_half_precision_is_summed_in_single(way: Callable[..., Summary]) -> None:
    """65,536 times 8 overflows float16; its sum does not."""
    tensor = torch.full((65_536,), 8.0, dtype=torch.float16)
    assert way(tensor, Wanted())[:4] == (65_536, 8.0, 0.0, 2048.0)


@pytest.mark.parametrize("way", WAYS)
def test_layouts(way: Callable[..., Summary]) -> None:
    """Transposed, sliced, expanded, channels-last, sparse and complex tensors are measured by their values."""
    images = torch.randn(2, 3, 5, 7).contiguous(memory_format=torch.channels_last)
    for tensor in (torch.randn(30, 40).t(), torch.randn(30, 40)[:, ::3], torch.randn(30, 1).expand(30, 9), images):
        check(way(tensor, Wanted()), tensor)
    assert way(torch.eye(4).to_sparse(), Wanted()).norm == pytest.approx(2.0)
    assert way(torch.tensor([3 + 4j, 0]), Wanted()).max_abs == pytest.approx(5.0)
    assert plain(torch.empty(3, device="meta")) is None


@pytest.mark.parametrize("way", WAYS)
def test_epsilon(way: Callable[..., Summary]) -> None:
    """What is within epsilon of zero is dead, its bounds included; minus zero is zero."""
    tensor = torch.tensor([-0.2, -0.1, -0.0, 0.0, 0.05, 0.1, 0.2] * 30_000)
    assert way(tensor, Wanted(epsilon=0.0)).dead == 60_000
    assert way(tensor, Wanted(epsilon=float(torch.tensor(0.1)))).dead == 150_000
    assert way(tensor + 1, Wanted(epsilon=0.1)).dead == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels last"])
@pytest.mark.parametrize("shape", [(6, 8, 5, 5), (40, 8, 30, 30)])
def test_dead_channels(way: Callable[..., Summary], last: bool, shape: tuple[int, ...]) -> None:
    """A channel is dead only if it is zero in the whole batch: sparsity is not death."""
    tensor = torch.relu(torch.randn(shape))
    tensor[:, 2] = 0
    tensor[:, 5] = 0
    tensor[1:, 3] = 0  # alive in the first sample
    tensor[:-1, 4] = 0  # alive in the last one
    if last:
        tensor = tensor.contiguous(memory_format=torch.channels_last)
    found = way(tensor, Wanted(0.0, None, 1))
    assert found.dead == int((tensor == 0).sum())
    assert found.dead_units == 2 / 8


@pytest.mark.parametrize("way", WAYS)
def test_dead_features(way: Callable[..., Summary]) -> None:
    """A neuron of (batch, features) or (batch, time, features) is dead if it is zero everywhere."""
    for shape in ((200, 10), (20, 10, 10)):
        tensor = torch.relu(torch.randn(shape)) + 0.0
        tensor[..., 7] = 0
        assert way(tensor, Wanted(0.0, None, len(shape) - 1)).dead_units == 0.1
        assert way(torch.zeros(shape), Wanted(0.0, None, len(shape) - 1)).dead_units == 1.0


def test_the_order_of_units() -> None:
    """Channels come second behind a convolution, features last behind a linear layer; a ReLU inherits the order."""
    order = UnitOrder()
    relu = spatial_dims(nn.ReLU())
    assert order.dim((4, 8, 10), spatial_dims(nn.Conv1d(1, 1, 1))) == 1
    assert order.dim((4, 8, 10), relu) == 1
    assert order.dim((4, 8, 10), spatial_dims(nn.LayerNorm(10))) == 2
    assert order.dim((4, 8, 10), relu) == 2
    assert order.dim((8, 6, 6), spatial_dims(nn.Conv2d(1, 1, 1))) == 0  # without a batch dimension
    assert order.dim((4, 8, 6, 6), spatial_dims(nn.GroupNorm(1, 8))) == 1
    assert (order.dim((3, 8, 5, 5), relu), order.dim((3, 9), relu), order.dim((7,), relu)) == (1, 1, None)


def test_saturation() -> None:
    """Sigmoid and Hardtanh saturate at both ends, ReLU6 above, other types not at all."""
    types = HookEngineConfig().saturation_module_types
    assert saturation_limits(nn.Sigmoid(), types, 0.95) == pytest.approx((0.05, 0.95))
    assert saturation_limits(nn.Tanh(), types, 0.95) == (-0.95, 0.95)
    assert saturation_limits(nn.Hardtanh(-2, 2), types, 0.5) == (-1.0, 1.0)
    assert saturation_limits(nn.ReLU6(), types, 0.5) == (-math.inf, 3.0)
    assert saturation_limits(nn.ReLU(), types, 0.95) is None
    assert saturation_limits(nn.Tanh(), types, None) is None
    assert saturation_limits(nn.GELU(), ("torch.nn.modules.activation.GELU",), 0.5) == (-0.5, 0.5)


@pytest.mark.parametrize("way", WAYS)
def test_saturated_elements_are_counted(way: Callable[..., Summary]) -> None:
    """Elements at or beyond either limit count, whatever the size of the tensor."""
    tensor = torch.tensor([-1.0, -0.95, 0.0, 0.9, 0.96] * 10_000, dtype=torch.float64)
    assert way(tensor, Wanted(0.0, (-0.95, 0.95))).saturated == 30_000
    assert way(tensor.clamp(-0.5, 0.5), Wanted(0.0, (-0.95, 0.95))).saturated == 0


@pytest.mark.parametrize("way", IN_MEMORY)
def test_two_threads_measure_at_once(way: Callable[..., Summary]) -> None:
    """Threads that measure at the same time do not write over each other's figures."""
    tensors = [torch.relu(torch.randn(40, 9000) - shift) for shift in range(4)]
    wanted = Wanted(0.0, None, 1)
    alone = [way(tensor, wanted) for tensor in tensors]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda tensor: way(tensor, wanted), tensors * 8)) == alone * 8


def test_without_vecdot() -> None:
    """NumPy before 2.0 sums rows by matrix products, to the same figures."""
    rows = torch.randn(5, 100).numpy()
    assert host._matmul_dots(rows, rows) == pytest.approx((rows * rows).sum(axis=1), rel=1e-5)
    assert host._matmul_dots(rows, rows[0]) == pytest.approx((rows * rows[0]).sum(axis=1), rel=1e-4, abs=1e-5)
