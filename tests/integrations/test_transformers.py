"""QuarkCallback in real trainings of a small Llama: what it records is what the Trainer itself keeps."""

import copy
import math
import pickle
import subprocess
import sys
from typing import Any

import pytest

import quark

pytest.importorskip("transformers")
import torch
from transformers import Trainer, TrainerCallback

from quark_integrations.callbacks.transformers import QuarkCallback, register

from .transformers_models import history_points, model, quark_points, sentences, trainer

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::UserWarning")]


class Steps(quark.TrackerBase):
    """Keeps the steps that it is told of."""

    def __init__(self) -> None:
        self.told: list[tuple[int, set[str]]] = []

    def on_step(self, state: Any) -> None:
        self.told.append((state.step, set(state.metrics)))


class Watching(TrainerCallback):
    """Keeps what the optimizer used, step by step."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_pre_optimizer_step(self, args, state, control, optimizer=None, **given):
        self.rates.append(optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize("late", [False, True], ids=["given", "added later"])
@pytest.mark.parametrize(
    "options",
    [
        {"eval_strategy": "epoch", "eval_on_start": True},
        {"gradient_accumulation_steps": 4, "logging_strategy": "epoch", "eval_strategy": "steps", "eval_steps": 1},
        {"logging_steps": 5, "logging_first_step": True, "max_steps": 7, "include_num_input_tokens_seen": "all"},
    ],
    ids=["epochs", "accumulated", "steps"],
)
def test_every_value_is_that_of_the_log_history(tmp_path, options, late):
    """Point for point, each once, at its global step: losses, rates, norms, epochs, evaluations, the summary."""
    callback = QuarkCallback(storage_dir=tmp_path)
    made = trainer(tmp_path, *([] if late else [callback]), **options)
    if late:  # behind the PrinterCallback, which takes a value out of what it prints
        made.add_callback(callback)
    made.train()
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        assert quark_points(run) == history_points(made.state.log_history)
        assert (run.status, run.project) == ("completed", "LlamaForCausalLM")
        epochs = run.series("train/epoch")
        assert epochs.epochs.tolist() == [math.ceil(value) - 1 for value in epochs.values.tolist()]


def test_every_step_has_a_row(tmp_path):
    """Times, the learning rate that was used, and the norm before clipping; the machine and the throughput once."""
    watching = Watching()
    made = trainer(tmp_path, watching, QuarkCallback(storage_dir=tmp_path, grad_norms=True), max_grad_norm=1e-6)
    made.train()
    norms = [entry["grad_norm"] for entry in made.state.log_history if "grad_norm" in entry]
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        rows = {key: run.series(f"system/runtime/{key}_time_ms") for key in ("step", "data", "compute")}
        assert all(row.steps.tolist() == list(range(1, 13)) for row in rows.values())
        assert rows["step"].values == pytest.approx(rows["data"].values + rows["compute"].values, abs=1e-3)
        assert run.series("optimizer/lr").values.tolist() == watching.rates
        recorded = run.series("optimizer/grad_norm")
        assert recorded.steps.tolist() == list(range(1, 13))
        assert recorded.values.tolist()[1::2] == norms
        assert min(norms) > 1e-6
        assert [event.payload["max_grad_norm"] for event in run.events() if "max_grad_norm" in event.payload] == [1e-6]
        rates = [run.series(f"system/throughput/{what}_per_s").values for what in ("samples", "tokens")]
        assert rates[1].tolist() == pytest.approx((8 * rates[0]).tolist())
        assert len(run.telemetry()) >= 1


def test_trackers_are_told_every_step_with_what_was_logged(tmp_path):
    """on_step fires once a step; in a step that the Trainer logs, its values belong to the step."""
    steps = Steps()
    trainer(tmp_path, QuarkCallback(storage_dir=tmp_path, trackers=[steps]), eval_strategy="epoch").train()
    assert [step for step, _ in steps.told] == list(range(1, 13))
    assert ["train/loss" in keys for _, keys in steps.told] == [False, True] * 6
    assert all("optimizer/lr" in keys for _, keys in steps.told)


@pytest.mark.parametrize(
    ("every", "steps"), [(1, list(range(1, 13))), (5, [2, 4, 5, 6, 8, 10, 12]), (None, [2, 4, 6, 8, 10, 12])]
)
def test_the_values_of_steps_come_as_often_as_asked(tmp_path, every, steps):
    """Every step by default, every n-th, or when the Trainer logs; what it logs always."""
    trainer(tmp_path, QuarkCallback(storage_dir=tmp_path, every_n_steps=every)).train()
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        assert run.series("optimizer/lr").steps.tolist() == steps
        assert run.series("train/loss").steps.tolist() == [2, 4, 6, 8, 10, 12]


def test_layers_and_parameters_are_seen_in_the_steps_of_a_schedule(tmp_path):
    """In every fourth step, and never in an evaluation between two steps."""
    schedule = quark.HookScheduleConfig(every_n_steps=4)
    callback = QuarkCallback(storage_dir=tmp_path, hooks=quark.HookEngineConfig(schedule=schedule))
    trainer(tmp_path, callback, eval_strategy="steps", eval_steps=1, gradient_accumulation_steps=2).train()
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        layers = run.layers()
        assert {record.step for record in layers} == {4}
        outputs = [
            record for record in layers if record.module_name == "lm_head" and record.summary_type == "activation"
        ]
        assert len(outputs) == 2  # the two batches of the step, none of an evaluation
        assert {record.step for record in run.records("parameter")} == {4}
        assert any(record.gradient_norm for record in run.records("parameter"))


class Broken(Trainer):
    """A Trainer whose loss is no number in the third step."""

    def compute_loss(self, *arguments: Any, **options: Any) -> Any:
        loss = super().compute_loss(*arguments, **options)
        return loss * math.nan if self.state.global_step == 2 and self.model.training else loss


def test_a_loss_that_the_trainer_hides_is_seen(tmp_path):
    """Transformers logs a mean in the place of a loss that is no number; Quark says in which step it was."""
    made = trainer(tmp_path, QuarkCallback(storage_dir=tmp_path), cls=Broken, max_steps=4, max_grad_norm=0)
    made.train()
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        seen = [event for event in run.events("metric_nonfinite") if event.payload["key"] == "train/loss"]
    assert seen[0].step == 3
    assert all(math.isfinite(entry.get("loss", 0.0)) for entry in made.state.log_history[:1])


def test_the_configuration_is_that_of_arguments_and_model(tmp_path):
    """Flat, with the user's own above it, and without secrets."""
    made = trainer(
        tmp_path, QuarkCallback(storage_dir=tmp_path, config={"seed": 7, "data": {"rows": 24}}, tags=["tiny"]),
        learning_rate=0.01, hub_token="hf_abcdefghijklmnop", run_name="first", max_steps=1,
    )  # fmt: skip
    made.train()
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        config, (setup,) = run.config, run.events("train_started")
        assert (run.name, list(run.tags)) == ("first", ["tiny"])
    wanted = {
        "learning_rate": 0.01,
        "seed": 7,
        "data/rows": 24,
        "model/num_hidden_layers": 2,
        "hub_token": "[redacted]",
    }
    assert {key: config[key] for key in wanted} == wanted
    assert not any(isinstance(value, dict) for value in config.values())
    assert setup.payload["parameters"] == sum(parameter.numel() for parameter in model().parameters())


def test_report_to_quark(tmp_path, monkeypatch):
    """With the callback imported, Transformers knows the name; settings come from the variables."""
    monkeypatch.setenv("QUARK_STORAGE_DIR", str(tmp_path))
    monkeypatch.setenv("QUARK_PROJECT", "by-name")
    assert register() is QuarkCallback
    made = trainer(tmp_path, report_to="quark")
    made.train()
    with quark.open(tmp_path) as store:
        (run,) = store.runs(project="by-name")
        assert quark_points(run) == history_points(made.state.log_history)


def test_evaluations_and_predictions_after_a_training(tmp_path):
    """They are added to its run, which keeps its status, reason, name and values; a prefix is a namespace."""
    made = trainer(tmp_path, QuarkCallback(storage_dir=tmp_path), max_steps=2)
    made.train()
    loss = made.evaluate()["eval_loss"]
    made.evaluate(metric_key_prefix="holdout")
    tested = made.predict(sentences(4)).metrics or {}
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        assert (run.status, run.reason, run.record.resume_count) == ("completed", "max_steps", 3)
        points = quark_points(run)
        assert points["train/loss"][0][0] == 2
        assert points["eval/loss"] == [(2, loss)]
        assert run.series("holdout/loss").values.tolist() == [loss]
        assert {key: values for key, values in points.items() if key.startswith("test/")} == {
            key.replace("test_", "test/", 1): [(2, value)] for key, value in tested.items()
        }  # fmt: skip


def test_evaluations_without_a_training_are_runs_of_their_own(tmp_path):
    """Before a training there is nothing to add to; the training afterwards is a run of its own."""
    made = trainer(tmp_path, QuarkCallback(storage_dir=tmp_path, name="t"), max_steps=2)
    made.evaluate()
    made.predict(sentences(4))
    made.train()
    with quark.open(tmp_path) as store:
        runs = sorted(store.runs(), key=lambda run: run.started_at)
        assert [(run.name, run.status) for run in runs] == [
            ("t/evaluate", "completed"), ("t/predict", "completed"), ("t", "completed"),
        ]  # fmt: skip


def test_a_run_of_the_users_own(tmp_path):
    """A run that was started before is written to, told of the configuration, and left open."""
    with quark.start_run(project="mine", storage_dir=tmp_path) as run:
        made = trainer(tmp_path, QuarkCallback(run=run), max_steps=2, hub_token="hf_abcdefghijklmnop")
        made.train()
        made.evaluate()
        assert run.status == "running"
    with quark.open(tmp_path) as store:
        (view,) = store.runs()
        points = history_points(made.state.log_history)
        assert quark_points(view) == points
        settings = view.config
    assert (settings["max_steps"], settings["hub_token"]) == (2, "[redacted]")


def test_two_trainings_in_one_run_are_both_timed(tmp_path):
    """The second training in a run of the user's has the times of its steps as well."""
    with quark.start_run(project="mine", storage_dir=tmp_path) as run:
        for _ in range(2):
            trainer(tmp_path, QuarkCallback(run=run), max_steps=2).train()
    with quark.open(tmp_path) as store:
        (view,) = store.runs()
        assert len(view.series("system/runtime/step_time_ms").values) == 4


def test_a_callback_travels_to_other_processes(tmp_path):
    """It is copied and pickled, also while its run goes on, without the run."""
    callback = QuarkCallback(storage_dir=tmp_path)

    class Copies(TrainerCallback):
        def on_step_end(self, args, state, control, **given):
            self.copies = [pickle.loads(pickle.dumps(callback)), copy.deepcopy(callback)]

    copies = Copies()
    trainer(tmp_path, callback, copies, max_steps=1).train()
    for another in copies.copies:
        assert (type(another), another.run) == (QuarkCallback, None)
        trainer(tmp_path, another, max_steps=1).train()
    with quark.open(tmp_path) as store:
        assert [run.status for run in store.runs()] == ["completed"] * 3


def test_turned_off_it_does_nothing(tmp_path, monkeypatch):
    """With QUARK_DISABLE a training is what it is without Quark."""
    bare = trainer(tmp_path, max_steps=4)
    bare.train()
    monkeypatch.setenv("QUARK_DISABLE", "1")
    made = trainer(tmp_path / "quark", QuarkCallback(storage_dir=tmp_path / "quark", grad_norms=True), max_steps=4)
    made.train()
    assert [entry.get("loss") for entry in made.state.log_history] == [
        entry.get("loss") for entry in bare.state.log_history
    ]  # fmt: skip
    assert {path.name for path in (tmp_path / "quark").iterdir()} <= {"out"}


def test_the_training_is_the_same_with_it(tmp_path):
    """Hooks, norms and a checkpoint change neither losses nor weights by a bit."""
    schedule = quark.HookScheduleConfig(every_n_steps=2)
    callback = QuarkCallback(storage_dir=tmp_path, grad_norms=True, hooks=quark.HookEngineConfig(schedule=schedule))
    made, bare = trainer(tmp_path, callback, logging_steps=1), trainer(tmp_path, logging_steps=1)
    for each in (made, bare):
        each.train()
    pairs = zip(made.model.parameters(), bare.model.parameters(), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_arguments_are_checked():
    """What cannot be is refused where it is written, and says what can."""
    with pytest.raises(quark.SchemaValidationError, match="at least 1 or None"):
        QuarkCallback(every_n_steps=0)


def test_importing_quark_does_not_import_transformers():
    """Neither Quark nor the package of the callback loads Transformers; the callback's name does."""
    program = (
        "import sys, quark, quark_integrations.callbacks.transformers as ours\n"
        "assert 'transformers' not in sys.modules and 'torch' not in sys.modules\n"
        "assert ours.QuarkCallback.__mro__[-2].__name__ == 'TrainerCallback'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_transformers_it_says_what_to_install():
    """The error names the line for pip."""
    program = (
        "import sys; sys.modules['transformers'] = None\n"
        "from quark_integrations.callbacks.transformers import QuarkCallback\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert 'pip install "quark-tracker[transformers]"' in done.stderr
