"""A trainer that is killed: what its W&B twin lacks, quark sync brings, once, and with the true end."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import quark
from quark.session.sync import sync
from quark_integrations.sinks.wandb import WandbSink, translog

from .wandb_files import Written, files, wandb_environment, written

wandb = pytest.importorskip("wandb", reason='the W&B client is needed: pip install "quark-tracker[wandb]"')

pytestmark = pytest.mark.fault

TRAINER = """
import os, sys, time, quark
from quark_integrations.sinks.wandb import WandbSink
folder, moment = sys.argv[1:]
sink = WandbSink(mode="offline", dir=folder)
if moment == "close":
    finish = sink.end_twin
    sink.end_twin = lambda *told: (finish(*told), os.kill(os.getpid(), 9))
run = quark.start_run(project="p", run_id="r", name="n", config={"lr": 0.1}, storage_dir=folder + "/q", trackers=[sink])
for step in range(2000):
    run.log({"loss": float(step), "acc": step / 7}, step=step)
    if step == 900 and moment in ("middle", "late"):
        while run.health()["sinks"]["wandb"]["pending"]:
            time.sleep(0.01)
        time.sleep(2.0 if moment == "late" else 0)
if moment != "close":
    quark.add_tag("t")
    if moment in ("late", "middle"):
        time.sleep(0.4)
    os.kill(os.getpid(), 9)
run.finish("interrupted")
time.sleep(30)
"""


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Nothing of W&B lies outside of tmp_path, nobody is logged in, and no process of it is left."""
    for name, value in wandb_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    yield
    wandb.teardown()


def killed(folder: Path, moment: str) -> None:
    done = subprocess.run([sys.executable, "-c", TRAINER, str(folder), moment], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def points(found: Written) -> list[tuple[str, int | None, float]]:
    return sorted(found.points(), key=lambda point: (point[0], point[1] or 0))


EXPECTED = sorted(
    point for step in range(2000) for point in (("loss", step, float(step)), ("acc", step, step / 7))
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["start", "middle", "late", "close"])
def test_what_a_killed_trainer_left_is_delivered_once(tmp_path: Path, moment: str) -> None:
    """Killed at the start, in the middle, behind what is on the disk, and at the end: equal to the store, nothing
    twice, and the end is that of the run. A second sync does nothing."""
    killed(tmp_path, moment)
    before = len(points(written(tmp_path)))
    report = sync(tmp_path / "q")
    assert not report.problems, report.problems
    found = written(tmp_path)
    assert points(found) == EXPECTED
    assert {run.run_id for run in found.runs} == {"r"} and {run.display_name for run in found.runs} <= {"n", ""}
    assert found.config["lr"] == 0.1 and found.config["quark"]["environment"]["python"]
    with quark.open(tmp_path / "q", sync=False) as store:
        run = store.run("r")
        assert found.exits[-1] == {"failed": 1, "interrupted": 255}[run.status]
        assert sorted(run.series("loss").values.tolist()) == [float(step) for step in range(2000)]
    count = len(files(tmp_path))
    assert sync(tmp_path / "q").delivered == {} and len(files(tmp_path)) == count
    assert {"start": before == 0, "late": before >= 1800, "close": before == 4000}.get(moment, True)


@pytest.mark.slow
def test_a_killed_run_that_is_resumed(tmp_path: Path) -> None:
    """The next attempt sends what the first one had not brought to the disk, then its own."""
    killed(tmp_path, "middle")
    with quark.resume_run(
        run_id="r", storage_dir=tmp_path / "q", trackers=[WandbSink(mode="offline", dir=tmp_path)]
    ) as run:
        run.log({"loss": -1.0}, step=2000)
    found = written(tmp_path)
    assert points(found) == sorted([*EXPECTED, ("loss", 2000, -1.0)])
    assert found.exits[-1] == 0


OF_THE_USER = """
import os, sys, time, wandb, quark
from quark_integrations.sinks.wandb import WandbSink
folder = sys.argv[1]
mine = wandb.init(mode="offline", project="theirs", dir=folder, id="mine", name="my own", config={"own": 1})
run = quark.start_run(project="p", run_id="r", name="n", storage_dir=folder + "/q", trackers=[WandbSink(dir=folder)])
for step in range(2000):
    run.log({"loss": float(step), "acc": step / 7}, step=step)
    if step == 500:
        mine.log({"own/metric": 1.0})
    if step == 900:
        while run.health()["sinks"]["wandb"]["pending"]:
            time.sleep(0.01)
        time.sleep(2.0)
os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
def test_a_run_of_the_users_whose_trainer_is_killed(tmp_path: Path) -> None:
    """What it lacks comes into the same run, once, and it keeps its name and its own values."""
    done = subprocess.run([sys.executable, "-c", OF_THE_USER, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not sync(tmp_path / "q").problems
    found = written(tmp_path)
    assert points(found) == sorted([*EXPECTED, ("own/metric", None, 1.0)], key=lambda point: (point[0], point[1] or 0))
    assert {(run.run_id, run.project) for run in found.runs} == {("mine", "theirs")}
    assert {run.display_name for run in found.runs} == {"my own", ""} and found.config["own"] == 1


HANGING = """
import sys, time, quark
from quark_integrations.sinks.wandb import WandbSink
class Stuck(WandbSink):
    def open_twin(self, facts):
        time.sleep(60)
folder, sinks = sys.argv[1] + "/q", [Stuck(mode="offline")]
with quark.start_run(project="p", storage_dir=folder, trackers=sinks, close_timeout_s=1) as run:
    begin = time.perf_counter()
    for step in range(1000):
        run.log({"loss": 1.0}, step=step)
    print(time.perf_counter() - begin < 30)
raise SystemExit(7)
"""


@pytest.mark.slow
def test_a_backend_that_hangs_changes_nothing_of_the_training(tmp_path: Path) -> None:
    """The loop ends, the process ends with its own exit code, and the records wait."""
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-c", HANGING, str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (7, "True"), done.stderr
    assert time.monotonic() - begin < 50
    assert any((tmp_path / "q" / ".quark" / "journal").iterdir())


EXITS = """
import os, sys, quark
from quark_integrations.sinks.wandb import WandbSink
sink = WandbSink(mode="offline", dir=sys.argv[1])
with quark.start_run(project="p", storage_dir=sys.argv[1] + "/q", trackers=[sink]) as run:
    run.log({"loss": 1.0}, step=1)
    if sys.argv[2] == "error":
        raise ValueError("no")
    if sys.argv[2] == "term":
        os.kill(os.getpid(), 15)
sys.exit(5)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("way", "code", "exit_code"), [("exit", 5, 0), ("error", 1, 1), ("term", -15, 255)])
def test_the_trainers_exit_code_is_its_own(tmp_path: Path, way: str, code: int, exit_code: int) -> None:
    """W&B's hooks at exit change nothing: the process ends as it would without, and the twin as the run did.

    A process that is told to end does so in time: where W&B takes longer to open the run, quark sync ends it.
    """
    done = subprocess.run([sys.executable, "-c", EXITS, str(tmp_path), way], capture_output=True, text=True)
    assert done.returncode in (code, 128 - code), done.stderr
    assert not sync(tmp_path / "q").problems
    assert written(tmp_path).exits == [exit_code]


def test_a_file_is_read_when_its_writer_has_let_go(tmp_path: Path) -> None:
    """The wandb-core of a killed trainer writes on for a while: whoever holds the file is seen, and waited for."""
    file = tmp_path / "run-r.wandb"
    with file.open("wb"):
        assert translog.is_open(file)
    assert not translog.is_open(file)
    assert not translog.is_open(tmp_path / "missing")
