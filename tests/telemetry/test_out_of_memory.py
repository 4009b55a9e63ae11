"""The bundle of an out-of-memory error: complete where it can be, never in the way of the error."""

import errno
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from quark import ArtifactStore, DataDiagnostics, MetricsLogger, TrainingSession
from quark.producers.out_of_memory import bundle_out_of_memory, is_out_of_memory
from quark.testing import MemoryRunHandle

MIB = 1 << 20


class OutOfMemoryError(RuntimeError):
    """As torch's."""


def raised_from(cause: BaseException) -> BaseException:
    """An error with a cause."""
    error = ValueError("the step failed")
    error.__cause__ = cause
    return error


def raised_in(context: BaseException, *, suppressed: bool = False) -> BaseException:
    """An error that was raised while another was handled."""
    error = ValueError("the step failed")
    error.__context__ = context
    error.__suppress_context__ = suppressed
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
            True,
        ),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 17179869184 bytes."), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (raised_from(MemoryError()), True),
        (raised_in(MemoryError()), True),
        (raised_in(MemoryError(), suppressed=True), False),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (KeyboardInterrupt(), False),
    ],
    ids=lambda value: str(value)[:30],
)
def test_errors_that_say_so_are_known(error: BaseException, expected: bool) -> None:
    """GPUs, allocators of frameworks, the interpreter and the system each have their words; causes count too."""
    assert is_out_of_memory(error) is expected


def test_a_chain_that_bites_its_tail_ends() -> None:
    """Errors can be their own cause."""
    error = ValueError("a")
    error.__cause__ = raised_from(error)
    assert not is_out_of_memory(error)


def block(size: int, state: str, frames: int = 0) -> dict[str, Any]:
    """A piece of a segment."""
    return {
        "size": size, "requested_size": size - 1, "state": state,
        "frames": [{"filename": "model.py", "line": n, "name": "forward"} for n in range(frames)],
    }  # fmt: skip


class Cuda:
    """torch.cuda with one GPU in use and one that is not."""

    def is_initialized(self) -> bool:
        return True

    def device_count(self) -> int:
        return 2

    def get_device_name(self, index: int) -> str:
        return "NVIDIA H100 80GB HBM3"

    def mem_get_info(self, index: int) -> tuple[int, int]:
        raise RuntimeError("CUDA error: unspecified launch failure")

    def memory_stats(self, index: int) -> dict[str, int]:
        if index:
            return {"reserved_bytes.all.peak": 0}
        return {
            "allocated_bytes.all.current": 10 * MIB, "allocated_bytes.all.peak": 40 * MIB,
            "allocated_bytes.all.freed": 7, "allocated_bytes.small_pool.current": 1,
            "reserved_bytes.all.peak": 64 * MIB, "num_ooms": 1, "num_alloc_retries": 3,
        }  # fmt: skip

    def memory_snapshot(self) -> list[dict[str, Any]]:
        return [
            {
                "device": 0, "segment_type": "large", "total_size": 20 * MIB, "allocated_size": 12 * MIB,
                "requested_size": 11 * MIB, "is_expandable": False,
                "blocks": [
                    block(12 * MIB, "active_allocated", 12), block(3 * MIB, "inactive"), block(5 * MIB, "inactive"),
                ],
            },
            {
                "device": 0, "segment_type": "large", "total_size": 4 * MIB, "allocated_size": 0, "requested_size": 0,
                "is_expandable": False, "blocks": [block(4 * MIB, "inactive")],
            },
            {
                "device": 1, "segment_type": "small", "total_size": 2 * MIB, "allocated_size": 0, "requested_size": 0,
                "blocks": [],
            },
        ]  # fmt: skip


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    """A torch that has used the GPU."""
    made = Cuda()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=made, __version__="2.13.0"))
    return made


def failing(error: BaseException) -> BaseException:
    """The error, raised somewhere."""
    try:
        raise error
    except type(error) as caught:
        return caught


def test_the_allocator_is_told_in_sums(tmp_path: Path, cuda: Cuda) -> None:
    """Counters, pools and the largest blocks of the GPU in use; what a broken device cannot say is null."""
    handle = MemoryRunHandle(run_path=str(tmp_path))
    record = bundle_out_of_memory(handle, failing(OutOfMemoryError("CUDA out of memory")), step=7)
    assert record is not None
    assert (record.artifact_type, record.artifact_key, record.step) == ("oom_bundle", "out_of_memory", 7)
    (gpu,) = ArtifactStore(handle).load(record)["gpus"]
    assert (gpu["index"], gpu["free_bytes"], gpu["total_bytes"]) == (0, None, None)
    assert gpu["statistics"] == {
        "allocated_bytes.all.current": 10 * MIB, "allocated_bytes.all.peak": 40 * MIB,
        "reserved_bytes.all.peak": 64 * MIB, "num_ooms": 1, "num_alloc_retries": 3,
    }  # fmt: skip
    assert gpu["pools"] == [{
        "segment_type": "large", "expandable": False, "segments": 2, "reserved_bytes": 24 * MIB,
        "allocated_bytes": 12 * MIB, "requested_bytes": 11 * MIB, "largest_free_block_bytes": 5 * MIB,
        "blocks": {"active_allocated": 1, "inactive": 3}, "free_blocks": {str(2 * MIB): 1, str(4 * MIB): 2},
    }]  # fmt: skip
    (largest,) = gpu["largest_blocks"]
    assert (largest["size_bytes"], len(largest["frames"]), largest["frames"][0]) == (12 * MIB, 8, "model.py:0 forward")


def test_a_bundle_has_the_last_records_and_the_environment(tmp_path: Path) -> None:
    """What was recorded in the last 20 steps, where the error came from, and what the run ran on, as JSON."""
    with TrainingSession.start_run(project="oom", storage_dir=tmp_path) as session:
        metrics, data = MetricsLogger(session), DataDiagnostics(session)
        for step in range(100):
            metrics.log("train/loss", 1.0, step=step)
            data.log_batch(1.0, step=step, sample_ids=[f"s{step}"])
        session.flush()
        record = bundle_out_of_memory(session, failing(MemoryError("no room")))
        assert record is not None
        bundle = ArtifactStore(session).load(record)
    assert bundle["step"] == 99
    assert bundle["error"]["type"] == "MemoryError"
    assert bundle["error"]["message"] == "no room"
    assert bundle["error"]["frames"][-1].endswith("failing")
    assert [one["step"] for one in bundle["last_records"]["metric"]] == list(range(79, 100))
    assert [one["sample_ids"] for one in bundle["last_records"]["batch"]][-1] == ["s99"]
    assert bundle["environment"]["python"]
    assert bundle["process"]["process_rss_bytes"] > 0
    file = Path(session.run_path) / record.payload_relative_path
    assert json.loads(file.read_text("utf-8")) == bundle


def test_another_error_has_no_bundle(tmp_path: Path) -> None:
    """And costs nothing."""
    handle = MemoryRunHandle(run_path=str(tmp_path))
    assert bundle_out_of_memory(handle, ValueError("shapes do not match")) is None
    assert (handle.journal.next, handle.flushes) == (0, 0)


def test_off_is_off() -> None:
    """With QUARK_DISABLE no file is written."""
    assert bundle_out_of_memory(MemoryRunHandle(disabled=True), MemoryError()) is None


def test_a_part_that_cannot_be_had_does_not_cost_the_others(tmp_path: Path, cuda: Cuda) -> None:
    """The rest of the bundle is stored, and the fault is counted."""

    def broken() -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    cuda.memory_snapshot = broken  # type: ignore[method-assign]
    handle = MemoryRunHandle(run_path=str(tmp_path))
    record = bundle_out_of_memory(handle, MemoryError(), step=1)
    assert record is not None
    assert ArtifactStore(handle).load(record)["gpus"] == []
    assert [cause for cause, _ in handle.reported] == ["oom_bundle"]


def test_a_bundle_that_cannot_be_written_hides_nothing(tmp_path: Path) -> None:
    """A full or missing disk is reported; the error on its way is not replaced."""
    occupied = tmp_path / "file"
    occupied.write_text("no directory")
    handle = MemoryRunHandle(run_path=str(occupied))
    assert bundle_out_of_memory(handle, MemoryError(), step=1) is None
    assert handle.reported != []
