"""QuarkCallback in real Keras fits on the torch backend: what it records is what Keras' own History holds."""

import copy
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import quark

os.environ.setdefault("KERAS_BACKEND", "torch")
pytest.importorskip("keras")
import keras
import numpy as np
import torch

from quark_integrations.callbacks.keras import QuarkCallback

# NumPy's warning of how Keras reads torch tensors.
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


def network(**options: Any) -> Any:
    """A compiled model of two layers, the same at each call."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])
    model.compile(**{"optimizer": keras.optimizers.SGD(0.05), "loss": "mse", "metrics": ["mae"], **options})
    return model


def fit(directory: Path, *callbacks: Any, model: Any = None, epochs: int = 2, **options: Any) -> Any:
    """Train in six batches an epoch with a QuarkCallback that comes first; returns Keras' History."""
    ours = QuarkCallback(storage_dir=directory, **options)
    return (model or network()).fit(X, Y, batch_size=4, epochs=epochs, verbose=0, callbacks=[ours, *callbacks])


def views(directory: Path) -> list[Any]:
    """The runs of a store in the order of their start, read while it is open."""
    with quark.open(directory) as store:
        found = sorted(store.runs(), key=lambda view: view.started_at)
        for view in found:
            view.all = {key: view.series(key) for key in map(str, view.keys())}
            view.event_list = list(view.events())
            view.seen = {event.event_type: event for event in view.event_list}
            view.layer_list = view.layers()
            view.telemetry_list = view.telemetry()
        return found


def only(directory: Path) -> Any:
    """The one run of a store."""
    (view,) = views(directory)
    return view


class Raising(keras.callbacks.Callback):
    """Leaves the fit with an exception in the middle of its second epoch."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error, self.epoch = error, 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if (self.epoch, batch) == (1, 2):
            raise self.error


def test_every_epoch_is_that_of_history(tmp_path):
    """Point for point, validation and learning rate too, each at its epoch and the last step of it."""
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)
    model = network()
    ours = QuarkCallback(storage_dir=tmp_path)
    history = model.fit(
        X, Y, batch_size=4, epochs=3, validation_data=(X[:6], Y[:6]), verbose=0, callbacks=[schedule, ours]
    ).history
    run = only(tmp_path)
    for name, values in history.items():
        series = run.all[f"val/{name[4:]}" if name.startswith("val_") else f"train/{name}"]
        assert series.values.tolist() == [float(value) for value in values], name
        assert (series.steps.tolist(), series.epochs.tolist()) == ([5, 11, 17], [0, 1, 2])
    assert set(history) == {"loss", "mae", "val_loss", "val_mae", "learning_rate"}
    assert run.all["optimizer/lr"].values.tolist() == pytest.approx([0.025] * 6 + [0.0125] * 6 + [0.00625] * 6)
    assert run.all["system/validation/duration_s"].epochs.tolist() == [0, 1, 2]
    assert (run.status, run.reason, run.project) == ("completed", "completed", "Sequential")


@pytest.mark.parametrize("concurrent", [True, False])
def test_every_batch_is_what_keras_tells_its_callbacks(tmp_path, monkeypatch, concurrent):
    """In order and each once, whether Keras calls from other threads, as beside a GPU, or from the training's."""
    assert not QuarkCallback().async_safe  # there is no GPU here
    monkeypatch.setattr(QuarkCallback, "async_safe", concurrent)
    told: dict[tuple[int, int], float] = {}
    threads = set()

    class Hearing(keras.callbacks.Callback):
        async_safe = concurrent
        epoch = 0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.epoch = epoch

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            threads.add(threading.get_ident())
            told[self.epoch, batch] = float(logs["loss"])

    fit(tmp_path, Hearing())
    series = only(tmp_path).all["batch/loss"]
    assert series.steps.tolist() == list(range(12))
    assert series.epochs.tolist() == [0] * 6 + [1] * 6
    assert series.values.tolist() == [told[key] for key in sorted(told)]
    assert (threading.get_ident() in threads) != concurrent


def test_a_schedule_of_the_optimizer_is_read_before_its_step(tmp_path):
    """The learning rate of a step is the one that it trained with."""
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=1, decay_rate=0.5)
    fit(tmp_path, model=network(optimizer=keras.optimizers.SGD(decay)), epochs=1)
    assert only(tmp_path).all["optimizer/lr"].values.tolist() == pytest.approx([0.1 * 0.5**step for step in range(6)])


def test_the_configuration_is_that_of_model_optimizer_and_fit(tmp_path):
    """Readable, without what only Keras needs, the user's own on top, secrets redacted."""
    fit(tmp_path, config={"seed": 7, "api_key": "hush"}, tags=["tagged"], name="first", project="named")
    run = only(tmp_path)
    config = run.config
    assert config["model"] == {"class": "Sequential", "name": config["model"]["name"], "parameters": 49,
                               "trainable_parameters": 49}  # fmt: skip
    assert (config["optimizer"]["class"], config["optimizer"]["learning_rate"]) == ("SGD", pytest.approx(0.05))
    assert (config["compile"]["loss"], config["fit"]) == ("mse", {"epochs": 2, "steps": 6, "batch_size": 4})
    assert [layer["class"] for layer in config["architecture"]["layers"]] == ["InputLayer", "Dense", "Dense"]
    assert config["architecture"]["layers"][1]["units"] == 8
    assert (config["seed"], config["api_key"], run.tags) == (7, "[redacted]", ("tagged",))
    assert (run.record.name, run.project) == ("first", "named")


def test_a_large_architecture_is_a_file_of_the_run(tmp_path):
    """A configuration stays readable; nothing is lost."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((4,)), *[keras.layers.Dense(1) for _ in range(120)]])
    model.compile("sgd", "mse")
    with quark.start_run(project="large", storage_dir=tmp_path) as run:
        fit(tmp_path, model=model, epochs=1, run=run)
        run.flush()
        with quark.ArtifactStore(run) as store:
            (record,) = store.read(artifact_type="model_config")
            assert len(store.load(record)["layers"]) == 121
    assert "architecture" not in only(tmp_path).seen["fit_started"].payload["config"]


def test_models_of_users_own_classes_and_losses(tmp_path):
    """What Keras cannot serialize is left out, lambdas are named, and the training is recorded."""

    class Own(keras.Model):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.inside = keras.layers.Dense(width)

        def get_config(self) -> Any:
            raise NotImplementedError("no configuration")

        def call(self, x: Any) -> Any:
            return self.inside(x)

    model = Own(1)
    model.compile("sgd", loss=lambda y, p: keras.ops.mean((y - p) ** 2))
    fit(tmp_path, model=model, epochs=1)
    run = only(tmp_path)
    assert (run.project, run.config["compile"]["loss"]) == ("Own", "lambda")
    assert "architecture" not in run.config
    assert len(run.all["batch/loss"].steps) == 6


def test_times_throughput_and_the_machine(tmp_path):
    """Every step has its times, data and compute adding up; the machine and a throughput are there."""
    fit(tmp_path)
    run = only(tmp_path)
    times = {name: run.all[f"system/runtime/{name}_time_ms"].values for name in ("step", "data", "compute")}
    assert times["step"].tolist() == pytest.approx((times["data"] + times["compute"]).tolist(), abs=1e-3)
    assert len(times["step"]) == 12
    assert run.telemetry_list
    assert run.all["system/throughput/samples_per_s"].values[-1] > 0


def test_gradient_norms_are_those_before_clipping(tmp_path):
    """What is recorded is how large the gradients were, without the scale of the loss, not how large they may be."""
    options = {"telemetry": False, "epochs": 1, "grad_norms": True}
    fit(tmp_path / "plain", model=network(), **options)
    scaled = keras.optimizers.SGD(0.05, loss_scale_factor=64.0)
    fit(tmp_path / "scaled", model=network(optimizer=scaled), **options)
    fit(tmp_path / "clipped", model=network(optimizer=keras.optimizers.SGD(0.05, clipnorm=1e-6)), **options)
    norms = {name: only(tmp_path / name).all["optimizer/grad_norm"].values for name in ("plain", "scaled", "clipped")}
    assert norms["scaled"].tolist() == pytest.approx(norms["plain"].tolist(), rel=1e-4)
    assert norms["clipped"][0] == pytest.approx(norms["plain"][0])
    model = network()
    loss = torch.nn.functional.mse_loss(model(X[:4]), torch.tensor(Y[:4]))
    loss.backward()
    assert min(norms["clipped"]) > 1e-3


def test_layers_are_watched_as_scheduled(tmp_path):
    """Keras' layers by their names, nested ones too, in the steps of the schedule and not in validations."""
    keras.utils.set_random_seed(0)
    inner = keras.Sequential([keras.layers.Dense(3), keras.layers.BatchNormalization()], name="inner")
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(8, name="first"), inner])
    model.add(keras.layers.Dense(1, name="last"))
    model.compile("adam", "mse")
    hooks = quark.HookEngineConfig(schedule=quark.HookScheduleConfig(every_n_steps=5))
    ours = QuarkCallback(storage_dir=tmp_path, hooks=hooks)
    model.fit(X, Y, batch_size=4, epochs=2, validation_split=0.5, verbose=0, callbacks=[ours])
    layers = only(tmp_path).layer_list
    names = {record.module_name.rstrip("_0123456789") for record in layers}
    assert names == {"first", "inner.dense", "inner.batch_normalization", "last"}
    assert {record.step for record in layers} == {0, 5}
    assert {record.summary_type for record in layers} == {"activation", "gradient"}


@pytest.mark.parametrize(("every", "steps"), [(1, list(range(12))), (5, [4, 9]), (None, [])])
def test_batches_are_recorded_as_often_as_asked(tmp_path, every, steps):
    """Every one by default, every n-th, or epochs alone."""
    fit(tmp_path, every_n_steps=every)
    run = only(tmp_path)
    assert (run.all["batch/loss"].steps.tolist() if steps else [key for key in run.all if "batch" in key]) == steps
    assert run.all["train/loss"].steps.tolist() == [5, 11]


def test_off_is_off(tmp_path, monkeypatch):
    """Without telemetry and learning rates there are Keras' values alone; with QUARK_DISABLE nothing at all."""
    fit(tmp_path, telemetry=False, learning_rates=False)
    assert set(only(tmp_path).all) == {"batch/loss", "batch/mae", "train/loss", "train/mae"}
    monkeypatch.setenv("QUARK_DISABLE", "1")
    assert len(fit(tmp_path / "off").history["loss"]) == 2
    assert not (tmp_path / "off" / ".quark").exists()


def test_saved_files_are_checkpoints(tmp_path):
    """Those of ModelCheckpoint, with path, step and epoch; afterwards the model is as it was."""
    saver = keras.callbacks.ModelCheckpoint(tmp_path / "saved" / "{epoch}.keras")
    weights = keras.callbacks.ModelCheckpoint(tmp_path / "saved" / "{epoch}.weights.h5", save_weights_only=True)
    model = network()
    fit(tmp_path, saver, weights, model=model)
    saved = [event for event in only(tmp_path).event_list if event.event_type == "checkpoint_saved"]
    assert [(event.step, event.epoch, event.payload["weights_only"]) for event in saved] == [
        (5, 0, False), (5, 0, True), (11, 1, False), (11, 1, True)
    ]  # fmt: skip
    assert all(Path(event.payload["path"]).exists() for event in saved)
    assert keras.saving.load_model(saved[-2].payload["path"]).count_params() == 49
    assert not {"save", "save_weights"} & set(vars(model))
    assert model.train_function.__name__ == "one_step_on_data"


def test_early_stopping_is_a_criterion_that_was_met(tmp_path):
    """The run is complete, for the reason that the user set."""
    fit(tmp_path, keras.callbacks.EarlyStopping(monitor="loss", min_delta=1e9, patience=1), epochs=9)
    run = only(tmp_path)
    assert (run.status, run.reason) == ("completed", "criterion_met")
    assert run.seen["early_stopped"].payload["monitor"] == "loss"
    assert run.all["train/loss"].epochs.tolist()[-1] == run.seen["early_stopped"].epoch < 8


def test_a_request_to_stop_ends_the_fit(tmp_path):
    """After the step in which it comes; a callback that stops the fit by itself is another reason."""

    class Asking(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if batch == 2:
                self.ask()

    first, second = Asking(), Asking()
    ours = QuarkCallback(storage_dir=tmp_path / "asked")
    first.ask = lambda: ours.run.stop()
    network().fit(X, Y, batch_size=4, epochs=5, verbose=0, callbacks=[ours, first])
    run = only(tmp_path / "asked")
    assert (run.status, run.reason, run.all["batch/loss"].steps.tolist()) == ("completed", "stopped", [0, 1, 2])
    model = network()
    second.ask = lambda: setattr(model, "stop_training", True)
    fit(tmp_path / "own", second, model=model)
    assert only(tmp_path / "own").reason == "stopped"


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [(ValueError("broken"), "failed", "error"), (KeyboardInterrupt(), "interrupted", "interrupted")],
)
def test_an_exception_ends_the_run_as_what_it_is(tmp_path, error, status, reason):
    """Also when somebody catches it: with what was recorded until then, and the model as it was."""
    model = network()
    ours = QuarkCallback(storage_dir=tmp_path)
    try:
        model.fit(X, Y, batch_size=4, epochs=3, verbose=0, callbacks=[ours, Raising(error)])
    except BaseException as caught:
        assert caught is error
    run = only(tmp_path)
    assert (run.status, run.reason) == (status, reason)
    assert run.all["batch/loss"].steps.tolist() == list(range(8))
    if reason == "error":
        assert run.seen["runtime_error"].payload["message"] == "ValueError: broken"
    assert not {"save", "save_weights"} & set(vars(model))


def test_a_fit_after_one_that_broke_off_is_a_run_of_its_own(tmp_path):
    """The same callback and model go on as if nothing had been; evaluations are no validations of the fit before."""
    ours, model = QuarkCallback(storage_dir=tmp_path), network()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, batch_size=4, epochs=3, verbose=0, callbacks=[ours, Raising(KeyboardInterrupt())])
    assert ours.run is None
    model.evaluate(X, Y, verbose=0, callbacks=[ours])
    model.fit(X, Y, batch_size=4, epochs=1, verbose=0, callbacks=[ours])
    broken, evaluated, second = views(tmp_path)
    assert (broken.status, evaluated.status, second.status) == ("interrupted", "completed", "completed")
    assert second.all["batch/loss"].steps.tolist() == list(range(6))
    assert "test/loss" in evaluated.all


def test_a_fit_that_begins_at_a_later_epoch_goes_on_with_the_steps(tmp_path):
    """Also with a callback that has recorded another fit before."""
    ours, model = QuarkCallback(storage_dir=tmp_path), network()
    model.fit(X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[ours])
    model.fit(X, Y, batch_size=4, epochs=4, initial_epoch=3, verbose=0, callbacks=[ours])
    series = views(tmp_path)[1].all["batch/loss"]
    assert (series.steps.tolist(), series.epochs.tolist()) == (list(range(18, 24)), [3] * 6)


def test_what_fails_within_a_fit_and_is_caught_there_is_no_end_of_it(tmp_path):
    """An evaluation by a callback is a part of the fit, and so is its failure."""

    class Evaluating(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            with pytest.raises(ValueError, match="shape"):
                self.model.evaluate(X[:, :1], Y, verbose=0, callbacks=[ours])
            self.model.evaluate(X, Y, verbose=0, callbacks=[ours])

    ours = QuarkCallback(storage_dir=tmp_path)
    network().fit(X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[ours, Evaluating()])
    run = only(tmp_path)
    assert (run.reason, run.all["train/loss"].epochs.tolist()) == ("completed", [0, 1])


def test_a_training_loop_of_the_users_own(tmp_path):
    """Keras' callbacks may be called by hand; then the loop says itself when it ends."""
    model, ours = network(), QuarkCallback(storage_dir=tmp_path)
    listed = keras.callbacks.CallbackList([ours], model=model, epochs=1, steps=2)
    listed.on_train_begin()
    listed.on_epoch_begin(0)
    for batch in range(2):
        listed.on_train_batch_begin(batch)
        listed.on_train_batch_end(batch, model.train_on_batch(X, Y, return_dict=True))
    listed.on_epoch_end(0, {"loss": 1.0})
    listed.on_train_end()
    run = only(tmp_path)
    assert run.all["batch/loss"].steps.tolist() == [0, 1]
    assert (run.all["train/loss"].values.tolist(), run.reason) == ([1.0], "completed")


EXITS = """
import os, sys, warnings; os.environ["KERAS_BACKEND"] = "torch"; warnings.simplefilter("ignore")
import numpy as np
from quark_integrations.callbacks.keras import QuarkCallback
import keras
class Leaving(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        {how}
model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
model.fit(np.ones((8, 4)), np.ones((8, 1)), epochs=2, verbose=0,
          callbacks=[QuarkCallback(storage_dir=sys.argv[1]), Leaving()])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "status"),
    [("raise ValueError('broken')", "failed"), ("raise KeyboardInterrupt", "interrupted"),
     ("sys.exit(3)", "interrupted")],
)  # fmt: skip
def test_a_process_that_leaves_its_fit_ends_its_run(tmp_path, how, status):
    """Keras tells no callback; the session knows."""
    code = EXITS.format(how=how)
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert only(tmp_path).status == status, done.stderr


def test_evaluation_and_prediction_by_themselves(tmp_path):
    """Each is a run with its namespace, and after a fit its child."""
    ours, model = QuarkCallback(storage_dir=tmp_path), network()
    model.fit(X, Y, batch_size=4, verbose=0, callbacks=[ours])
    loss, _ = model.evaluate(X, Y, verbose=0, callbacks=[ours])
    model.predict(X, verbose=0, callbacks=[ours])
    fitted, evaluated, predicted = views(tmp_path)
    assert set(evaluated.all) == {"test/loss", "test/mae", "system/test/duration_s"}
    assert evaluated.all["test/loss"].values.tolist() == [pytest.approx(loss)]
    assert set(predicted.all) == {"system/predict/duration_s"}
    assert (evaluated.record.parent_run_id, predicted.record.parent_run_id) == (fitted.id, evaluated.id)
    assert {view.reason for view in (fitted, evaluated, predicted)} == {"completed"}


def test_a_run_of_the_users_holds_everything(tmp_path):
    """Fit and evaluation write to it, its configuration gets theirs as an event, and the user ends it."""
    with quark.start_run(project="mine", storage_dir=tmp_path) as run:
        ours, model = QuarkCallback(run=run), network()
        model.fit(X, Y, batch_size=4, verbose=0, callbacks=[ours])
        model.evaluate(X, Y, verbose=0, callbacks=[ours])
        with pytest.raises(ValueError, match="broken"):
            model.fit(X, Y, batch_size=4, epochs=3, verbose=0, callbacks=[ours, Raising(ValueError("broken"))])
        assert run.status == "running"
    view = only(tmp_path)
    assert {"train/loss", "test/loss"} <= set(view.all)
    assert len(view.all["system/runtime/step_time_ms"].steps) == 6 + 8  # those of both fits
    assert view.seen["fit_started"].payload["config"]["optimizer"]["class"] == "SGD"
    assert view.reason == "completed"


def test_two_callbacks_are_one_run(tmp_path, caplog):
    """They would record the same: the first one does, with what it leaves open taken from the other, and says so."""
    first, second = QuarkCallback("mine", storage_dir=tmp_path), QuarkCallback(name="second", tags=["b"])
    model = network()
    for _ in range(2):
        model.fit(X, Y, batch_size=4, epochs=2, verbose=0, validation_data=(X, Y), callbacks=[first, second])
    model.evaluate(X, Y, verbose=0, callbacks=[second, first])
    fitted, again, evaluated = views(tmp_path)
    assert [(view.project, view.name, view.status) for view in (fitted, again)] == [("mine", "second", "completed")] * 2
    assert fitted.all["train/loss"].steps.tolist() == again.all["train/loss"].steps.tolist()
    assert len(fitted.all["val/loss"].values) == 2
    assert evaluated.status == "completed"
    assert first.run_id == second.run_id == evaluated.id
    assert "callbacks of Quark are in one Trainer" in caplog.text
    monitored = QuarkCallback("alone", storage_dir=tmp_path)
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[monitored])
    assert len(views(tmp_path)) == 4


def test_a_restored_backup_continues_its_run(tmp_path):
    """The fit that BackupAndRestore restores is a further attempt at the run, at the steps where it was left."""

    def attempt(*callbacks: Any, epochs: int = 3) -> None:
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
        ours = QuarkCallback(storage_dir=tmp_path)
        network().fit(X, Y, batch_size=4, epochs=epochs, verbose=0, callbacks=[backup, ours, *callbacks])

    with pytest.raises(ValueError, match="broken"):
        attempt(Raising(ValueError("broken")))
    assert only(tmp_path).status == "failed"
    attempt()
    run = only(tmp_path)
    assert (run.status, run.record.resume_count) == ("completed", 1)
    assert run.all["train/loss"].epochs.tolist() == [0, 1, 2]
    assert run.all["train/loss"].steps.tolist() == [5, 11, 17]
    attempt(epochs=4)
    first, child = views(tmp_path)
    assert child.record.parent_run_id == first.id
    assert child.all["train/loss"].steps.tolist() == [23]


def test_a_backup_without_its_run_starts_a_new_one(tmp_path, caplog):
    """The training matters more than its record: a warning, and a run."""
    for store in ("one", "two"):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
        model, ours = network(), QuarkCallback(storage_dir=tmp_path / store)
        model.fit(X, Y, batch_size=4, epochs=2 if store == "one" else 3, verbose=0, callbacks=[backup, ours])
    assert "a new run starts" in caplog.text
    assert only(tmp_path / "two").all["train/loss"].epochs.tolist() == [2]


def test_a_callback_can_be_pickled_and_copied(tmp_path):
    """Also while it records: the copy has the plan and neither run nor model."""
    copies = []

    class Copying(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            copies.extend([pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours)])

    ours = QuarkCallback(storage_dir=tmp_path, project="copied")
    network().fit(X, Y, batch_size=4, verbose=0, callbacks=[ours, Copying()])
    for made in copies:
        assert (made.run, made.run_id) == (None, ours.run_id)
        network().fit(X, Y, batch_size=4, verbose=0, callbacks=[made])
    assert [view.project for view in views(tmp_path)] == ["copied"] * 3


def test_a_fault_of_ours_does_not_reach_the_training(tmp_path, caplog, monkeypatch):
    """The training goes on when recording breaks, and the fault is told."""

    def broken(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("our fault")

    monkeypatch.setattr("quark_integrations.callbacks.pace.Pace.ends", broken)
    assert len(fit(tmp_path).history["loss"]) == 2
    assert "our fault" in caplog.text
    assert only(tmp_path).all["train/loss"].steps.tolist() == [5, 11]


def test_wrong_options_are_told(monkeypatch):
    """What cannot be meant is refused where it is written. (Another backend is played: none can be imported here.)"""
    with pytest.raises(quark.SchemaValidationError, match="every_n_steps"):
        QuarkCallback(every_n_steps=0)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(quark.ConfigurationError, match="KERAS_BACKEND=torch"):
        QuarkCallback()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setup", "said"),
    [("sys.modules['keras'] = None", 'pip install "quark-tracker[keras]"'),
     ("os.environ['KERAS_BACKEND'] = 'numpy'", "set KERAS_BACKEND=torch")],
)  # fmt: skip
def test_importing_is_free_and_a_missing_keras_is_told(setup, said):
    """The package loads neither torch nor Keras; where Keras cannot be imported the error says what to do."""
    code = (
        f"import os, sys; {setup}\nimport quark, quark_integrations.callbacks.keras as ours\n"
        "assert not {'torch'} & set(sys.modules)\n"
        "try: ours.QuarkCallback()\nexcept (quark.MissingDependencyError, quark.ConfigurationError) as error: "
        "print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert said in done.stdout, done.stderr
