"""Signs of life of real processes, at a real service and in a folder."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import quark

from .conftest import QuickService, wait_until

TRAINING = """
import sys, time
import quark
with quark.start_run(project="p", run_id="r") as run:
    run.log({"loss": 1.0}, step=0)
    run.flush()
    print("started", flush=True)
    for step in range(int(sys.argv[1])):
        time.sleep(0.1)
"""


def started(*arguments: str) -> subprocess.Popen[str]:
    """A process that has started the run ``r`` and then does nothing for some tenths of seconds."""
    process = subprocess.Popen([sys.executable, "-c", TRAINING, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


@pytest.fixture
def training(request: pytest.FixtureRequest) -> subprocess.Popen[str]:
    """See ``started``; it is ended after the test."""
    process = started("600")
    request.addfinalizer(lambda: (process.kill(), process.communicate()))
    return process


def test_a_run_that_only_beats_lives_and_a_killed_one_is_lost(
    service: QuickService, training: subprocess.Popen[str]
) -> None:
    """Heartbeats alone keep a silent run alive; without them it reads stale, then failed with the reason lost."""
    with quark.connect() as store:
        view = store.run("r")
        wait_until(lambda: view.control().last_seen)
        time.sleep(2.5)
        assert (view.refresh().status, view.stale) == ("running", False)
        assert view.last_seen > view.started_at
        training.kill()
        wait_until(lambda: view.refresh().stale or view.status == "failed")
        wait_until(lambda: view.refresh().status == "failed")
        assert view.reason == "lost"
        assert not view.stale


def test_a_suspended_run_comes_back(service: QuickService, training: subprocess.Popen[str]) -> None:
    """A process that was stopped for longer than the grace period is lost, and running again when it goes on."""
    with quark.connect() as store:
        view = store.run("r")
        wait_until(lambda: view.control().last_seen)
        os.kill(training.pid, signal.SIGSTOP)
        wait_until(lambda: view.refresh().status == "failed")
        os.kill(training.pid, signal.SIGCONT)
        wait_until(lambda: view.refresh().status == "running")
        assert view.reason is None


def test_a_restart_of_the_service_ends_nobody_s_run(
    service: QuickService, training: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that was away for longer than the grace period gives every run its whole time again."""
    with quark.connect() as store:
        view = store.run("r")
        wait_until(lambda: view.control().last_seen)
        service.stop(signal.SIGKILL)
        time.sleep(3)
        service.start()
        for _ in range(30):
            assert view.refresh().status == "running"
            time.sleep(0.1)


def test_a_run_in_a_folder_is_stale_when_its_process_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder the lock of the journal tells life, so death is seen at once; heartbeats only move last_seen."""
    monkeypatch.setenv("QUARK_STORAGE_DIR", str(tmp_path))
    monkeypatch.setenv("QUARK_HEARTBEAT_INTERVAL", "0.2")
    process = started("600")
    with quark.open(tmp_path, sync=False) as store:
        view = store.run("r")
        wait_until(lambda: view.control().last_seen)
        first = view.last_seen
        wait_until(lambda: view.last_seen > first)
        assert not view.stale
        process.kill()
        process.communicate()
        assert view.refresh().status == "running"
        assert view.stale
    with quark.open(tmp_path) as store:
        assert (store.run("r").reason, store.run("r").stale) == ("lost", False)


def test_no_thread_is_left_and_zero_turns_it_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread ends with its run; with an interval of 0 there is none."""
    monkeypatch.delenv("QUARK_PERSISTENCE_URL", raising=False)

    def beating() -> bool:
        return any(thread.name == "quark-heartbeat" for thread in threading.enumerate())

    with quark.start_run(project="p", storage_dir=tmp_path):
        assert beating()
    assert not beating()
    monkeypatch.setenv("QUARK_HEARTBEAT_INTERVAL", "0")
    with quark.start_run(project="p", storage_dir=tmp_path):
        assert not beating()
