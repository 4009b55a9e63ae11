"""Callbacks and loggers of Quark beside each other, on ranks that do not record, and under LightningCLI and Fabric."""

import sys
from typing import Any

import pytest

import quark

pytest.importorskip("lightning.pytorch")
from lightning.fabric.loggers.logger import _DummyExperiment
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.cli import LightningCLI

from quark_integrations.callbacks.lightning import QuarkCallback, QuarkLogger

from .lightning_models import QUIET, Tiny, loader, trainer

pytestmark = [
    pytest.mark.torch, pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]  # fmt: skip


def views(directory) -> list[Any]:
    """The runs of a store, the oldest first, with what the tests look at."""
    with quark.open(directory) as store:
        found: list[Any] = sorted(store.runs(), key=lambda run: run.started_at)
        for view in found:
            view.all = {key: view.series(key) for key in map(str, view.keys())}
        return found


@pytest.fixture
def rank_1(monkeypatch):
    """This process is rank 1 of its job, as Lightning sees it."""
    monkeypatch.setattr(rank_zero_only, "rank", 1)


def test_on_other_ranks_the_run_has_its_whole_interface(rank_1):
    """It answers as a run that nobody stops and that records nothing; Lightning's own code takes it for a stand-in."""
    run: Any = QuarkLogger("p").experiment
    public = {
        name for name in dir(quark.TrainingSession) if not name.startswith("_") and hasattr(quark.TrainingSession, name)
    }
    assert {name for name in public if not hasattr(run, name)} == set()
    assert isinstance(run, _DummyExperiment)
    assert (run.stop_requested, run.status, list(run.steps([1, 2]))) == (False, "running", [1, 2])
    run.summary["a"] = 1
    run.config["b"] = 2
    with run.checkpoint("x", step=1) as checkpoint:
        assert checkpoint.path == "x"
    assert isinstance(run.run_id, str)
    assert quark.current_run() is not run
    with pytest.raises(AttributeError, match="no_such_thing"):
        run.no_such_thing  # noqa: B018  Lightning's own stand-in says yes to it


def test_before_it_starts_the_run_has_its_whole_interface(tmp_path):
    """The logger's experiment is used as a run, and starts by that: assigned to, entered, asked."""
    logger = QuarkLogger("p", storage_dir=tmp_path)
    logger.experiment.stop_requested = True
    assert logger.experiment.stop_requested
    logger = QuarkLogger("p", storage_dir=tmp_path)
    with logger.experiment as run:
        run.log({"loss": 1.0}, step=0)
    assert [view.status for view in views(tmp_path)].count("completed") == 1


@pytest.mark.parametrize("plain_first", [False, True])
def test_two_callbacks_are_one_run(tmp_path, plain_first, caplog):
    """The one that the user said something of records, whichever comes first; each value is there once."""
    mine, other = QuarkCallback("mine", storage_dir=tmp_path, tags=["a"]), QuarkCallback()
    callbacks = [other, mine] if plain_first else [mine, other]
    fitted = trainer(tmp_path, callbacks=callbacks, max_epochs=2)
    fitted.fit(Tiny(), loader())
    path = str(tmp_path / "last.ckpt")
    fitted.save_checkpoint(path)
    (view,) = views(tmp_path)
    assert (view.project, view.status, view.tags) == ("mine", "completed", ("a",))
    assert view.all["train_loss_step"].steps.tolist() == list(range(12))
    assert mine.run_id == other.run_id == view.id
    assert "in one Trainer" not in caplog.text
    again = [QuarkCallback("mine", storage_dir=tmp_path), QuarkCallback("more", tags=["b"])]
    trainer(tmp_path, callbacks=again, max_epochs=3).fit(Tiny(), loader(), ckpt_path=path)
    child = views(tmp_path)[1]
    assert (child.record.parent_run_id, child.project, child.tags) == (view.id, "mine", ("b",))


def test_what_is_learned_in_a_fit_is_configuration(tmp_path):
    """By the logger, alone and beside a callback, and in a run that was started before; its metrics are recorded."""

    class Learns(Tiny):
        def on_train_start(self):
            if self.logger is not None:
                self.logger.log_hyperparams({"classes": 10, "lr": 5.0}, {"hp/start": 0.5})

    said = {"lr": 0.25}
    alone = {"logger": QuarkLogger("p", storage_dir=tmp_path, config=said)}
    led = {"logger": QuarkLogger(), "callbacks": [QuarkCallback("p", storage_dir=tmp_path, config=said)]}
    for attached in (alone, led):
        trainer(tmp_path, max_epochs=1, **attached).fit(Learns(), loader())
    with quark.start_run(project="p", config=said, storage_dir=tmp_path) as run:
        callback = QuarkCallback(run=run)
        fitted = trainer(tmp_path, callbacks=[callback], max_epochs=1)
        fitted.fit(Tiny(), loader())
        fitted.test(Tiny(), loader(), verbose=False)
    *learned, given = views(tmp_path)
    for view in learned:
        assert (view.config["classes"], view.config["lr"]) == (10, 0.25)
        assert view.all["hp/start"].values.tolist() == [0.5]
    assert given.config == {"lr": 0.1, "depth": 1, "api_key": "[redacted]"}


def test_a_fit_that_goes_on_tells_what_differs(tmp_path):
    """Resumed from a checkpoint with another rate: the event says so, and a name that is new is configuration."""

    class Breaks(Tiny):
        def on_train_epoch_end(self):
            super().on_train_epoch_end()
            self.trainer.save_checkpoint(str(tmp_path / "last.ckpt"))
            raise RuntimeError("broken")

    first = trainer(tmp_path, callbacks=[QuarkCallback("p", storage_dir=tmp_path)], max_epochs=2)
    with pytest.raises(RuntimeError, match="broken"):
        first.fit(Breaks(), loader())
    callback = QuarkCallback("p", storage_dir=tmp_path, config={"seed": 7})
    again = trainer(tmp_path, callbacks=[callback], max_epochs=2)
    again.fit(Tiny(lr=0.5), loader(), ckpt_path=str(tmp_path / "last.ckpt"))
    with quark.open(tmp_path) as store:
        (view,) = store.runs()
        assert (view.status, view.config["lr"], view.config["seed"]) == ("completed", 0.1, 7)
        (event,) = view.events("config_changed")
        assert event.payload == {"attempt": 2, "changed": {"lr": {"before": 0.1, "now": 0.5}}}


def test_several_trainers_in_one_run_are_named(tmp_path, caplog):
    """Their steps are the same numbers, which is said once; a test after a fit is no second training."""
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        for _ in range(3):
            fitted = trainer(tmp_path, callbacks=[QuarkCallback(run=run)], max_epochs=1)
            fitted.fit(Tiny(), loader())
            fitted.test(Tiny(), loader(), verbose=False)
    assert caplog.text.count("give each training a run of its own") == 1


def test_a_test_after_a_fit_has_a_name_of_its_own(tmp_path):
    """So that the name of the user finds the fit."""
    fitted = trainer(tmp_path, callbacks=[QuarkCallback("p", storage_dir=tmp_path, name="first")], max_epochs=1)
    fitted.fit(Tiny(), loader())
    fitted.test(Tiny(), loader(), verbose=False)
    assert [view.name for view in views(tmp_path)] == ["first", "first/test"]


def test_every_run_has_a_directory_of_its_own(tmp_path):
    """``trainer.log_dir`` is one of the run, below the storage directory or the Trainer's own; checkpoints go there."""
    logger = QuarkLogger("p", storage_dir=tmp_path / "runs")
    fitted = trainer(tmp_path, logger=logger, max_epochs=1, enable_checkpointing=True)
    assert fitted.log_dir == str(tmp_path / "runs" / "p" / logger.version)
    fitted.fit(Tiny(), loader())
    assert (tmp_path / "runs" / "p" / views(tmp_path / "runs")[0].id / "checkpoints").is_dir()
    other = QuarkLogger("p")
    assert trainer(tmp_path, logger=other).log_dir == str(tmp_path / "p" / other.version)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_lightning_cli_starts_twice(tmp_path, monkeypatch):
    """Its file of the configuration goes into a directory of each run."""
    pytest.importorskip("jsonargparse", reason="LightningCLI needs jsonargparse[signatures]")
    monkeypatch.chdir(tmp_path)
    options = [f"--trainer.{name}={str(value).lower()}" for name, value in QUIET.items()]
    kind = "quark_integrations.callbacks.lightning.QuarkLogger"
    arguments = [
        "fit", *options, "--trainer.max_epochs=1", f"--trainer.logger={kind}", "--trainer.logger.project=p",
        f"--trainer.logger.storage_dir={tmp_path}",
    ]  # fmt: skip

    class Fed(Tiny):
        def train_dataloader(self):
            return loader()

    monkeypatch.setattr(sys, "argv", ["train.py"])
    for _ in range(2):
        LightningCLI(Fed, args=arguments)
    runs = views(tmp_path)
    assert [view.status for view in runs] == ["completed"] * 2
    assert {path.parent.name for path in tmp_path.rglob("config.yaml")} == {view.id for view in runs}


def test_a_model_without_a_trainer(tmp_path):
    """As under Fabric: log_graph does nothing, and the run starts with what is logged first."""
    import torch

    logger = QuarkLogger("p", storage_dir=tmp_path)
    logger.log_graph(torch.nn.Linear(2, 2))
    logger.log_metrics({"loss": 1.0}, step=0)
    logger.finalize("success")
    logger.experiment.end_run()
    (view,) = views(tmp_path)
    assert view.all["loss"].values.tolist() == [1.0]
