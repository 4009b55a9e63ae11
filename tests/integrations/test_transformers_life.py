"""How the run of a Trainer begins and ends: every way out, resuming, searches, a job of many processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import quark

pytest.importorskip("transformers")
from transformers import EarlyStoppingCallback, TrainerCallback

from quark_integrations.callbacks.transformers import QuarkCallback

from .transformers_models import arguments, history_points, model, quark_points, sentences, trainer

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::UserWarning")]
ROOT = str(Path(__file__).parents[2])


class Ends(quark.TrackerBase):
    """Keeps what it is told of the end."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def on_stop(self, final_state: Any, reason: str) -> None:
        self.reasons.append(reason)


class Acts(TrainerCallback):
    """Does something at an event of a step."""

    def __init__(self, act: Any, *, step: int = 4, event: str = "on_step_end") -> None:
        self.act, self.step = act, step
        setattr(self, event, self._at)

    def _at(self, args, state, control, **given):
        if self.act is not None and state.global_step == self.step:
            return self.act(control)
        return None


def raise_(error: BaseException) -> Any:
    def act(control):
        raise error

    return act


def stop_training(control):
    control.should_training_stop = True
    return control


def stop_run(control):
    found = quark.current_run()
    assert found is not None
    found.stop()


STOPPING = {
    "eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2, "learning_rate": 0.0,
    "metric_for_best_model": "loss", "load_best_model_at_end": True,
}  # fmt: skip
WAYS = {
    # way: (options, what a callback does, exception, status, reason)
    "epochs": ({}, None, None, "completed", "completed"),
    "steps": ({"max_steps": 5}, None, None, "completed", "max_steps"),
    "early stopping": (STOPPING, None, None, "completed", "criterion_met"),
    "should_training_stop": ({}, stop_training, None, "completed", "stopped"),
    "stop of the run": ({}, stop_run, None, "completed", "stopped"),
    "exception": ({}, raise_(ValueError("boom")), ValueError, "failed", "error"),
    "Ctrl-C": ({}, raise_(KeyboardInterrupt()), KeyboardInterrupt, "interrupted", "interrupted"),
    "sys.exit": ({}, raise_(SystemExit(3)), SystemExit, "interrupted", "interrupted"),
}


@pytest.mark.parametrize("late", [False, True], ids=["given", "added later"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_out_has_its_status_and_reason(tmp_path, way, late):
    """However a training ends the run says so at once, and trackers are told once."""
    options, act, error, status, reason = WAYS[way]
    ends = Ends()
    ours: Any = QuarkCallback(storage_dir=tmp_path, trackers=[ends])
    others = [EarlyStoppingCallback(1)] if way == "early stopping" else [Acts(act)]
    made = trainer(tmp_path, *others, *([] if late else [ours]), **options)
    if late:
        made.add_callback(ours)
    if error is None:
        made.train()
    else:
        with pytest.raises(error):
            made.train()
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        assert (run.status, run.reason, ends.reasons) == (status, reason, [reason])
        messages = [event.payload["message"] for event in run.events(("runtime_error", "runtime_interruption"))]
        assert len(messages) == (status != "completed")
        assert ("boom" in "".join(messages)) == (way == "exception")
        assert len(run.events("early_stopped")) == (way == "early stopping")
        assert quark_points(run) == history_points(made.state.log_history)


@pytest.mark.parametrize(
    "event", ["on_train_begin", "on_epoch_begin", "on_step_begin", "on_log", "on_evaluate", "on_save"]
)
def test_an_exception_is_seen_wherever_it_comes_from(tmp_path, event):
    """The run of a training that breaks off in any of its parts is failed, and not found open afterwards."""
    step = 0 if event in ("on_train_begin", "on_epoch_begin", "on_step_begin") else 4
    options = {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 4, "save_steps": 4}
    made = trainer(
        tmp_path,
        QuarkCallback(storage_dir=tmp_path),
        Acts(raise_(ValueError("boom")), step=step, event=event),
        **options,
    )
    with pytest.raises(ValueError, match="boom"):
        made.train()
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        assert (run.status, run.reason) == ("failed", "error")


def test_an_evaluation_on_its_own_that_breaks_off(tmp_path):
    """It is failed, and the next one is a run again."""

    def broken(prediction):
        raise ValueError("boom")

    made = trainer(tmp_path, QuarkCallback(storage_dir=tmp_path))
    made.compute_metrics = broken
    with pytest.raises(ValueError, match="boom"):
        made.evaluate()
    made.compute_metrics = None
    made.evaluate()
    with quark.open(tmp_path) as store:
        assert sorted(run.status for run in store.runs()) == ["completed", "failed"]


def test_an_evaluation_after_a_training_that_breaks_off(tmp_path):
    """The run of the training has failed with it; the training's values are there."""

    def broken(prediction):
        raise ValueError("boom")

    made = trainer(tmp_path, QuarkCallback(storage_dir=tmp_path), max_steps=2)
    made.train()
    made.compute_metrics = broken
    with pytest.raises(ValueError, match="boom"):
        made.evaluate()
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        assert (run.status, run.reason, run.series("train/loss").steps.tolist()) == ("failed", "error", [2])


def test_smaller_batches_after_memory_ran_out_are_a_run_again(tmp_path):
    """The attempt that did not fit is failed; the one that did has its own values, each once."""

    def full(control):
        if made.args.train_batch_size == 4:
            made.args.per_device_train_batch_size = 2
            raise RuntimeError("CUDA out of memory.")

    made = trainer(tmp_path, QuarkCallback(storage_dir=tmp_path), Acts(full), auto_find_batch_size=True, max_steps=6)
    made.train()
    with quark.open(tmp_path) as store:
        first, second = sorted(store.runs(), key=lambda run: run.started_at)
        assert (first.reason, second.reason) == ("error", "max_steps")
        assert quark_points(second) == history_points(made.state.log_history)


def interrupted(directory: Path, **options: Any) -> tuple[str, str]:
    """A training that breaks off in its tenth step, with a checkpoint of its sixth: the run and the checkpoint."""
    callback = QuarkCallback(storage_dir=directory)
    made = trainer(directory, callback, Acts(raise_(ValueError("boom")), step=9), save_strategy="epoch", **options)
    with pytest.raises(ValueError, match="boom"):
        made.train()
    return str(callback.run_id), str(directory / "out" / "checkpoint-6")


@pytest.mark.parametrize("restored", [False, True], ids=["", "callbacks restored"])
def test_a_training_from_a_checkpoint_goes_on_with_its_run(tmp_path, restored):
    """One run with two attempts, each value of the attempt that counts; the callback keeps its options."""
    run_id, path = interrupted(tmp_path)
    ends = Ends()
    callback = QuarkCallback(storage_dir=tmp_path, trackers=[ends])
    made = trainer(
        tmp_path, callback, Acts(None), save_strategy="epoch", restore_callback_states_from_checkpoint=restored
    )
    made.train(resume_from_checkpoint=path)
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        assert (run.id, callback.run_id, ends.reasons) == (run_id, run_id, ["completed"])
        assert (run.status, run.reason, run.record.resume_count) == ("completed", "completed", 1)
        assert run.series("optimizer/lr").steps.tolist() == list(range(1, 13))
        assert quark_points(run)["train/loss"] == history_points(made.state.log_history)["train/loss"]
        (loaded,) = run.events("checkpoint_loaded")
        assert (loaded.payload["run_id"], loaded.payload["global_step"]) == (run_id, 6)
        paths = [event.payload["path"] for event in run.events("checkpoint_saved")]
        assert paths == [path, str(tmp_path / "out" / "checkpoint-12")]


def test_a_training_from_a_completed_run_is_its_child(tmp_path):
    """A completed run stays what it was; what goes on from it is a run of its own that names it."""
    first, second = QuarkCallback(storage_dir=tmp_path), QuarkCallback(storage_dir=tmp_path)
    trainer(tmp_path, first, save_strategy="epoch").train()
    trainer(tmp_path, second, save_strategy="epoch", num_train_epochs=3).train(resume_from_checkpoint=True)
    with quark.open(tmp_path) as store:
        child = store.run(str(second.run_id))
        assert child.record.parent_run_id == first.run_id
        assert child.series("optimizer/lr").steps.tolist() == list(range(13, 19))


def test_a_checkpoint_of_a_run_that_is_not_here(tmp_path, caplog):
    """On another machine a new run starts, with a warning, and the training goes on."""
    _, path = interrupted(tmp_path / "there")
    made = trainer(tmp_path / "here", QuarkCallback(storage_dir=tmp_path / "here"))
    made.train(resume_from_checkpoint=path)
    assert made.state.global_step == 12
    assert "a new run starts" in caplog.text
    with quark.open(tmp_path / "here") as store:
        assert [run.status for run in store.runs()] == ["completed"]


def test_a_checkpoint_from_before_quark_and_one_for_after(tmp_path):
    """A training goes on from a checkpoint that knows nothing of Quark, and without Quark from one that does."""
    trainer(tmp_path, save_strategy="epoch", max_steps=6).train()
    trainer(tmp_path, QuarkCallback(storage_dir=tmp_path), save_strategy="epoch").train(resume_from_checkpoint=True)
    bare = trainer(tmp_path, num_train_epochs=3)
    bare.train(resume_from_checkpoint=True)
    assert bare.state.global_step == 18
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        assert run.series("optimizer/lr").steps.tolist() == list(range(7, 13))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_trial_of_a_search_is_a_run(tmp_path):
    """With its parameters, its name and its tag; a trial that was pruned reads stopped."""
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    class Second(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return trial.number == 1

    from transformers import Trainer

    made = Trainer(
        model_init=model, args=arguments(tmp_path, eval_strategy="epoch", save_strategy="epoch"),
        train_dataset=sentences(), eval_dataset=sentences(4), callbacks=[QuarkCallback(storage_dir=tmp_path)],
    )  # fmt: skip
    made.hyperparameter_search(
        hp_space=lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2)},
        hp_name=lambda trial: f"trial-{trial.number}", n_trials=3, backend="optuna", direction="minimize",
        pruner=Second(), sampler=optuna.samplers.RandomSampler(seed=0),
    )  # fmt: skip
    with quark.open(tmp_path) as store:
        runs = sorted(store.runs(), key=lambda run: run.started_at)
        assert [run.name for run in runs] == ["trial-0", "trial-1", "trial-2"]
        assert [run.reason for run in runs] == ["completed", "stopped", "completed"]
        assert all(list(run.tags) == ["trial"] for run in runs)
        assert len({run.config["trial/learning_rate"] for run in runs}) == 3
        assert all(run.config["learning_rate"] == run.config["trial/learning_rate"] for run in runs)
        saved = runs[2].events("checkpoint_saved")[0].payload["path"]
        assert (Path(saved) / "trainer_state.json").exists()


CHILD = """
import os, signal, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from transformers import TrainerCallback
from tests.integrations.transformers_models import trainer
from quark_integrations.callbacks.transformers import QuarkCallback
class Leaves(TrainerCallback):
    def on_step_end(self, args, state, control, **given):
        if state.global_step == 4:
            os.kill(os.getpid(), getattr(signal, sys.argv[2]))
directory = Path(sys.argv[1])
trainer(directory, QuarkCallback(storage_dir=directory), Leaves(), max_steps=10**6).train()
print("after")
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ctrl_c_ends_a_training_truly(tmp_path):
    """Ctrl-C at a real process: it ends as it would without Quark, and the run is true.

    SIGTERM and kill -9 are in the table of ways out, tests/session/test_exit_table.py.
    """
    command = [sys.executable, "-c", CHILD, str(tmp_path), "SIGINT", ROOT]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == -signal.SIGINT, done.stderr
    assert "after" not in done.stdout
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        assert (run.status, run.reason) == ("interrupted", "interrupted")
        assert run.series("train/loss").steps.tolist()[0] == 2


RANKS = """
import os, sys, time, warnings; warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from transformers import TrainerCallback
import quark
from tests.integrations.transformers_models import trainer
from quark_integrations.callbacks.transformers import QuarkCallback
directory, how = Path(sys.argv[1]), sys.argv[3]
class Acts(TrainerCallback):
    def on_step_end(self, args, state, control, **given):
        if state.global_step == 3 and how == "stop" and args.process_index == 0:
            quark.current_run().stop()
        if state.global_step == 5 and how == "resume" and not given_path:
            raise ValueError("boom")
steps = 10**6 if how == "stop" else 6
for given_path in ((None, str(directory / "out" / "checkpoint-3")) if how == "resume" else (None,)):
    made = trainer(
        directory, Acts(), QuarkCallback(storage_dir=directory), ddp_backend="gloo", max_steps=steps, logging_steps=1,
        save_strategy="steps", save_steps=3 if how != "stop" else 10**5, per_device_train_batch_size=2,
    )
    try:
        made.train(resume_from_checkpoint=given_path)
    except ValueError:
        pass
    made.accelerator.wait_for_everyone()
sys.stdout.write(f"rank {made.args.process_index} ended at {made.state.global_step}\\n")  # one write each
sys.stdout.flush()
os._exit(0)  # gloo's threads may abort the end of the interpreter: see test_accelerate
"""


def job(directory: Path, how: str) -> Any:
    """Two processes of torchrun."""
    script = directory / "job.py"
    script.write_text(RANKS)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *launcher, str(script), str(directory), ROOT, how]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280, env=environment)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["train", "resume"])
def test_two_processes_are_one_run(tmp_path, how):
    """Two real ranks: one run, the values of rank 0 once, the telemetry of both; both resume it."""
    job(tmp_path, how)
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        assert (run.status, run.reason, run.record.resume_count) == ("completed", "max_steps", int(how == "resume"))
        series = run.series("train/loss")
        assert (series.steps.tolist(), set(series.ranks.tolist())) == (list(range(1, 7)), {0})
        assert {record.origin.rank for record in run.telemetry()} == {0, 1}
        assert [event.event_type for event in run.events()].count("run_started") == 1
        assert len(run.events("checkpoint_saved")) == 2
    assert not any((tmp_path / ".quark" / "journal").iterdir())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_all_processes_stop_together(tmp_path):
    """A stop that only rank 0 knows of ends all of them at the same step, and nobody waits for ever."""
    done = job(tmp_path, "stop")
    assert sorted(line for line in done.stdout.splitlines() if line.startswith("rank")) == [
        "rank 0 ended at 50", "rank 1 ended at 50",
    ]  # fmt: skip
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        assert (run.status, run.reason) == ("completed", "stopped")


def test_a_trainer_that_cannot_be_found(tmp_path, monkeypatch):
    """Without the Trainer values and ends are recorded still; a training that broke off is failed by the next one."""
    monkeypatch.setattr("quark_integrations.callbacks.transformers.callback.calling_trainer", lambda: None)
    callback, leaving = QuarkCallback(storage_dir=tmp_path), Acts(raise_(ValueError("boom")))
    made = trainer(tmp_path, callback, leaving, save_strategy="epoch")
    with pytest.raises(ValueError, match="boom"):
        made.train()
    leaving.act = None
    made.train()
    with quark.open(tmp_path) as store:
        first, second = sorted(store.runs(), key=lambda run: run.started_at)
        assert [(run.status, run.reason) for run in (first, second)] == [
            ("failed", "error"),
            ("completed", "completed"),
        ]
        assert quark_points(second) == history_points(made.state.log_history)
        assert len(second.events("checkpoint_saved")) == 2


@pytest.mark.parametrize("report_to", ["none", "quark"])
def test_two_callbacks_are_one_run(tmp_path, report_to, caplog):
    """``report_to="quark"`` beside a callback, or two callbacks: one run as the user said, and each value once."""
    callbacks = [QuarkCallback("mine", storage_dir=tmp_path, tags=["a"])]
    if report_to == "none":
        callbacks.append(QuarkCallback(name="second", tags=["b"]))
    made = trainer(tmp_path, *callbacks, max_steps=2, report_to=report_to)
    made.train()
    made.evaluate()
    with quark.open(tmp_path) as store:
        (training,) = store.runs()
        assert (training.project, training.status, training.tags[0]) == ("mine", "completed", "a")
        assert training.series("train/loss").steps.tolist() == [2]
        assert training.series("eval/loss").steps.tolist() == [2]
        if report_to == "none":
            assert training.name == "second"
    assert {callback.run_id for callback in callbacks} == {training.id}
    assert caplog.text.count("in one Trainer") == (report_to == "none")


def test_two_trainings_in_one_run_are_named(tmp_path, caplog):
    """Their steps are the same numbers, which is said once."""
    with quark.start_run(project="mine", storage_dir=tmp_path) as run:
        for _ in range(3):
            trainer(tmp_path, QuarkCallback(run=run), max_steps=2).train()
    assert caplog.text.count("give each training a run of its own") == 1
