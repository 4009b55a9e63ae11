"""GPU values, by the real pynvml on a stand-in of the driver's library, and by a torch that a test holds."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from quark.producers.telemetry import once
from quark.producers.telemetry.gpu import Gpu, visible_device

GIB = 1 << 30
STUB = Path(__file__).with_name("nvml_stub.c")
needs_gcc = pytest.mark.skipif(
    shutil.which("gcc") is None or sys.platform != "linux", reason="builds a shared library with gcc"
)

PROGRAM = """
import json, logging, sys
from quark.producers.telemetry.gpu import Gpu
said = []
class Keep(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())
logging.getLogger("quark").addHandler(Keep())
index, reads = json.loads(sys.argv[1])
gpu = Gpu(index)
values = [gpu.read() for _ in range(reads)]
gpu.close()
print(json.dumps([values, said]))
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a libnvidia-ml.so.1 that knows two GPUs."""
    directory = tmp_path_factory.mktemp("driver")
    library = directory / "libnvidia-ml.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, STUB], check=True)
    return directory


def ask(
    driver: Path, index: int | None = None, reads: int = 1, **environ: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """What a process that finds this driver reads, and what it warns of."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("CUDA")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([index, reads])],
        env={**inherited, "LD_LIBRARY_PATH": str(driver), **environ}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    values, said = json.loads(done.stdout)
    return values, said


def memory_used(read: dict[str, Any]) -> int:
    """GiB in use, which tell the stand-in's GPUs apart."""
    return read["gpu_memory_used_bytes"] // GIB


@needs_gcc
def test_the_first_gpu_is_read_by_default(driver: Path) -> None:
    """Use and memory of the GPU come through the real pynvml."""
    values, said = ask(driver)
    assert values == [
        {
            "gpu_index": 0,
            "gpu_utilization_percent": 25.0,
            "gpu_memory_used_bytes": 10 * GIB,
            "gpu_memory_usage_percent": 12.5,
        }
    ]
    assert said == []


@needs_gcc
@pytest.mark.parametrize(
    ("index", "visible", "expected"),
    [
        (1, None, (1, 20)),
        (0, "1,0", (0, 20)),
        (1, "1,0", (1, 10)),
        (None, "1", (0, 20)),
        (None, "GPU-00000001-aaaa-bbbb-cccc-0123456789ab", (0, 20)),
        (None, "GPU-00000001", (0, 20)),
    ],
)
def test_gpus_are_counted_as_the_process_sees_them(
    driver: Path, index: int | None, visible: str | None, expected: tuple[int, int]
) -> None:
    """CUDA_VISIBLE_DEVICES renumbers the GPUs, by number, identifier or its beginning."""
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    values, _ = ask(driver, index, **environ)
    assert (values[0]["gpu_index"], memory_used(values[0])) == expected


@needs_gcc
@pytest.mark.parametrize(("index", "visible"), [(5, None), (0, ""), (1, "0"), (0, "-1"), (0, "MIG-gone")])
def test_a_gpu_that_is_not_there_is_null_and_one_warning(driver: Path, index: int, visible: str | None) -> None:
    """A GPU that is hidden or does not exist gives no values, and is said once."""
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    values, said = ask(driver, index, reads=3, **environ)
    assert values == [{}, {}, {}]
    assert len(said) == 1
    assert f"GPU {index} was not found" in said[0]


@needs_gcc
def test_a_divided_gpu_has_memory_and_no_utilization(driver: Path) -> None:
    """A slice of a GPU (MIG) does not tell its use: that value is null, silently, and the memory is there."""
    values, said = ask(driver, reads=2, STUB_NO_UTILIZATION="1")
    assert "gpu_utilization_percent" not in values[1]
    assert (memory_used(values[1]), said) == (10, [])


@needs_gcc
def test_a_gpu_that_is_lost_in_the_run_is_null_and_one_warning(driver: Path) -> None:
    """A GPU that falls off the bus takes its values along and nothing else."""
    values, said = ask(driver, reads=4, STUB_LOST_AFTER="1", STUB_NO_UTILIZATION="1")
    assert memory_used(values[0]) == 10
    assert values[1:] == [{}, {}, {}]
    assert len(said) == 1
    assert "GPU is lost" in said[0]


@needs_gcc
def test_a_driver_that_is_not_loaded_is_one_warning(driver: Path) -> None:
    """The library without its kernel module: null, one warning, and the way to be rid of it."""
    values, said = ask(driver, reads=3, STUB_NO_DRIVER="1")
    assert values == [{}, {}, {}]
    assert len(said) == 1
    assert "capture_gpu=False" in said[0]


def test_no_driver_library_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """On a machine without an NVIDIA driver nothing is recorded of a GPU and it is said once, not per producer."""

    def load() -> Any:
        return SimpleNamespace(NVMLError=pynvml.NVMLError, nvmlInit=fail)

    def fail() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    once.forget()
    for gpu in (Gpu(load=load), Gpu(load=load)):
        assert [gpu.read(), gpu.read()] == [{}, {}]
        gpu.close()
    assert len(caplog.records) == 1


def test_no_pynvml_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Without the package the run goes on without a GPU."""

    def load() -> Any:
        raise ImportError("No module named 'pynvml'")

    once.forget()
    assert Gpu(load=load).read() == {}
    assert "NVML gives no access" in caplog.text


class Torch:
    """torch.cuda's books of its allocator."""

    uuid = "00000001-aaaa-bbbb-cccc-0123456789ab"

    def memory_stats_as_nested_dict(self, index: int) -> dict[str, Any]:
        return {
            "allocated_bytes": {"all": {"current": 100 + index, "peak": 150 + index}},
            "reserved_bytes": {"all": {"current": 200 + index, "peak": 300}},
        }

    def get_device_properties(self, index: int) -> Any:
        return SimpleNamespace(uuid=self.uuid)


class Driver:
    """pynvml with one method that matters: which GPU was asked for."""

    NVMLError = pynvml.NVMLError
    NVML_ERROR_NOT_SUPPORTED = pynvml.NVML_ERROR_NOT_SUPPORTED
    NVML_ERROR_NO_PERMISSION = pynvml.NVML_ERROR_NO_PERMISSION

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def nvmlInit(self) -> None: ...

    def nvmlShutdown(self) -> None: ...

    def nvmlDeviceGetHandleByUUID(self, name: str) -> Any:
        self.asked.append(name)
        return name

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:
        self.asked.append(index)
        return index

    def nvmlDeviceGetUtilizationRates(self, handle: Any) -> Any:
        return SimpleNamespace(gpu=50)

    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any:
        return SimpleNamespace(used=(1 << 64) - 1, total=(1 << 64) - 1)


def test_torch_tells_what_its_allocator_holds() -> None:
    """Allocated, reserved and peak memory come from torch, also where there is no NVML."""
    once.forget()

    def load() -> Any:
        raise ImportError("none")

    gpu = Gpu(load=load, cuda=Torch)
    gpu.device = 3
    assert gpu.read() == {
        "gpu_index": 3, "gpu_memory_allocated_bytes": 103, "gpu_memory_reserved_bytes": 203,
        "gpu_memory_peak_allocated_bytes": 153, "gpu_memory_fragmentation_ratio": 1 - 103 / 203,
    }  # fmt: skip


class Books(Torch):
    """torch.cuda with the books that a test writes."""

    def __init__(self, allocated: int, reserved: int, split: int) -> None:
        self.books = {
            "allocated_bytes": {"all": {"current": allocated, "peak": 9 * GIB}},
            "reserved_bytes": {"all": {"current": reserved}},
            "inactive_split_bytes": {"all": {"current": split}},
        }

    def memory_stats_as_nested_dict(self, index: int) -> dict[str, Any]:
        return self.books


@pytest.mark.parametrize(
    ("allocated", "reserved", "split", "ratio"),
    [(6 * GIB, 8 * GIB, GIB, 0.25), (8 * GIB, 8 * GIB, 0, 0.0), (0, 8 * GIB, 0, 1.0), (0, 0, 0, None)],
)
def test_fragmentation_is_what_the_allocator_holds_and_no_tensor_uses(
    allocated: int, reserved: int, split: int, ratio: float | None
) -> None:
    """The unused share of what is reserved, and its pieces that cannot be given back; null before any is reserved."""
    once.forget()

    def load() -> Any:
        raise ImportError("none")

    values = Gpu(load=load, cuda=lambda: Books(allocated, reserved, split)).read()
    assert values.get("gpu_memory_fragmentation_ratio") == ratio
    assert values["gpu_memory_inactive_split_bytes"] == split
    assert values["gpu_memory_peak_allocated_bytes"] == 9 * GIB


def test_an_allocator_that_keeps_other_books_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """A pluggable allocator without these statistics costs the values, not the run."""
    once.forget()

    class Bare(Torch):
        def memory_stats_as_nested_dict(self, index: int) -> dict[str, Any]:
            return {}

    gpu = Gpu(load=Driver, cuda=Bare)
    for _ in range(2):
        assert "gpu_memory_peak_allocated_bytes" not in gpu.read()
    assert len([record for record in caplog.records if "memory that it holds" in record.getMessage()]) == 1


def test_torch_tells_which_gpu_it_uses() -> None:
    """CUDA numbers GPUs by speed and NVML by place: torch's identifier is believed, once there is one."""
    driver = Driver()
    running: list[Any] = [None]
    gpu = Gpu(load=lambda: driver, cuda=lambda: running[0], environ={})
    gpu.read()
    running[0] = Torch()
    gpu.read()
    gpu.read()
    assert driver.asked == [0, f"GPU-{Torch.uuid}"]


def test_memory_that_is_shared_with_the_processor_is_null() -> None:
    """On a chip whose memory is the machine's, NVML has no number, and its placeholder is none either."""
    read = Gpu(load=Driver, cuda=lambda: None, environ={}).read()
    assert read == {"gpu_index": 0, "gpu_utilization_percent": 50.0}


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (None, [0, 1, 2]),
        ("2,0", [2, 0, None]),
        ("", [None, None, None]),
        ("0,-1,1", [0, None, None]),
        (" 1 , GPU-abc,x", [1, "GPU-abc", None]),
        ("MIG-1,MIG-2", ["MIG-1", "MIG-2", None]),
        ("NoDevFiles", [None, None, None]),
    ],
)
def test_visible_devices_are_read_as_cuda_reads_them(listed: str | None, expected: list[Any]) -> None:
    """CUDA takes numbers and identifiers, and stops at the first entry that it cannot read."""
    environ = {} if listed is None else {"CUDA_VISIBLE_DEVICES": listed}
    assert [visible_device(index, environ) for index in range(3)] == expected
