"""What `quark doctor` looks at: whether runs can be recorded here safely, and whether what was recorded is whole."""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..delivery.disk import PAGE, Disk
from ..delivery.place import writer_places
from ..delivery.signature import key_problem
from ..errors import QuarkError
from ..session.placement import Placement
from ..session.sync import leftover_runs
from ..storage.filesystem import network_file_system
from .check import Check
from .content import artifacts, unrecorded

LOW_SPACE = 1 << 30
NO_SPACE = 64 << 20
SLOW_SYNC_S = 0.1


def all_checks(placement: Placement) -> Iterator[Check]:
    """Every finding about a storage directory and this machine, one by one. Nothing is left behind."""
    for check in (
        _writable, _mappings, _sync_time, _space, _file_system, _sqlite, _store, artifacts, unrecorded, _journals,
        _signatures, _quarantine, _torch, _gpus,
    ):  # fmt: skip
        try:
            yield check(placement)
        except (QuarkError, OSError, sqlite3.Error) as error:
            name = check.__name__.strip("_").replace("_", " ")
            yield Check(name, "problem", f"{type(error).__name__}: {error}", "look at the message")


def _existing(path: Path) -> Path:
    """The directory itself, or the nearest one above it that exists."""
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def _writable(placement: Placement) -> Check:
    place = _existing(placement.storage_dir)
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".quark-doctor-") as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        return Check(
            "storage directory", "problem", f"{place} cannot be written ({error})",
            "choose another with --storage-dir or QUARK_STORAGE_DIR; until then runs go to the temporary directory",
        )  # fmt: skip
    made = "" if place == placement.storage_dir else f" (will be made in {place})"
    return Check("storage directory", "ok", f"{placement.storage_dir} can be written{made}")


def _in_scratch(placement: Placement, work: Callable[[Path], Check]) -> Check:
    """Do something in a directory that goes away, on the file system of the journals."""
    with tempfile.TemporaryDirectory(dir=_existing(placement.journal_root), prefix=".quark-doctor-") as scratch:
        return work(Path(scratch))


def _mappings(placement: Placement) -> Check:
    remedy = "set QUARK_JOURNAL_DIR to a directory on a local disk"

    def work(scratch: Path) -> Check:
        path = scratch / "segment"
        try:
            buffer = Disk().create_segment(path, 16 * PAGE)
        except OSError as error:
            detail = f"no segment could be mapped in {scratch.parent}: {error}"
            return Check("shared mappings", "problem", detail, remedy)
        buffer[:5] = b"quark"
        seen = path.read_bytes()[:5]
        buffer.close()
        if seen != b"quark":
            return Check("shared mappings", "problem", "what is stored into a mapped file is not read from it", remedy)
        return Check("shared mappings", "ok", "files can be allocated (posix_fallocate), mapped and read back")

    return _in_scratch(placement, work)


def _sync_time(placement: Placement) -> Check:
    def work(scratch: Path) -> Check:
        disk = Disk()
        times = []
        for _ in range(5):
            disk.append(scratch / "data", b"x" * 4096)
            began = time.perf_counter()
            disk.sync(scratch / "data")
            times.append(time.perf_counter() - began)
        middle = sorted(times)[len(times) // 2]
        detail = f"fdatasync takes {middle * 1e3:.2g} ms"
        if middle > SLOW_SYNC_S:
            return Check("disk sync", "warning", detail, "training does not wait for it; a power loss costs more")
        return Check("disk sync", "ok", detail)

    return _in_scratch(placement, work)


def _space(placement: Placement) -> Check:
    usage = shutil.disk_usage(_existing(placement.storage_dir))
    detail = f"{usage.free / (1 << 30):.1f} GiB of {usage.total / (1 << 30):.1f} GiB are free"
    if usage.free >= LOW_SPACE:
        return Check("free space", "ok", detail)
    remedy = "free some: on a full disk records are kept in memory, and dropped at last"
    return Check("free space", "problem" if usage.free < NO_SPACE else "warning", detail, remedy)


def _file_system(placement: Placement) -> Check:
    place = _existing(placement.storage_dir)
    kind = file_system_of(place)
    network = network_file_system(place)
    if network:
        return Check(
            "file system", "warning", f"{network} ({kind}) is a network file system: slower, its locks may not hold",
            "set QUARK_JOURNAL_DIR to a local disk, or choose a local storage directory",
        )  # fmt: skip
    return Check("file system", "ok", f"{kind or 'unknown'}, local")


def file_system_of(path: Path, mounts: str | None = None) -> str:
    """The type of the file system that holds ``path``, such as ext4; empty where it cannot be told."""
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text("utf-8", "replace")
        except OSError:
            return ""
    best, kind = "", ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ")
        if path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind


def _sqlite(placement: Placement) -> Check:
    detail = f"SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < (3, 35):
        return Check("SQLite", "problem", detail, "install a Python built with SQLite 3.35 or newer")
    return Check("SQLite", "ok", detail)


def _store(placement: Placement) -> Check:
    if not placement.db_path.exists():
        return Check("store", "ok", "there is no store yet; the first run makes it")
    placement.check()  # SQLite would wait for a pipe in the place of one of its files
    store = sqlite3.connect(f"{placement.db_path.as_uri()}?mode=ro", uri=True, timeout=10)
    try:
        found = [row[0] for row in store.execute("PRAGMA quick_check(5)")]
    finally:
        store.close()
    size = f"{placement.db_path.stat().st_size / (1 << 20):.1f} MiB"
    if found == ["ok"]:
        return Check("store", "ok", f"{placement.db_path} is whole, {size}")
    remedy = "copy the file away first; then: sqlite3 quark.db .recover"
    return Check("store", "problem", f"{placement.db_path} is damaged: {'; '.join(found)}", remedy)


def _journals(placement: Placement) -> Check:
    dead, alive = [], []
    for run_id in leftover_runs(placement):
        living = any(place.alive() for place in writer_places(placement.journals(run_id)))
        (alive if living else dead).append(run_id)
    if dead:
        return Check(
            "journals", "warning", f"{len(dead)} runs of dead processes wait to be delivered, {len(alive)} are running",
            f"quark sync {placement.storage_dir}",
        )  # fmt: skip
    return Check("journals", "ok", f"nothing is left behind; {len(alive)} runs are being recorded")


def _signatures(placement: Placement) -> Check:
    problem = key_problem()
    if problem is None:
        return Check("signatures", "ok", "journals are signed with a key that only you can read")
    return Check(
        "signatures", "warning", f"journals are not signed: {problem}",
        "chmod 700 the directory and 600 the key, or delete the key, or set XDG_STATE_HOME; until then what a killed "
        "process leaves reaches the store of its folder and no other sink",
    )  # fmt: skip


def _quarantine(placement: Placement) -> Check:
    found = [path for path in placement.journal_root.glob("*/*/quarantine-*.jsonl") if path.is_file()]
    if found:
        return Check(
            "set-aside records", "warning", f"{len(found)} files hold records that a sink could not take: {found[0]}",
            "each line there says why; delete the files when they are of no use",
        )  # fmt: skip
    return Check("set-aside records", "ok", "none")


def _torch(placement: Placement) -> Check:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return Check("torch", "ok", f"torch {version('torch')}")
    except PackageNotFoundError:
        remedy = 'pip install "quark-tracker[torch]"'
        return Check("torch", "ok", "torch is not installed; the demo and the hooks need it", remedy)


def _gpus(placement: Placement) -> Check:
    try:
        import pynvml
    except ImportError as error:
        return Check("GPUs", "warning", f"NVML cannot be used: {error}", "pip install nvidia-ml-py")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Check("GPUs", "ok", f"no NVIDIA GPU is seen ({error}); GPU fields of telemetry stay empty")
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        names = [pynvml.nvmlDeviceGetName(handle) for handle in handles]
    except pynvml.NVMLError as error:
        return Check("GPUs", "warning", f"NVML answers with an error: {error}", "look at nvidia-smi")
    finally:
        pynvml.nvmlShutdown()
    return Check("GPUs", "ok", ", ".join(map(str, names)) or "none")


__all__ = ["Check", "all_checks", "file_system_of"]
