"""The real W&B client, online and by ``wandb sync``, against a double of the server, which cannot be had here."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import quark
from quark.session.sync import sync
from quark_integrations.sinks.wandb import WandbSink

from .test_wandb_kill import EXPECTED, killed
from .wandb_files import files, wandb_environment
from .wandb_server import HostedRun, WandbServer

wandb = pytest.importorskip("wandb", reason='the W&B client is needed: pip install "quark-tracker[wandb]"')

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A server, and a user who is logged in there."""
    with WandbServer() as running:
        settings = {**wandb_environment(tmp_path), "WANDB_BASE_URL": running.url, "WANDB_API_KEY": "a" * 40}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("WANDB_MODE", raising=False)
        yield running
        running.stuck.clear()
        running.freed.set()
        wandb.teardown()


def points(run: HostedRun) -> list[tuple[str, int, float]]:
    return sorted(
        (key, row["quark/step"], row[key]) for row in run.history for key in row if key in ("loss", "acc")
    )  # fmt: skip


def test_a_run_online(tmp_path: Path, server: WandbServer) -> None:
    """Whoever is logged in gets it online: rows, name, config and the end."""
    with quark.start_run(
        project="p", name="n", run_id="r", config={"lr": 0.1}, storage_dir=tmp_path / "q",
        trackers=[WandbSink(dir=tmp_path)],
    ) as run:  # fmt: skip
        for step in range(500):
            run.log({"loss": float(step)}, step=step)
    hosted = server.runs["r"]
    assert points(hosted) == [("loss", step, float(step)) for step in range(500)]
    assert (hosted.name, hosted.config["lr"]["value"], hosted.complete, hosted.exit_code) == ("n", 0.1, True, 0)
    assert hosted.summary["quark/status"] == "completed"


def test_offline_files_of_a_killed_trainer_become_one_run(tmp_path: Path, server: WandbServer) -> None:
    """``wandb sync`` of the killed trainer's file, then of the one that quark sync wrote: every row once, in order."""
    killed(tmp_path, "late")
    assert not sync(tmp_path / "q").problems
    folders = [str(path.parent) for path in files(tmp_path)]
    assert len(folders) == 2
    for folder in sorted(folders):  # one after another: together each would begin where the server stood before
        order = [sys.executable, "-m", "wandb", "sync", "--yes", folder]
        done = subprocess.run(order, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert points(server.runs["r"]) == EXPECTED
    assert (server.runs["r"].complete, server.runs["r"].exit_code) == (True, 1)


TRAINER = """
import os, sys, time, quark
from quark_integrations.sinks.wandb import WandbSink
run = quark.start_run(project="p", run_id="r", storage_dir=sys.argv[1] + "/q", trackers=[WandbSink(dir=sys.argv[1])])
for step in range(400):
    run.log({"loss": float(step)}, step=step)
    if step == 200:
        time.sleep(float(sys.argv[2]))
os.kill(os.getpid(), 9)
"""


@pytest.mark.fault
@pytest.mark.parametrize("pause", ["1", "20"])
def test_a_trainer_that_is_killed_online(tmp_path: Path, server: WandbServer, pause: str) -> None:
    """What the server holds is not sent again, what it lacks is, whatever W&B's own file holds."""
    done = subprocess.run([sys.executable, "-c", TRAINER, str(tmp_path), pause], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    if pause == "20":
        assert len(server.runs["r"].history) > 100
    report = sync(tmp_path / "q")
    assert not report.problems, report.problems
    assert points(server.runs["r"]) == [("loss", step, float(step)) for step in range(400)]
    assert server.runs["r"].exit_code == 1


def test_a_server_that_hangs_holds_up_nothing(tmp_path: Path, server: WandbServer) -> None:
    """The loop and the end of the run take their time, not the server's; the records wait for quark sync."""
    server.stuck.set()
    begin = time.monotonic()
    with quark.start_run(
        project="p", run_id="r", storage_dir=tmp_path / "q", trackers=[WandbSink(dir=tmp_path)], close_timeout_s=1
    ) as run:
        for step in range(100):
            run.log({"loss": float(step)}, step=step)
    assert time.monotonic() - begin < 30
    assert run.health()["sinks"]["wandb"]["pending"] > 0
    assert any((tmp_path / "q" / ".quark" / "journal").iterdir())
