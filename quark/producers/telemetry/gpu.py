"""The GPU that this process trains on: use and memory by NVML, and what torch's allocator holds.

Nothing here touches CUDA: NVML needs no context, and torch is asked only for counters that it keeps itself.
"""

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from .once import warn_once
from .timing import active_cuda

_UNKNOWN = (1 << 64) - 1
"""What NVML writes where a device has no such value."""


class Gpu:
    """Reads one GPU. Used by one thread at a time; ``device`` may be set from another.

    Args:
        index: which GPU, as CUDA counts those that the process sees; None for the device in use.
        load: gives the module pynvml, or raises.
        cuda: gives torch.cuda where this process has initialised it, else None.
        environ: holds CUDA_VISIBLE_DEVICES.
    """

    def __init__(
        self, index: int | None = None, *, load: Callable[[], Any] = lambda: import_module("pynvml"),
        cuda: Callable[[], Any] = active_cuda, environ: Mapping[str, str] = os.environ,
    ) -> None:  # fmt: skip
        self._index = index
        self._load = load
        self._cuda = cuda
        self._environ = environ
        self._nvml: Any = None
        self._opened = False
        self._found: tuple[tuple[int, bool], Any] | None = None
        self.device: int | None = None
        """torch's current device. It belongs to a thread, so the training thread must say it."""

    @property
    def chosen(self) -> bool:
        """Whether the user named the GPU."""
        return self._index is not None

    @property
    def complete(self) -> bool:
        """Whether the driver was asked already."""
        return self._opened

    def read(self) -> dict[str, float | int | None]:
        """The values by field; None where there is no GPU, no driver or no such value."""
        if not self._opened:
            self._open()
        index = self._index if self._index is not None else (self.device or 0)
        values = {**self._driver_values(index), **self._torch_values(index)}
        if values:
            values["gpu_index"] = index
        return values

    def close(self) -> None:
        """Let go of the driver."""
        nvml, self._nvml, self._found, self._opened = self._nvml, None, None, True
        if nvml is not None:
            try:
                nvml.nvmlShutdown()
            except nvml.NVMLError:
                pass

    def _open(self) -> None:
        try:
            nvml = self._load()
        except ImportError as error:
            self._absent(error)
        else:
            try:
                nvml.nvmlInit()
                self._nvml = nvml
            except (nvml.NVMLError, OSError) as error:
                self._absent(error)
        self._opened = True

    def _absent(self, error: Exception) -> None:
        warn_once(
            "nvml", f"the GPU is not recorded: NVML gives no access ({type(error).__name__}: {error}); without an "
            "NVIDIA GPU set SystemTelemetryConfig(capture_gpu=False)",
        )  # fmt: skip

    def _driver_values(self, index: int) -> dict[str, float | int | None]:
        nvml = self._nvml
        if nvml is None:
            return {}
        handle = self._handle(index)
        if handle is None:
            return {}
        values: dict[str, float | int | None] = {}
        try:
            values["gpu_utilization_percent"] = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        except nvml.NVMLError as error:  # a slice of a divided GPU (MIG) has no utilization
            self._failed(error)
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            if memory.used < _UNKNOWN and 0 < memory.total < _UNKNOWN:
                values["gpu_memory_used_bytes"] = int(memory.used)
                values["gpu_memory_usage_percent"] = min(100.0, 100.0 * memory.used / memory.total)
        except nvml.NVMLError as error:
            self._failed(error)
        return values

    def _failed(self, error: Exception) -> None:
        """A value that this GPU lacks is no news; a GPU that fell off the bus is, and its handle is looked up again."""
        nvml = self._nvml
        if getattr(error, "value", None) not in (nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_NO_PERMISSION):
            self._found = None
            warn_once(f"nvml {error}", f"the GPU could not be read ({error}); its fields are null until it answers")

    def _handle(self, index: int) -> Any:
        """The driver's handle of CUDA device ``index``; None if there is none. Torch may know it better later."""
        cuda = self._cuda()
        known = (index, cuda is not None)
        if self._found is None or self._found[0] != known:
            reason = "CUDA_VISIBLE_DEVICES hides it"
            try:
                handle = self._look_up(index, cuda)
            except self._nvml.NVMLError as error:
                handle, reason = None, str(error)
            if handle is None:
                warn_once(
                    f"nvml device {index}", f"GPU {index} was not found ({reason}); its fields are null; "
                    "see SystemTelemetryConfig.gpu_index",
                )  # fmt: skip
                return None
            self._found = (known, handle)
        return self._found[1]

    def _look_up(self, index: int, cuda: Any) -> Any:
        """CUDA orders devices by speed and NVML by bus, so torch's own identifier is believed before the number."""
        nvml = self._nvml
        for name in _identifiers(index, cuda):
            try:
                return nvml.nvmlDeviceGetHandleByUUID(name)
            except nvml.NVMLError:
                continue
        wanted = visible_device(index, self._environ)
        if wanted is None:
            return None
        if isinstance(wanted, int):
            return nvml.nvmlDeviceGetHandleByIndex(wanted)
        try:
            return nvml.nvmlDeviceGetHandleByUUID(wanted)
        except nvml.NVMLError:
            return self._by_prefix(wanted)

    def _by_prefix(self, start: str) -> Any:
        """CUDA takes the beginning of an identifier, NVML only the whole."""
        nvml = self._nvml
        for place in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(place)
            if str(nvml.nvmlDeviceGetUUID(handle)).startswith(start):
                return handle
        return None

    def _torch_values(self, index: int) -> dict[str, float | int | None]:
        """Read from the allocator's own books; no device is asked."""
        cuda = self._cuda()
        if cuda is None:
            return {}
        try:
            return _of_books(cuda.memory_stats_as_nested_dict(index))
        except (RuntimeError, KeyError, AssertionError, AttributeError) as error:  # another allocator, a lost device
            warn_once("torch memory", f"torch does not tell the memory that it holds on GPU {index} ({error})")
            return {}


def _of_books(books: Mapping[str, Any]) -> dict[str, float | int | None]:
    """The fields from the statistics of torch's caching allocator.

    The peak is the allocator's own, which only ``torch.cuda.reset_peak_memory_stats`` begins anew: resetting it here
    would change what the training itself reads. Allocators without splitting keep no books of pieces.
    """
    allocated, reserved = (int(books[name]["all"]["current"]) for name in ("allocated_bytes", "reserved_bytes"))
    values: dict[str, float | int | None] = {
        "gpu_memory_allocated_bytes": allocated,
        "gpu_memory_reserved_bytes": reserved,
        "gpu_memory_peak_allocated_bytes": int(books["allocated_bytes"]["all"]["peak"]),
    }
    if reserved > 0:
        values["gpu_memory_fragmentation_ratio"] = min(1.0, max(0.0, 1.0 - allocated / reserved))
    if "inactive_split_bytes" in books:
        values["gpu_memory_inactive_split_bytes"] = int(books["inactive_split_bytes"]["all"]["current"])
    return values


def _identifiers(index: int, cuda: Any) -> list[str]:
    if cuda is None:
        return []
    try:
        identifier = getattr(cuda.get_device_properties(index), "uuid", None)
    except (RuntimeError, AssertionError):
        return []
    return [] if identifier is None else [f"GPU-{identifier}", f"MIG-{identifier}"]


def visible_device(index: int, environ: Mapping[str, str]) -> int | str | None:
    """The number or identifier that CUDA_VISIBLE_DEVICES gives to CUDA device ``index``; None if it hides it."""
    listed = environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return index
    visible: list[int | str] = []
    for entry in (part.strip() for part in listed.split(",")):
        if entry.isdecimal():
            visible.append(int(entry))
        elif entry.startswith(("GPU-", "MIG-")):
            visible.append(entry)
        else:
            break  # CUDA stops at the first entry that it cannot read
    return visible[index] if index < len(visible) else None
