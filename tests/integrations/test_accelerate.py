"""QuarkGeneralTracker under a real Accelerator: the run, its values, its end, and two processes."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import quark

pytest.importorskip("accelerate")
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState

from quark_integrations.callbacks.accelerate import QuarkGeneralTracker

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::UserWarning")]
ROOT = str(Path(__file__).parents[2])


@pytest.fixture(autouse=True)
def _own_state():
    """Accelerate keeps its state for the whole process."""
    yield
    for state in (AcceleratorState, PartialState):
        state._reset_state()
    GradientState._reset_state()


def accelerator(log_with: Any) -> Accelerator:
    """On the processor."""
    return Accelerator(cpu=True, log_with=log_with)


def train(made: Accelerator, steps: int = 3) -> list[float]:
    """A few steps of a small regression; the losses."""
    torch.manual_seed(0)
    net = torch.nn.Linear(2, 1)
    net, optimizer = made.prepare(net, torch.optim.SGD(net.parameters(), 0.1))
    losses = []
    for step in range(steps):
        loss = net(torch.ones(4, 2)).square().mean()
        made.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        made.log({"train/loss": loss.detach(), "phase": "warm-up"}, step=step, log_kwargs={"quark": {"epoch": 1}})
        losses.append(loss.item())
    return losses


def test_what_is_logged_is_recorded(tmp_path):
    """Project, configuration, values with step and epoch, texts, the machine; the end is completed."""
    made = accelerator(QuarkGeneralTracker(storage_dir=tmp_path, config={"seed": 1}, tags=["tiny"], name="first"))
    made.init_trackers("regression", config={"lr": 0.1, "api_key": "hush", "optimizer": {"name": "SGD"}})
    losses = train(made)
    made.log({"without": 1.0})
    made.end_training()
    with quark.open(tmp_path) as store:
        (run,) = store.runs(project="regression")
        assert run.config == {"lr": 0.1, "api_key": "[redacted]", "optimizer": {"name": "SGD"}, "seed": 1}
        assert (run.status, run.reason, run.name, list(run.tags)) == ("completed", "completed", "first", ["tiny"])
        series = run.series("train/loss")
        assert (series.steps.tolist(), series.epochs.tolist()) == ([0, 1, 2], [1, 1, 1])
        assert series.values.tolist() == losses
        assert run.series("without").steps.tolist() == [3]
        assert [event.payload for event in run.events("text_logged")] == [{"phase": "warm-up"}] * 3
        assert len(run.telemetry()) == 1
        assert not run.events("config_updated")


def test_by_its_name(tmp_path):
    """``log_with="quark"``: options come with ``init_trackers``, and the session is there to be used."""
    made = accelerator("quark")
    made.init_trackers("by-name", config={"lr": 0.1}, init_kwargs={"quark": {"storage_dir": tmp_path}})
    run = made.get_tracker("quark", unwrap=True)
    assert (run.project_name, run.context.run.config) == ("by-name", {"lr": 0.1})
    made.end_training()
    assert run.status == "completed"


def test_a_project_of_its_own_and_a_configuration_that_comes_later(tmp_path):
    """The tracker's project goes before; what is stored after the start is configuration, without secrets."""
    tracker = QuarkGeneralTracker("own", storage_dir=tmp_path)
    made = accelerator(tracker)
    made.init_trackers("other")
    tracker.store_init_configuration({"lr": 0.1, "api_key": "hush"})
    made.end_training()
    with quark.open(tmp_path) as store:
        (run,) = store.runs(project="own")
        assert run.config == {"lr": 0.1, "api_key": "[redacted]"}


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError, "failed"), (KeyboardInterrupt, "interrupted"), (SystemExit, "interrupted")]
)
def test_an_end_in_a_finally_is_that_of_the_exception(tmp_path, error, status):
    """``end_training`` while an exception is under way is no success; the exception goes on."""
    made = accelerator(QuarkGeneralTracker(storage_dir=tmp_path))
    made.init_trackers("ends")
    with pytest.raises(error):
        try:
            train(made)
            raise error("boom")
        finally:
            made.end_training()
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        assert run.status == status
        assert len(run.events(("runtime_error", "runtime_interruption"))) == 1


def test_an_exception_from_before_is_none_of_its_own(tmp_path):
    """A training within an ``except`` block is judged by itself, and a stop that was asked for is told."""
    try:
        raise ValueError("before")
    except ValueError:
        for stopped in (False, True):
            tracker = QuarkGeneralTracker(storage_dir=tmp_path)
            made = accelerator(tracker)
            made.init_trackers("ends")
            if stopped:
                tracker.run.stop()
            made.end_training()
    with quark.open(tmp_path) as store:
        assert sorted(run.reason for run in store.runs()) == ["completed", "stopped"]


def test_a_run_of_the_users_own(tmp_path):
    """It is written to and left open, and told of the configuration."""
    with quark.start_run(project="mine", storage_dir=tmp_path) as run:
        made = accelerator(QuarkGeneralTracker(run=run))
        made.init_trackers("other", config={"lr": 0.1})
        losses = train(made)
        made.end_training()
        assert run.status == "running"
    with quark.open(tmp_path) as store:
        (view,) = store.runs()
        assert (view.project, view.config) == ("mine", {"lr": 0.1})
        assert view.series("train/loss").values.tolist() == losses


def test_the_next_training_is_the_next_run(tmp_path):
    """After ``end_training`` nothing is recorded, until ``init_trackers`` is called again."""
    made = accelerator(QuarkGeneralTracker(storage_dir=tmp_path))
    for number in range(2):
        made.trackers.clear()
        made.init_trackers("again")
        made.log({"number": number}, step=0)
        made.end_training()
        made.log({"number": 9}, step=1)
    with quark.open(tmp_path) as store:
        runs = sorted(store.runs(), key=lambda run: run.started_at)
        assert [run.series("number").values.tolist() for run in runs] == [[0.0], [1.0]]


def test_it_is_pickled_by_its_name(tmp_path):
    """A tracker that has not started can be sent to another process."""
    tracker = pickle.loads(pickle.dumps(QuarkGeneralTracker("sent", storage_dir=tmp_path)))
    assert type(tracker) is QuarkGeneralTracker
    assert (tracker.name, tracker.requires_logging_directory, tracker.main_process_only) == ("quark", False, True)


def test_without_accelerate_it_says_what_to_install():
    """The module can be loaded; the name needs Accelerate, and the error has the line for pip."""
    program = (
        "import sys; sys.modules['accelerate'] = None\n"
        "import quark_integrations.callbacks.accelerate as ours\n"
        "assert 'torch' not in sys.modules\n"
        "ours.QuarkGeneralTracker\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert 'pip install "quark-tracker[accelerate]"' in done.stderr


RANKS = """
import os, sys, warnings; warnings.simplefilter("ignore")
from accelerate import Accelerator
from quark_integrations.callbacks.accelerate import QuarkGeneralTracker
import torch
tracker = QuarkGeneralTracker(storage_dir=sys.argv[1])
made = Accelerator(cpu=True, log_with=tracker)
made.init_trackers("job", config={"lr": 0.1})
net = torch.nn.Linear(2, 1)
net, optimizer = made.prepare(net, torch.optim.SGD(net.parameters(), 0.1))
for step in range(4):
    if sys.argv[2] == "breaks" and step == 2:
        raise ValueError("boom")
    loss = net(torch.full((4, 2), 1.0 + made.process_index)).square().mean()
    made.backward(loss); optimizer.step(); optimizer.zero_grad()
    made.log({"loss": made.gather(loss.detach()).mean().item(), "processes": made.num_processes}, step=step)
assert (tracker.run is not None) == made.is_main_process
made.end_training()
os._exit(0)
"""
"""Left without an end of the interpreter: gloo's threads outlive ``destroy_process_group``, and one that still holds
a tensor then aborts the process ("terminate called without an active exception"; pytorch/pytorch, pull request
179291)."""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["ends", "breaks"])
def test_two_processes_are_one_run(tmp_path, how):
    """Two real ranks over gloo: one run of the main process, each value once; an uncaught exception fails it."""
    script = tmp_path / "job.py"
    script.write_text(RANKS)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ROOT, "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, *launcher, str(script), str(tmp_path), how]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280, env=environment)
    assert (done.returncode == 0) == (how == "ends"), done.stderr
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        steps = list(range(4 if how == "ends" else 2))
        series = run.series("loss", all_attempts=True)
        assert (series.steps.tolist(), set(series.ranks.tolist())) == (steps, {0})
        assert set(run.series("processes").values.tolist()) == {2.0}
        assert run.status == {"ends": "completed", "breaks": "failed"}[how]
    assert not any((tmp_path / ".quark" / "journal").iterdir())


@pytest.mark.parametrize("how", ["instance", "name"])
def test_every_fold_is_a_run(tmp_path, how):
    """``init_trackers`` for each fold: Accelerate starts the old trackers again, and each value is recorded once."""
    made = accelerator(QuarkGeneralTracker(storage_dir=tmp_path) if how == "instance" else "quark")
    options = {"init_kwargs": {"quark": {"storage_dir": tmp_path}}} if how == "name" else {}
    for fold in range(3):
        made.init_trackers(f"fold{fold}", config={"fold": fold}, **options)
        assert made.get_tracker("quark", unwrap=True).project_name == f"fold{fold}"
        for step in range(2):
            made.log({"loss": fold}, step=step)
    made.end_training()
    with quark.open(tmp_path) as store:
        runs = sorted(store.runs(), key=lambda run: run.project)
        assert [(run.project, run.config["fold"], run.status) for run in runs] == [
            (f"fold{fold}", fold, "completed") for fold in range(3)
        ]
        assert [run.series("loss").values.tolist() for run in runs] == [[fold] * 2 for fold in range(3)]


def test_the_other_processes_have_a_run_that_records_nothing(tmp_path, monkeypatch):
    """``get_tracker("quark", unwrap=True)`` is a session there too, so that the same script runs in all of them."""
    monkeypatch.setattr(PartialState, "is_main_process", property(lambda state: False))
    tracker = QuarkGeneralTracker(storage_dir=tmp_path)
    tracker.start()
    assert isinstance(tracker.tracker, quark.DisabledSession)
    assert not tracker.tracker.stop_requested
    tracker.tracker.summary["best"] = 1
    tracker.finish()
    assert list(tmp_path.iterdir()) == []
