"""How the run of a Lightning fit begins and ends: every way out, resuming, tuning, a job of many processes."""

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

import quark

pytest.importorskip("lightning.pytorch")
from lightning.pytorch.callbacks import EarlyStopping, LearningRateFinder, ModelCheckpoint, Timer
from lightning.pytorch.tuner import Tuner

from quark_integrations.callbacks.lightning import QuarkCallback, QuarkLogger

from .lightning_models import Tiny, loader, trainer

pytestmark = [
    pytest.mark.torch, pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]  # fmt: skip


class Ends(quark.TrackerBase):
    """Keeps what it is told of the end."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.steps: list[int] = []

    def on_step(self, state: Any) -> None:
        self.steps.append(state.step)

    def on_stop(self, final_state: Any, reason: str) -> None:
        self.reasons.append(reason)


class Leaves(Tiny):
    """Leaves the training by doing something in its fourth step."""

    def __init__(self, act: Any) -> None:
        super().__init__()
        self.act = act

    def training_step(self, batch, index):
        if self.global_step == 3:
            self.act(self)
        return super().training_step(batch, index)


def raise_(error: BaseException) -> Any:
    def act(module):
        raise error

    return act


def stop_trainer(module):
    module.trainer.should_stop = True


def stop_run(module):
    found = quark.current_run()
    assert found is not None
    found.stop()


STOPPER = {"monitor": "train_loss", "patience": 0, "mode": "max", "check_on_train_epoch_end": True}
WAYS = {
    # way: (Trainer's options, callbacks, what the module does, exception, status, reason)
    "epochs": ({}, (), None, None, "completed", "completed"),
    "steps": ({"max_steps": 5, "max_epochs": -1}, (), None, None, "completed", "max_steps"),
    "early stopping": ({"max_epochs": 9}, (EarlyStopping,), None, None, "completed", "criterion_met"),
    "time": ({"max_epochs": 10**6}, (Timer,), None, None, "completed", "stopped"),
    "should_stop": ({}, (), stop_trainer, None, "completed", "stopped"),
    "should_stop in the last epoch": ({"max_epochs": 1}, (), stop_trainer, None, "completed", "stopped"),
    "should_stop in the last step": (
        {"max_epochs": 1, "limit_train_batches": 4}, (), stop_trainer, None, "completed", "completed"
    ),
    "stop of the run": ({}, (), stop_run, None, "completed", "stopped"),
    "exception": ({}, (), raise_(ValueError("boom")), ValueError, "failed", "error"),
    "Ctrl-C": ({}, (), raise_(KeyboardInterrupt()), SystemExit, "interrupted", "interrupted"),
    "sys.exit": ({}, (), raise_(SystemExit(3)), SystemExit, "interrupted", "interrupted"),
    "nothing to train": ({"limit_train_batches": 0}, (), None, None, "completed", "completed"),
}  # fmt: skip


@pytest.fixture
def _ctrl_c():
    """Lightning turns Ctrl-C off once it has had one."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
@pytest.mark.parametrize("attached", ["callback", "logger"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_out_has_its_status_and_reason(tmp_path, way, attached):
    """However a fit ends the run says so, and trackers are told once."""
    options, callbacks, act, error, status, reason = WAYS[way]
    made = {EarlyStopping: lambda: EarlyStopping(**STOPPER), Timer: lambda: Timer({"milliseconds": 50})}  # type: ignore[arg-type]
    ends = Ends()
    ours: Any = (QuarkCallback if attached == "callback" else QuarkLogger)(storage_dir=tmp_path, trackers=[ends])
    callbacks = [made[cls]() for cls in callbacks]
    fitter = trainer(tmp_path, [ours, *callbacks], **options) if attached == "callback" else trainer(
        tmp_path, callbacks, ours, **options
    )  # fmt: skip
    module = Tiny() if act is None else Leaves(act)
    if error is None:
        fitter.fit(module, loader())
    else:
        with pytest.raises(error):
            fitter.fit(module, loader())
    if act in (stop_trainer, stop_run):
        assert fitter.global_step == 4
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        assert (run.status, run.reason, ends.reasons) == (status, reason, [reason])
        messages = [event.payload["message"] for event in run.events(("runtime_error", "runtime_interruption"))]
        assert messages == ([] if status == "completed" else messages[:1])
        assert ("boom" in "".join(messages)) == (way == "exception")
        assert len(run.events("early_stopped")) == (way == "early stopping")


def test_trackers_are_told_every_step(tmp_path):
    """on_step fires once a step with its values, and the last step is the final state."""
    ends = Ends()
    trainer(tmp_path, [QuarkCallback(storage_dir=tmp_path, trackers=[ends])]).fit(Tiny(), loader())
    assert ends.steps == list(range(12))


def interrupted_fit(directory, module=None, **options):
    """A fit that breaks off in its tenth step, with a checkpoint of the end of its first epoch."""
    saver = ModelCheckpoint(dirpath=directory / "saved", filename="first", save_top_k=-1, every_n_epochs=1)
    callback = QuarkCallback(storage_dir=directory, **options)

    class Breaks(Tiny):
        def training_step(self, batch, index):
            if self.global_step == 9:
                raise ValueError("boom")
            return super().training_step(batch, index)

    with pytest.raises(ValueError, match="boom"):
        trainer(directory, [callback, saver], enable_checkpointing=True, max_epochs=3).fit(
            Breaks(), loader(), loader(2)
        )
    return callback.run_id, directory / "saved" / "first.ckpt"


def test_a_fit_from_a_checkpoint_goes_on_with_its_run(tmp_path):
    """One run with two attempts: every step once, of the attempt that counts, and the run is completed at last."""
    run_id, path = interrupted_fit(tmp_path)
    callback = QuarkCallback(storage_dir=tmp_path)
    trainer(tmp_path, [callback], max_epochs=3).fit(Tiny(), loader(), loader(2), ckpt_path=path, weights_only=False)
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        assert (run.id, callback.run_id) == (run_id, run_id)
        assert (run.status, run.reason, run.record.resume_count) == ("completed", "completed", 1)
        assert run.series("train_loss_step").steps.tolist() == list(range(18))
        assert len(run.series("train_loss_step", all_attempts=True).steps) == 9 + 12
        (loaded,) = run.events("checkpoint_loaded")
        assert (loaded.payload["path"], loaded.payload["step"]) == (str(path), 5)


def test_a_fit_from_a_completed_run_is_its_child(tmp_path):
    """A completed run stays what it was; what goes on from it is a run of its own that names it."""
    first = QuarkCallback(storage_dir=tmp_path)
    made = trainer(tmp_path, [first])
    made.fit(Tiny(), loader())
    made.save_checkpoint(tmp_path / "done.ckpt")
    second = QuarkCallback(storage_dir=tmp_path)
    trainer(tmp_path, [second], max_epochs=4).fit(
        Tiny(), loader(), ckpt_path=tmp_path / "done.ckpt", weights_only=False
    )
    with quark.open(tmp_path) as store:
        child = store.run(str(second.run_id))
        assert child.record.parent_run_id == first.run_id
        assert child.series("train_loss_step").steps.tolist() == list(range(12, 24))


def test_a_checkpoint_of_a_run_that_is_not_here(tmp_path, caplog):
    """On another machine a new run starts, with a warning, and the training goes on."""
    _, path = interrupted_fit(tmp_path / "there")
    callback = QuarkCallback(storage_dir=tmp_path / "here")
    made = trainer(tmp_path, [callback], max_epochs=3)
    made.fit(Tiny(), loader(), loader(2), ckpt_path=path, weights_only=False)
    assert made.global_step == 18
    assert "a new run starts" in caplog.text
    with quark.open(tmp_path / "here") as store:
        assert [run.id for run in store.runs()] == [callback.run_id]


@pytest.mark.parametrize("attached", ["callback", "logger", "both"])
def test_every_fit_of_a_tuning_loop_is_a_run(tmp_path, attached):
    """One callback or a new one for each fit: so many fits, so many runs, each complete."""
    kept = {"callback": QuarkCallback(storage_dir=tmp_path), "logger": QuarkLogger(storage_dir=tmp_path)}
    for lr in (0.1, 0.01, 0.001):
        logger: Any = False if attached == "callback" else kept["logger"]
        callbacks = [] if attached == "logger" else [kept["callback"]]
        trainer(tmp_path, callbacks, logger, max_epochs=1).fit(Tiny(lr), loader())
    with quark.open(tmp_path) as store:
        runs = sorted(store.runs(), key=lambda run: run.started_at)
        assert [run.config["lr"] for run in runs] == [0.1, 0.01, 0.001]
        assert [len(run.series("train_loss_step").steps) for run in runs] == [6, 6, 6]
        assert {(run.status, run.record.parent_run_id) for run in runs} == {("completed", None)}


def test_the_trials_of_a_tuner_are_not_recorded(tmp_path):
    """The steps of a learning-rate finder belong to no run; the fit after it is one."""
    callback = QuarkCallback(storage_dir=tmp_path)
    finder = LearningRateFinder(num_training_steps=4)
    made = trainer(tmp_path, [callback, finder])
    Tuner(trainer(tmp_path, [callback])).lr_find(Tiny(), loader(), num_training=4)
    made.fit(Tiny(), loader())
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        assert run.series("train_loss_step").steps.tolist() == list(range(12))


CHILD = """
import os, signal, sys, warnings; warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[3])
from tests.integrations.lightning_models import Tiny, loader, trainer
from quark_integrations.callbacks.lightning import QuarkCallback, QuarkLogger
import quark
class Waits(Tiny):
    def training_step(self, batch, index):
        if self.global_step == 3:
            os.kill(os.getpid(), getattr(signal, sys.argv[2]))
        return super().training_step(batch, index)
    def on_exception(self, *arguments): pass
trainer(sys.argv[1], [QuarkCallback(storage_dir=sys.argv[1])]).fit(Waits(), loader())
print("after")
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_preempted_training_finishes_its_batch(tmp_path):
    """Lightning ends the batch before it leaves at SIGTERM; Quark does not cut that short, and the run is true.

    Ctrl-C and kill -9 are in the table of ways out, tests/session/test_exit_table.py.
    """
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), "SIGTERM", root], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "after" not in done.stdout
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        assert (run.status, run.reason) == ("interrupted", "interrupted")
        assert run.series("train_loss_step").steps.tolist() == [0, 1, 2, 3]


RANKS = """
import sys, warnings; warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[2])
from tests.integrations.lightning_models import Tiny, loader, trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from quark_integrations.callbacks.lightning import QuarkCallback, QuarkLogger
import quark, time
class Stops(Tiny):
    def training_step(self, batch, index):
        if sys.argv[3] == "stop" and self.global_rank == 0 and self.global_step == 3:
            quark.current_run().stop()
        if sys.argv[3] == "resume" and not resumed and self.global_step == 8: raise ValueError("boom")
        time.sleep(0.02)
        return super().training_step(batch, index)
import os
path = sys.argv[1] + "/saved/one.ckpt"
resumed = os.path.exists(path)
def fit(epochs, resume=None):
    callback = QuarkCallback(storage_dir=sys.argv[1])
    saver = ModelCheckpoint(dirpath=sys.argv[1] + "/saved", filename="one", every_n_epochs=1, save_top_k=-1)
    logger = QuarkLogger() if sys.argv[3] == "both" else False
    made = trainer(sys.argv[1], [callback, saver], logger, devices=2, strategy="ddp", max_epochs=epochs,
                   enable_checkpointing=True)
    made.fit(Stops(), loader(12), loader(4), ckpt_path=resume, weights_only=False)
    assert callback.run_id
if sys.argv[3] == "resume":
    fit(3, path if resumed else None)
else:
    fit(20 if sys.argv[3] == "stop" else 2)
sys.stdout.flush()
os._exit(0)  # gloo's threads may abort the end of the interpreter: see test_accelerate
"""


def job(directory, how: str, launcher: list[str] | None = None) -> Any:
    """Two processes by Lightning's own launcher or another, training together."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    script = directory / "train.py"
    script.write_text(RANKS)
    environment = {
        name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    }
    return subprocess.run(
        [sys.executable, *(launcher or []), str(script), str(directory), root, how],
        capture_output=True, text=True, check=False, timeout=280, env={**environment, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


LAUNCHERS = {"lightning": None, "torchrun": ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("launcher", "how"), [("lightning", "both"), ("torchrun", "alone")])
def test_two_processes_are_one_run(tmp_path, launcher, how):
    """Two real ranks: one run, the values of rank 0 once, the telemetry of both, no journal left."""
    done = job(tmp_path, how, LAUNCHERS[launcher])
    assert done.returncode == 0, done.stderr
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        assert (run.status, run.reason) == ("completed", "completed")
        series = run.series("train_loss_step", all_attempts=True)
        assert (series.steps.tolist(), set(series.ranks.tolist())) == (list(range(12)), {0})
        assert {record.origin.rank for record in run.telemetry()} == {0, 1}
        assert [event.event_type for event in run.events()].count("run_started") == 1
        assert len(run.events("checkpoint_saved")) == 2
    assert not any((tmp_path / ".quark" / "journal").iterdir())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_all_processes_stop_together(tmp_path):
    """A stop that only rank 0 knows of ends all of them at the same step, and nobody waits for ever."""
    done = job(tmp_path, "stop")
    assert done.returncode == 0, done.stderr
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        assert (run.status, run.reason) == ("completed", "stopped")
        assert len(run.series("train_loss_step").steps) < 120


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_processes_resume_one_run(tmp_path):
    """Both ranks go on with the run of their checkpoint, after one of them has failed."""
    assert job(tmp_path, "resume").returncode != 0
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        assert (run.status, run.reason) == ("failed", "error")
    done = job(tmp_path, "resume")
    assert done.returncode == 0, done.stderr
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        assert (run.status, run.reason, run.record.resume_count) == ("completed", "completed", 1)
        assert run.series("train_loss_step").steps.tolist() == list(range(18))
