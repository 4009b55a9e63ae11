"""Disks that are full, read-only or gone, clocks that go back: the training goes on, what can be kept is kept."""

import errno
import os
import re
import shutil
import subprocess
import time

import pytest

import quark
from quark.delivery import journal as journal_module
from quark.session.sync import sync

pytestmark = pytest.mark.fault


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 6 MiB that can be remounted; these tests need the right to mount."""
    place = tmp_path / "small"
    place.mkdir()
    result = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if result.returncode:
        pytest.skip(f"missing the right to mount a file system: {result.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def remount(place, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


def values(directory, run_id, key="m"):
    with quark.open(directory) as store:
        return store.run(run_id).series(key).values.tolist()


def test_a_disk_that_fills_up_and_is_freed_again(small_disk, caplog):
    """On a full disk the loop goes on and records wait; when there is room again every one of them arrives, once."""
    with quark.start_run(project="full", storage_dir=small_disk, close_timeout_s=30) as run:
        metrics = quark.MetricsLogger(run)
        for number in range(100_000):  # three times what fits
            metrics.log("m", float(number), step=number)
        assert run.health()["dropped"] == 0
        assert any(cause in run.health()["faults"] for cause in ("journal_in_memory", "sink_store"))
        remount(small_disk, "size=200m")
        assert run.flush(30)
    assert values(small_disk, run.run_id) == [float(number) for number in range(100_000)]
    assert run.health()["dropped"] == 0


def test_a_disk_that_stays_full_costs_records_but_not_the_training(small_disk, monkeypatch, caplog):
    """With the memory's bound reached too, records are dropped, counted and shown; each call still returns at once."""
    monkeypatch.setattr(journal_module, "MEMORY_LIMIT", 2 << 20)
    (small_disk / "filler").write_bytes(bytes(4 << 20))
    with quark.start_run(project="full", storage_dir=small_disk, close_timeout_s=1) as run:
        metrics = quark.MetricsLogger(run)
        slowest = 0.0
        for number in range(60_000):
            began = time.perf_counter()
            metrics.log("m", float(number), step=number)
            slowest = max(slowest, time.perf_counter() - began)
    health = run.health()
    assert health["dropped"] > 0
    assert health["faults"]["journal_full"]["count"] > 0
    assert run.status == "completed"
    assert slowest < 1.0


def test_what_a_full_disk_took_and_what_it_did_not(small_disk, caplog):
    """The last word of a run on a disk that stays full counts what is lost apart from what waits for a sync."""
    with quark.start_run(project="full", run_id="full", storage_dir=small_disk, close_timeout_s=1) as run:
        for number in range(80_000):
            run.log({"m": float(number)}, step=number)
    lost = re.search(r"(\d+) records of run full are lost", caplog.text)
    assert lost is not None
    assert "records wait in" in caplog.text
    assert run.health()["dropped"] == int(lost[1]) > 0
    remount(small_disk, "size=200m")
    assert sync(small_disk).delivered["full"] > 0
    end = 2  # the run's last event and its end are among what is lost
    assert len(values(small_disk, "full")) == 80_000 + end - int(lost[1])


def test_a_read_only_directory_gives_way_to_one_that_can_be_written(small_disk, tmp_path, monkeypatch, caplog):
    """A run in a read-only directory is recorded elsewhere, and one warning says where."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    remount(small_disk, "ro")
    with quark.start_run(project="ro", storage_dir=small_disk) as run:
        quark.MetricsLogger(run).log("m", 1.0, step=0)
    assert str(small_disk) in caplog.text
    assert run.storage_dir != str(small_disk)
    assert values(run.storage_dir, run.run_id) == [1.0]


def test_a_directory_that_is_removed_in_mid_run(tmp_path):
    """Deleting the storage directory under a running training costs its records, never the training."""
    store = tmp_path / "store"
    with quark.start_run(project="gone", storage_dir=store, close_timeout_s=1) as run:
        metrics = quark.MetricsLogger(run)
        metrics.log("m", 0.0, step=0)
        run.flush()
        shutil.rmtree(store)
        for number in range(50_000):
            metrics.log("m", float(number), step=number)
    assert run.status == "completed"


def test_a_path_that_is_a_file(tmp_path, caplog, monkeypatch):
    """A storage directory that is a file is treated like one that cannot be written."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    with quark.start_run(project="file", storage_dir=tmp_path / "file") as run:
        quark.MetricsLogger(run).log("m", 1.0, step=0)
    assert (tmp_path / "file").read_text() == "x"
    assert values(run.storage_dir, run.run_id) == [1.0]


def test_a_clock_that_is_set_back_changes_no_order(tmp_path, monkeypatch):
    """Records keep the order in which they were made, whatever the clock says; no duration becomes negative."""
    now = [2_000_000_000_000_000_000]
    monkeypatch.setattr("quark.producers.metrics.time_ns", lambda: now[0])
    with quark.start_run(project="clock", storage_dir=tmp_path) as run:
        metrics = quark.MetricsLogger(run)
        for number in range(6):
            now[0] -= 3600 * 10**9
            metrics.log("m", float(number), step=number)
        for _ in run.steps(range(3), progress=False):
            pass
    assert values(tmp_path, run.run_id) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert all(value >= 0 for value in values(tmp_path, run.run_id, "system/runtime/step_time_ms"))


def test_few_file_descriptors_are_enough(tmp_path):
    """A process that has no descriptor left keeps training, and what was recorded is there afterwards."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with quark.start_run(project="fds", storage_dir=tmp_path) as run:
        metrics = quark.MetricsLogger(run)
        metrics.log("m", 0.0, step=0)
        run.flush()
        used = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
        try:
            for number in range(1, 20_000):
                metrics.log("m", float(number), step=number)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert values(tmp_path, run.run_id) == [float(number) for number in range(20_000)]


def test_a_file_system_without_mappings(tmp_path, monkeypatch, caplog):
    """Where files cannot be mapped the journal lies in shared memory behind a link; nothing changes for the user.

    No file system without shared mappings can be had here: the refusal is played by a patched call.
    """
    from quark.delivery.disk import Disk
    from quark.session import placement

    made = Disk.create_segment

    def refuse(self, path, size):
        if "shm" not in str(path.resolve()):
            raise OSError(errno.ENODEV, "No such device")
        return made(self, path, size)

    (tmp_path / "shm").mkdir()
    monkeypatch.setattr(placement, "SHARED_MEMORY", tmp_path / "shm")
    monkeypatch.setattr(Disk, "create_segment", refuse)
    with quark.start_run(project="link", storage_dir=tmp_path / "store") as run:
        assert (tmp_path / "store" / ".quark" / "journal" / run.run_id).is_symlink()
        quark.MetricsLogger(run).log("m", 1.0, step=0)
        assert "journal_in_memory" not in run.health()["faults"]
    assert "cannot be mapped" in caplog.text
    assert values(tmp_path / "store", run.run_id) == [1.0]
    assert not list((tmp_path / "store" / ".quark" / "journal").iterdir())
    assert not [path for path in (tmp_path / "shm").rglob("*") if path.is_file()]
