"""QuarkCallback and QuarkLogger in real trainings: what they record is what Lightning itself would write."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import quark

pytest.importorskip("lightning.pytorch")
import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, IterableDataset

from quark_integrations.callbacks.lightning import QuarkCallback, QuarkLogger

from .lightning_models import Manual, Tiny, copy_of, csv_points, fit, loader, only, trainer

# Lightning's own warnings: of small data, of torch's names that it uses; Quark's are log messages.
pytestmark = [
    pytest.mark.torch, pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]  # fmt: skip


def expected_of(points: dict[str, list[tuple[int, float]]]) -> dict[str, list[tuple[int, float]]]:
    """CSVLogger's columns by the names that Quark gives to them: a validation's go below val/."""
    own = {"loss_step", "loss_epoch"}
    return {f"val/{key}" if key.partition("/")[0] in own else key: found for key, found in points.items()}


@pytest.mark.parametrize("attached", ["callback", "logger", "both"])
def test_every_value_is_that_of_the_csv_logger(tmp_path, attached):
    """Alone or together, point for point and each once: steps, epochs, several validation loaders and checks."""
    written = CSVLogger(tmp_path / "csv")
    callbacks = [] if attached == "logger" else [QuarkCallback(storage_dir=tmp_path)]
    ours = [] if attached == "callback" else [QuarkLogger(storage_dir=tmp_path)]
    fit(tmp_path, callbacks=callbacks, logger=[written, *ours], val_check_interval=0.5, max_epochs=3)
    run = only(tmp_path)
    assert run.points == expected_of(csv_points(Path(written.log_dir) / "metrics.csv"))
    assert (run.status, run.reason) == ("completed", "completed")
    assert (run.project, run.config["lr"], run.config["api_key"]) == ("Tiny", 0.1, "[redacted]")


def test_a_train_loss_is_on_the_row_of_its_own_epoch(tmp_path):
    """The mean of an epoch stands at its last step, though Lightning validates before it is known."""
    _, module = fit(tmp_path, callbacks=[QuarkCallback(storage_dir=tmp_path)], max_epochs=3)
    run = only(tmp_path)
    series, steps = run.all["train_loss_epoch"], run.all["train_loss_step"].values
    assert series.steps.tolist() == [5, 11, 17]
    assert series.epochs.tolist() == [0, 1, 2]
    assert series.values.tolist() == pytest.approx([steps[at : at + 6].mean() for at in (0, 6, 12)])
    assert run.all["train_loss_step"].epochs.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert run.all["optimizer/lr"].values.tolist() == pytest.approx(module.used_rates)


@pytest.mark.parametrize(("every", "steps"), [(1, 12), (4, 3), (None, 2)])
def test_the_values_of_steps_come_as_often_as_asked(tmp_path, every, steps):
    """Every step by default, every n-th, or when the Trainer gives them to its loggers; epochs' ends always."""
    fit(tmp_path, callbacks=[QuarkCallback(storage_dir=tmp_path, every_n_steps=every)], log_every_n_steps=5)
    run = only(tmp_path)
    recorded = sorted({*run.all["train_loss_step"].steps.tolist()})
    assert recorded == {1: list(range(12)), 4: [3, 4, 7, 9, 11], None: [4, 9]}[every]
    assert len(run.all["train_loss_epoch"].steps) == 2
    assert steps <= len(recorded)


def test_accumulated_batches_are_one_step(tmp_path):
    """A step has one row, the learning rate of its update, and the time of all its batches."""
    written = CSVLogger(tmp_path / "csv")
    callback = QuarkCallback(storage_dir=tmp_path, grad_norms=True)
    _, module = fit(tmp_path, callbacks=[callback], logger=written, accumulate_grad_batches=4, val=None)
    run = only(tmp_path)
    assert run.points == csv_points(Path(written.log_dir) / "metrics.csv")
    assert run.all["system/runtime/step_time_ms"].steps.tolist() == [0, 1, 2, 3]
    assert run.all["optimizer/grad_norm"].values.tolist() == pytest.approx(module.norms)


def test_gradient_norms_are_those_before_clipping(tmp_path):
    """What is recorded is how large the gradients were, not how large they may be."""
    callback = QuarkCallback(storage_dir=tmp_path, grad_norms=True)
    _, module = fit(tmp_path, callbacks=[callback], gradient_clip_val=1e-6, val=None)
    run = only(tmp_path)
    norms = run.all["optimizer/grad_norm"].values.tolist()
    assert norms == pytest.approx(module.norms)
    assert min(norms) > 1e-6
    with quark.open(tmp_path) as store:
        (view,) = store.runs()
        (started,) = view.events("fit_started")
        assert started.payload["gradient_clip_val"] == 1e-6
        assert started.payload["gradient_clip_algorithm"] in (None, "norm")


def test_several_optimizers_and_manual_optimization(tmp_path):
    """Each optimizer has its learning rate and its norm; a batch is a step, as for Lightning's loggers."""
    written = CSVLogger(tmp_path / "csv")
    callback = QuarkCallback(storage_dir=tmp_path, grad_norms=True)
    fit(tmp_path, callbacks=[callback], logger=written, module=Manual(), val=None)
    run = only(tmp_path)
    assert run.points == csv_points(Path(written.log_dir) / "metrics.csv")
    for key in ("optimizer/SGD/lr", "optimizer/Adam/lr", "optimizer/SGD/grad_norm", "optimizer/Adam/grad_norm"):
        assert len(run.all[key].steps) == 12


class Endless(IterableDataset):
    """Data without a length."""

    def __iter__(self):
        yield from torch.ones(8, 4)


def test_several_training_loaders_and_data_without_a_length(tmp_path):
    """A dictionary of loaders and a stream are trained on and recorded."""

    class Pair(Tiny):
        def training_step(self, batch, index):
            return super().training_step(batch["a"] + batch["b"].mean(), index)

    made = trainer(tmp_path, [QuarkCallback(storage_dir=tmp_path)], max_steps=5, max_epochs=-1)
    made.fit(Pair(), {"a": DataLoader(Endless(), batch_size=2), "b": loader()})
    run = only(tmp_path)
    assert run.all["train_loss_step"].steps.tolist() == [0, 1, 2, 3, 4]
    assert (run.status, run.reason) == ("completed", "max_steps")


def test_the_sanity_check_is_not_a_validation(tmp_path):
    """Its values and its time are not recorded."""
    fit(tmp_path, callbacks=[QuarkCallback(storage_dir=tmp_path)], num_sanity_val_steps=2)
    run = only(tmp_path)
    assert len(run.all["val_loss/dataloader_idx_0"].steps) == 2
    assert run.all["system/validation/duration_s"].steps.tolist() == [5, 11]


def test_validation_test_and_prediction_by_themselves(tmp_path):
    """Each is a run with its namespace, and after a fit its child; names that Quark cannot take are made fit."""
    callback = QuarkCallback(storage_dir=tmp_path)
    made, module = fit(tmp_path, callbacks=[callback])
    fitted = callback.run_id
    made.test(module, loader(), verbose=False)
    made.validate(module, loader(), verbose=False)
    made.predict(module, loader())
    with quark.open(tmp_path) as store:
        runs = sorted((copy_of(view) for view in store.runs()), key=lambda view: view.started_at)
    assert [view.event_list[1] for view in runs] == [
        "fit_started", "test_started", "validate_started", "predict_started"
    ]  # fmt: skip
    assert [view.record.parent_run_id for view in runs] == [None, *(view.id for view in runs[:3])]
    assert runs[0].id == fitted
    assert set(runs[1].all) == {"test/acc@1", "system/test/duration_s"}
    assert {"val_loss", "val/loss_epoch", "val/loss_step", "system/validation/duration_s"} == set(runs[2].all)
    assert set(runs[3].all) == {"system/predict/duration_s"}
    assert {view.reason for view in runs} == {"completed"}


def test_one_run_for_fit_and_test(tmp_path):
    """A run of the user's holds whatever its Trainer does, and stays open until the user ends it."""
    with quark.start_run(project="mine", storage_dir=tmp_path) as run:
        made, module = fit(tmp_path, callbacks=[QuarkCallback(run=run)], logger=QuarkLogger(run=run))
        made.test(module, loader(), verbose=False)
        assert run.status == "running"
    view = only(tmp_path)
    assert {"train_loss_step", "val_loss/dataloader_idx_0", "test/acc@1"} <= set(view.points)
    assert view.config.items() >= {"lr": 0.1, "depth": 1, "api_key": "[redacted]"}.items()
    assert len(view.all["train_loss_step"].steps) == 12


def test_times_throughput_and_the_machine(tmp_path):
    """Every step has its times, data and compute adding up; the machine and a throughput are there."""
    fit(tmp_path, callbacks=[QuarkCallback(storage_dir=tmp_path)])
    run = only(tmp_path)
    times = {name: run.all[f"system/runtime/{name}_time_ms"].values for name in ("step", "data", "compute")}
    assert times["step"].tolist() == pytest.approx((times["data"] + times["compute"]).tolist(), abs=1e-3)
    assert len(times["step"]) == 12
    assert run.telemetry_list
    assert run.all["system/throughput/samples_per_s"].values[-1] > 0


def test_two_fits_in_one_run_are_both_timed(tmp_path):
    """The second fit in a run of the user's has the times of its steps as well."""
    with quark.start_run(project="mine", storage_dir=tmp_path) as run:
        for _ in range(2):
            fit(tmp_path, callbacks=[QuarkCallback(run=run)])
    assert len(only(tmp_path).all["system/runtime/step_time_ms"].values) == 24


def test_off_is_off(tmp_path, monkeypatch):
    """Without telemetry and learning rates there are the module's values alone; with QUARK_DISABLE nothing at all."""
    options: dict[str, Any] = {"telemetry": False, "learning_rates": False}
    fit(tmp_path, callbacks=[QuarkCallback(storage_dir=tmp_path, **options)], val=None)
    assert set(only(tmp_path).all) == {"train_loss_step", "train_loss_epoch", "loss", "late", "epoch_end"}
    monkeypatch.setenv("QUARK_DISABLE", "1")
    fit(tmp_path / "off", callbacks=[QuarkCallback(storage_dir=tmp_path / "off")], logger=QuarkLogger())
    assert not (tmp_path / "off" / ".quark").exists()


def test_layers_are_watched_as_scheduled(tmp_path):
    """The hooks are on in the steps of the schedule, and off while Lightning validates."""
    hooks = quark.HookEngineConfig(schedule=quark.HookScheduleConfig(every_n_steps=5))
    fit(tmp_path, callbacks=[QuarkCallback(storage_dir=tmp_path, hooks=hooks)], accumulate_grad_batches=2)
    layers = only(tmp_path).layer_list
    assert {(record.step, record.module_name) for record in layers} == {(0, "net"), (5, "net")}
    assert {record.summary_type for record in layers} == {"activation", "gradient"}


def test_parameters_of_all_optimizers_are_recorded(tmp_path):
    """In the steps of the schedule each parameter has its norms and its update, whichever optimizer trains it."""
    hooks = quark.HookEngineConfig(schedule=quark.HookScheduleConfig(every_n_steps=3))
    fit(tmp_path, module=Manual(), callbacks=[QuarkCallback(storage_dir=tmp_path, hooks=hooks)], val=None)
    with quark.open(tmp_path) as store:
        (view,) = store.runs()
        found = list(view.records("parameter"))
    assert {record.step for record in found} <= {0, 3, 6, 9}
    changed = {record.parameter_name for record in found if record.step == 3 and record.update_norm is not None}
    assert changed == {"first.weight", "first.bias", "second.weight", "second.bias"}


def test_a_checkpoint_is_recorded_and_carries_its_run(tmp_path):
    """Each saved file is an event, and the file knows the run and the last step recorded before it."""
    callback = QuarkCallback(storage_dir=tmp_path, project="kept")
    saver = ModelCheckpoint(dirpath=tmp_path / "saved", save_top_k=-1)
    made, _ = fit(tmp_path, callbacks=[saver, callback], enable_checkpointing=True)
    made.save_checkpoint(tmp_path / "after.ckpt")
    with quark.open(tmp_path) as store:
        (view,) = store.runs()
        saved = view.events("checkpoint_saved")
    assert [(event.step, event.epoch) for event in saved] == [(5, 0), (11, 1)]
    assert [Path(event.payload["path"]).exists() for event in saved] == [True, True]
    state = torch.load(saved[0].payload["path"], weights_only=True)["callbacks"]["QuarkCallback"]
    assert state == {
        "run_id": view.id, "project": "kept", "storage_dir": str(tmp_path), "step": 5, "epoch": 0
    }  # fmt: skip
    assert torch.load(tmp_path / "after.ckpt", weights_only=True)["callbacks"]["QuarkCallback"]["run_id"] == view.id


def test_the_trainer_is_left_as_it_was(tmp_path):
    """After a fit nothing of ours is on the Trainer."""
    made, _ = fit(tmp_path, callbacks=[QuarkCallback(storage_dir=tmp_path)])
    assert "save_checkpoint" not in vars(made)
    assert not {"log_metrics", "update_train_step_metrics"} & set(vars(made._logger_connector))


def test_a_fault_of_ours_does_not_reach_the_training(tmp_path, caplog, monkeypatch):
    """The training goes on when recording breaks, and the fault is told."""

    def broken(*arguments, **options):
        raise RuntimeError("broken")

    monkeypatch.setattr("quark_integrations.callbacks.lightning.steps.Steps.batch_done", broken)
    made, _ = fit(tmp_path, callbacks=[QuarkCallback(storage_dir=tmp_path)])
    assert made.global_step == 12
    assert "broken" in caplog.text


def test_fast_dev_run_is_a_tagged_run(tmp_path):
    """One batch of everything, recorded, and told apart by its tag."""
    fit(tmp_path, callbacks=[QuarkCallback(storage_dir=tmp_path)], logger=QuarkLogger(), fast_dev_run=True)
    run = only(tmp_path)
    assert run.tags == ("fast_dev_run",)
    assert run.all["train_loss_step"].steps.tolist() == [0]
    assert run.reason == "completed"


def test_hyperparameters_of_any_make(tmp_path):
    """What JSON cannot hold is named, and what the user gives wins."""

    class Odd(Tiny):
        def __init__(self, **rest):
            super().__init__()
            self.save_hyperparameters()

    options = {"path": Path("x"), "act": torch.nn.ReLU, "bad": float("nan"), "scale": torch.tensor(2.0), 3: {1}}
    module = Odd(options=options, lr=0.5)
    callback = QuarkCallback(storage_dir=tmp_path, config={"lr": 0.25, "seed": 7})
    fit(tmp_path, callbacks=[callback], module=module, max_epochs=1)
    config = only(tmp_path).config
    assert config["options"] == {
        "path": "x", "act": "torch.nn.modules.activation.ReLU", "bad": "nan", "scale": 2.0, "3": [1]
    }  # fmt: skip
    assert (config["lr"], config["seed"]) == (0.25, 7)


def test_the_logger_gives_its_run_to_whoever_asks(tmp_path):
    """name, version and experiment are the project, the run's id and the session; direct calls are recorded."""
    logger = QuarkLogger("named", storage_dir=tmp_path)
    version = logger.version
    seen = []

    class Talking(Tiny):
        def on_train_start(self):
            seen.append((self.logger.experiment.run_id, self.logger.version, self.logger.name))
            self.logger.log_metrics({"direct": 1.0}, step=0)

    fit(tmp_path, logger=logger, module=Talking(), max_epochs=1)
    run = only(tmp_path)
    assert seen == [(version, version, "named")]
    assert run.id == version == logger.version
    assert run.points["direct"] == [(0, 1.0)]


def test_a_logger_beside_the_callback_takes_direct_calls(tmp_path):
    """Both write to one run: direct calls once, Lightning's values once, and the callback takes the logger's plan."""
    callback = QuarkCallback()
    logger = QuarkLogger("shared", storage_dir=tmp_path, tags=["a"])

    class Talking(Tiny):
        def on_train_start(self):
            self.logger.log_metrics({"direct": 1.0}, step=0)

    fit(tmp_path, callbacks=[callback], logger=logger, module=Talking(), max_epochs=1)
    run = only(tmp_path)
    assert (run.project, run.tags, run.id) == ("shared", ("a",), callback.run_id)
    assert run.points["direct"] == [(0, 1.0)]
    assert len(run.points["train_loss_step"]) == 6


def test_both_are_copied_and_pickled_without_their_run(tmp_path):
    """A tuner may copy them, a spawned process may get them: the copy has the settings, and no session."""
    callback = QuarkCallback("p", storage_dir=tmp_path, grad_norms=True)
    logger = QuarkLogger("p", storage_dir=tmp_path)
    for original in (callback, logger):
        for made in (copy.deepcopy(original), pickle.loads(pickle.dumps(original))):
            assert type(made) is type(original)
    assert isinstance(callback, (pl.Callback, QuarkCallback))
    assert isinstance(logger, pl.loggers.Logger)
    again = pickle.loads(pickle.dumps(callback))
    fit(tmp_path, callbacks=[again], max_epochs=1)
    assert "optimizer/grad_norm" in only(tmp_path).all


def test_a_subclass_of_the_callback_may_use_every_hook(tmp_path):
    """Hooks that the callback leaves out are there for who needs them."""
    calls = []

    class Mine(QuarkCallback):
        def on_after_backward(self, trainer, pl_module):
            super().on_after_backward(trainer, pl_module)
            calls.append(trainer.global_step)

    fit(tmp_path, callbacks=[Mine(storage_dir=tmp_path)], max_epochs=1)
    assert calls == list(range(6))


OTHER = """
import sys, warnings; warnings.simplefilter("ignore")
from quark_integrations.callbacks.lightning import QuarkCallback, QuarkLogger
assert not {"torch", "lightning", "pytorch_lightning"} & set(sys.modules)
import pytorch_lightning as pl, torch, quark
class M(pl.LightningModule):
    def __init__(self): super().__init__(); self.net = torch.nn.Linear(4, 1)
    def training_step(self, batch, index):
        loss = self.net(batch).square().mean(); self.log("loss", loss); return loss
    def configure_optimizers(self): return torch.optim.SGD(self.parameters(), 0.1)
callback, logger = QuarkCallback(storage_dir=sys.argv[1]), QuarkLogger()
assert isinstance(callback, pl.Callback) and isinstance(logger, pl.loggers.Logger) and "lightning" not in sys.modules
pl.Trainer(callbacks=callback, logger=logger, max_epochs=1, accelerator="cpu", enable_progress_bar=False,
           enable_checkpointing=False, default_root_dir=sys.argv[1]).fit(
    M(), torch.utils.data.DataLoader(torch.ones(3, 4)))
"""


def test_pytorch_lightning_as_well(tmp_path):
    """With the other package the classes are that one's, though ours were imported first."""
    done = subprocess.run([sys.executable, "-c", OTHER, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(only(tmp_path).points["loss"]) == 3


def test_without_lightning_the_error_says_what_to_install():
    """Importing is free; making one tells the pip line."""
    code = (
        "import sys; sys.modules['lightning'] = sys.modules['pytorch_lightning'] = None\n"
        "import quark; from quark_integrations.callbacks.lightning import QuarkCallback\n"
        "try: QuarkCallback()\n"
        "except quark.MissingDependencyError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "quark-tracker[lightning]"' in done.stdout, done.stderr
