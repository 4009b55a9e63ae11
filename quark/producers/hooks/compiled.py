"""Compiled statistics of tensors in main memory: each tensor is read once. They need llvmlite, and are not needed.

Compiling them takes about a tenth of a second, once a process, when the first watcher is made: no step waits for it.
"""

import ctypes
import logging
import sys
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ...errors import ConfigurationError, require
from ...settings import setting
from . import host
from .llvm_measure import DEAD, MOMENTS, SATURATED, dead_units, measures
from .llvm_parts import KINDS, declarations
from .llvm_squares import KEEP, MOVED, SQUARES, squares
from .summary import Summary, Wanted

HELD = 1 << 16
"""Elements up to which a call holds the interpreter: some 10 us, where asking for it back may take milliseconds."""

_ROW = ctypes.c_double * 8
_PLAN = ctypes.c_double * 6
_LEVELS = (MOMENTS, DEAD, SATURATED)
_SUMS = (KEEP, SQUARES, MOVED)
logger = logging.getLogger("quark")


class Asked(NamedTuple):
    """What is asked of a tensor, as a kernel reads it: which of the kernels, and its limits in their own memory."""

    level: int
    plan: Any


class Functions(NamedTuple):
    """The kernels for one type of element: by level, and by what they sum; each as (held, released)."""

    measure: tuple[tuple[Any, Any], ...]
    squares: dict[str, tuple[Any, Any]]


class Kernels:
    """The compiled kernels, by the type of the elements.

    Args:
        engine: what keeps their code in memory.
    """

    def __init__(self, engine: Any) -> None:
        torch = sys.modules["torch"]
        self._engine = engine
        kinds = {kind.name: _functions(engine, kind.name) for kind in KINDS}
        self._by_array = {np.dtype(name): kinds[name] for name in ("float32", "float64")}
        self.by_dtype: dict[Any, Functions] = {getattr(torch, name): functions for name, functions in kinds.items()}
        self._tensor, self._parameter = torch.Tensor, torch.nn.Parameter
        self._strided = torch.strided
        self._moments = self.asked(Wanted(), None)

    def asked(self, wanted: Wanted, units: tuple[int, int, int] | None) -> Asked:
        """What ``host.measure`` is asked for, for a kernel; kept by the caller, who asks it of many tensors."""
        epsilon, saturation, _ = wanted
        if epsilon is None:
            return Asked(MOMENTS, _PLAN())
        level = DEAD if saturation is None else SATURATED
        return Asked(level, _PLAN(epsilon, *(saturation or (0.0, 0.0)), *(units or (0, 0, 0))))

    def look(self, tensor: Any, asked: Asked | None = None) -> Summary | None:
        """The statistics of a tensor; None if it must be measured another way.

        Args:
            tensor: any; those of other types, devices and layouts are left alone, and so is one with a NaN or an
                infinity.
            asked: nothing but the moments if omitted.
        """
        address = self.address(tensor)
        if address is None:
            return None
        return _run(self.by_dtype[tensor.dtype], address, tensor.numel(), asked or self._moments)

    def address(self, tensor: Any) -> int | None:
        """Where a tensor's values lie that the kernels may read: dense, in main memory, of a type that they know.

        None for any other, and for one whose memory is not there to its end: a shard that was given away, a storage
        that was cut short.
        """
        kind = type(tensor)
        if (
            (kind is not self._tensor and kind is not self._parameter)
            or not tensor.is_cpu
            or tensor.layout is not self._strided
            or tensor.dtype not in self.by_dtype
            or not tensor.is_contiguous()
            or tensor.is_neg()
        ):
            return None
        try:
            held = tensor.untyped_storage().nbytes()
            address = tensor.data_ptr()
        except (NotImplementedError, RuntimeError):  # wrapped by vmap or grad: there is no memory
            return None
        needed = tensor.nbytes
        if address:
            offset = tensor.storage_offset()
            return address if needed + offset * tensor.element_size() <= held else None
        return None if needed else 0

    def take(self, tensor: Any) -> bool:
        """Whether the kernels may read a tensor."""
        return not tensor.is_nested and self.address(tensor) is not None

    def measure(self, values: np.ndarray, units: tuple[int, int, int] | None, wanted: Wanted) -> Summary:
        """``host.measure``, by the kernels where they can."""
        found = _run(self._by_array[values.dtype], values.ctypes.data, values.size, self.asked(wanted, units))
        return host.measure_quietly(values, units, wanted) if found is None else found


def _run(functions: Functions, address: int, count: int, asked: Asked) -> Summary | None:
    if not count:
        return None
    level, plan = asked
    row = _ROW()
    if functions.measure[level][count > HELD](address, count, plan, row):
        return None
    mean, variance, norm, top, dead, full, share, _ = row[:]
    if not level:
        return Summary(count, mean, variance, norm, top)
    return Summary(
        count, mean, variance, norm, top, 0, int(dead), int(full) if level == SATURATED else None,
        share if plan[4] else None,
    )  # fmt: skip


def _functions(engine: Any, kind: str) -> Functions:
    def called(name: str, result: Any, *arguments: Any) -> tuple[Any, Any]:
        address = engine.get_function_address(name.format(kind))
        held, released = ctypes.PYFUNCTYPE(result, *arguments), ctypes.CFUNCTYPE(result, *arguments)
        return held(address), released(address)

    pointer, count = ctypes.c_void_p, ctypes.c_size_t
    return Functions(
        tuple(called(f"measure_{{}}_{level}", ctypes.c_int32, pointer, count, pointer, pointer) for level in _LEVELS),
        {act: called(f"{act}_{{}}", None, pointer, count, pointer) for act in _SUMS},
    )


class Table:
    """Tensors in main memory of one type, whose sums of squares are taken by one call.

    Args:
        kernels: the compiled kernels.
        tensors: of one type, and such that the kernels take them; later calls may pass others of the same sizes.
        copies: one for each, for what needs a second tensor.
    """

    def __init__(self, kernels: Kernels, tensors: list[Any], copies: list[Any] | None = None) -> None:
        self._squares = kernels.by_dtype[tensors[0].dtype].squares
        counts = [tensor.numel() for tensor in tensors]
        self._released = sum(counts) > HELD
        self._rows = np.zeros((len(tensors), 3), np.int64)
        self._rows[:, 2] = counts
        if copies is not None:
            self._rows[:, 1] = [copy.data_ptr() for copy in copies]
        self._out = np.empty(len(tensors))
        self._places = (self._rows.ctypes.data, len(tensors), self._out.ctypes.data)

    def squares(self, act: str, tensors: list[Any]) -> list[float]:
        """The sum of squares of each tensor, or of its difference to its copy, as ``act`` says."""
        self._rows[:, 0] = [tensor.data_ptr() for tensor in tensors]
        self._squares[act][self._released](*self._places)
        return self._out.tolist()


def kernels() -> Kernels | None:
    """The compiled kernels, or None where they are switched off or cannot be had.

    Raises:
        ConfigurationError: QUARK_HOOK_KERNEL is none of its words, or demands them and they cannot be compiled.
        MissingDependencyError: it demands them, and llvmlite is not installed.
    """
    way = setting("QUARK_HOOK_KERNEL")
    if way == "plain":
        return None
    if way == "compiled":
        require("llvmlite", "fast")
    try:
        return _compiled()
    except Exception as error:
        if way == "compiled":
            raise ConfigurationError(
                f"QUARK_HOOK_KERNEL=compiled cannot be had here: {type(error).__name__}: {error}; use auto or plain"
            ) from error
        logger.debug("statistics of layers are not compiled: %s: %s", type(error).__name__, error)
        return None


def _text() -> str:
    """All kernels, for LLVM."""
    parts = [declarations()]
    for kind in KINDS:
        parts += [
            dead_units(kind),
            *(measures(kind, level) for level in _LEVELS),
            *(squares(kind, act) for act in _SUMS),
        ]
    return "\n".join(parts)


@cache
def _compiled() -> Kernels:
    """Compile the kernels for this processor, and hold them against the plain ones once."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(_text())
    module.verify()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2
    )
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    made = Kernels(engine)
    for kind in (np.float32, np.float64):
        values = np.arange(-40, 41, dtype=kind)
        wanted = Wanted(1.0, (-38.0, 38.0), 1)
        found, expected = made.measure(values, (1, 81, 1), wanted), host.measure(values, (1, 81, 1), wanted)
        if not np.allclose(np.array(found, float), np.array(expected, float), rtol=1e-6, atol=1e-9):
            raise ArithmeticError(f"the compiled kernels tell {found} where {expected} is right")
    return made
