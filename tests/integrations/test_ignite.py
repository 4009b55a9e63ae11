"""QuarkLogger on real Ignite engines: what it records is what the engines hold, and how they ended."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import quark

pytest.importorskip("ignite")
import torch
from ignite.engine import Engine, Events, create_supervised_evaluator, create_supervised_trainer
from ignite.handlers import Checkpoint, DiskSaver, EarlyStopping, TerminateOnNan
from ignite.handlers.utils import global_step_from_engine
from ignite.metrics import Average, Loss, MeanAbsoluteError, RunningAverage
from torch import nn

from quark_integrations.callbacks.ignite import OptimizerParamsHandler, OutputHandler, QuarkLogger

pytestmark = pytest.mark.torch


def data(batches: int = 6) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of four numbers and their sum, the same at each call."""
    numbers = torch.randn(batches, 2, 4, generator=torch.Generator().manual_seed(0))
    return [(batch, batch.sum(dim=1, keepdim=True)) for batch in numbers]


class Training:
    """A trainer and an evaluator of a small network, and what they themselves saw."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.9)
        self.trainer = create_supervised_trainer(self.model, self.optimizer, nn.functional.mse_loss)
        self.evaluator = create_supervised_evaluator(
            self.model, {"mae": MeanAbsoluteError(), "loss": Loss(nn.functional.mse_loss)}
        )
        RunningAverage(output_transform=lambda loss: loss).attach(self.trainer, "average")
        self.losses: list[float] = []
        self.averages: list[float] = []
        self.rates: list[float] = []
        self.validated: list[dict[str, float]] = []
        self.trainer.add_event_handler(Events.ITERATION_STARTED, self.note_rate)
        self.trainer.add_event_handler(Events.ITERATION_COMPLETED, self.note_loss)
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self.validate)

    def note_rate(self) -> None:
        self.rates.append(self.optimizer.param_groups[0]["lr"])

    def note_loss(self, engine: Engine) -> None:
        self.losses.append(engine.state.output)
        self.scheduler.step()

    def validate(self, engine: Engine) -> None:
        self.evaluator.run(data(2))
        self.validated.append(dict(self.evaluator.state.metrics))
        self.averages.append(engine.state.metrics["average"])

    def all(self) -> dict[str, Any]:
        """What attach_trainer is given."""
        return {"optimizers": self.optimizer, "evaluators": {"val": self.evaluator}}

    def at(self, step: int, act: Any) -> None:
        """Do something in an iteration."""
        self.trainer.add_event_handler(Events.ITERATION_STARTED(once=step), act)


def only(directory: Path) -> Any:
    """The one run of a store, read while it is open."""
    with quark.open(directory) as store:
        (view,) = list(store.runs())
        return read(view)


def read(view: Any) -> Any:
    """Everything that the tests look at."""
    view.all = {key: view.series(key) for key in map(str, view.keys())}
    view.event_list = list(view.events())
    view.seen = {event.event_type: event for event in view.event_list}
    view.layer_list, view.telemetry_list = view.layers(), view.telemetry()
    return view


def raising(error: BaseException) -> Any:
    """A handler that raises."""

    def handler() -> None:
        raise error

    return handler


def test_every_value_is_that_of_the_engines(tmp_path):
    """Output and learning rate of every iteration, metrics of every epoch, each at Ignite's own numbers."""
    training = Training()
    with QuarkLogger("engines", storage_dir=tmp_path, config={"lr": 0.1}) as logger:
        logger.attach_trainer(training.trainer, **training.all())
        training.trainer.run(data(), max_epochs=3)
    run = only(tmp_path)
    loss, average = run.all["train/loss"], run.all["train/average"]
    assert loss.values.tolist() == training.losses
    assert (loss.steps.tolist(), loss.epochs.tolist()) == (list(range(1, 19)), [1] * 6 + [2] * 6 + [3] * 6)
    assert (average.values.tolist(), average.steps.tolist()) == (training.averages, [6, 12, 18])
    assert run.all["optimizer/lr"].values.tolist() == training.rates
    for name in ("mae", "loss"):
        series = run.all[f"val/{name}"]
        assert series.values.tolist() == [found[name] for found in training.validated]
        assert (series.steps.tolist(), series.epochs.tolist()) == ([6, 12, 18], [1, 2, 3])
    assert (run.status, run.reason, run.project, run.config) == ("completed", "completed", "engines", {"lr": 0.1})
    assert run.seen["fit_started"].payload["max_epochs"] == 3


def test_an_epoch_has_its_own_metrics_whatever_was_attached_first(tmp_path):
    """A metric that is attached later is computed later; its row is that of its own epoch all the same."""
    trainer = Engine(lambda engine, batch: batch)
    with QuarkLogger(storage_dir=tmp_path) as logger:
        logger.attach_trainer(trainer)
        Average(output_transform=float).attach(trainer, "mean")
        trainer.run([1.0, 3.0], max_epochs=1)
        trainer.run([5.0, 7.0], max_epochs=2)
    series = only(tmp_path).all["train/mean"]
    assert (series.values.tolist(), series.steps.tolist()) == ([2, 6], [2, 4])


def test_handlers_as_those_of_other_loggers(tmp_path):
    """attach, attach_output_handler and attach_opt_params_handler do what Ignite's documentation says of loggers."""
    training = Training()
    logger = QuarkLogger(storage_dir=tmp_path)
    logger.attach_output_handler(
        training.trainer, Events.ITERATION_COMPLETED(every=2), tag="training", metric_names="all",
        output_transform=lambda loss: {"batch loss": loss}, state_attributes=["epoch"],
    )  # fmt: skip
    logger.attach_output_handler(
        training.evaluator, Events.COMPLETED, tag="validation", metric_names=["mae"],
        global_step_transform=global_step_from_engine(training.trainer, Events.ITERATION_COMPLETED),
    )  # fmt: skip
    logger.attach_opt_params_handler(training.trainer, Events.ITERATION_STARTED, optimizer=training.optimizer)
    momentum = OptimizerParamsHandler(training.optimizer, "momentum", tag="sgd")
    logger.attach(training.trainer, momentum, Events.EPOCH_COMPLETED)
    logger.attach(training.trainer, OutputHandler("out", output_transform=lambda loss: loss), Events.COMPLETED)
    training.trainer.run(data(), max_epochs=2)
    logger.close()
    run = only(tmp_path)
    assert run.all["training/batch loss"].values.tolist() == training.losses[1::2]
    assert run.all["training/batch loss"].steps.tolist() == [2, 4, 6, 8, 10, 12]
    assert run.all["training/epoch"].values.tolist() == [1, 1, 1, 2, 2, 2]
    assert run.all["validation/mae"].steps.tolist() == [6, 12]
    assert run.all["lr/group_0"].values.tolist() == training.rates
    assert run.all["sgd/momentum/group_0"].values.tolist() == [0, 0]
    assert run.all["out/output"].values.tolist() == training.losses[-1:]
    assert run.reason == "completed"


def test_outputs_of_any_shape(tmp_path):
    """Dictionaries, sequences and vectors of numbers are recorded by name; predictions and text are not."""
    shown = {"a": torch.tensor(1.5), "b": {"c": 2}, "pair": (3.0, torch.ones(2)), "text": "x", "y": torch.ones(2, 2)}
    trainer = Engine(lambda engine, batch: shown)
    with QuarkLogger(storage_dir=tmp_path) as logger:
        logger.attach_trainer(trainer, telemetry=False)
        trainer.run([0], max_epochs=1)
    assert {key: series.values.tolist() for key, series in only(tmp_path).all.items()} == {
        "train/a": [1.5], "train/b/c": [2], "train/pair/0": [3], "train/pair/1/0": [1], "train/pair/1/1": [1]
    }  # fmt: skip


@pytest.mark.parametrize(("every", "steps"), [(1, list(range(1, 13))), (5, [5, 10]), (None, [6, 12])])
def test_iterations_are_recorded_as_often_as_asked(tmp_path, every, steps):
    """Every one by default, every n-th, or the last of an epoch."""
    training = Training()
    with QuarkLogger(storage_dir=tmp_path) as logger:
        logger.attach_trainer(training.trainer, every_n_steps=every)
        training.trainer.run(data(), max_epochs=2)
    assert only(tmp_path).all["train/loss"].steps.tolist() == steps


def test_times_throughput_and_the_machine(tmp_path):
    """Every step has its times, data and compute adding up; the machine is there, and how long validations took."""
    training = Training()
    with QuarkLogger(storage_dir=tmp_path) as logger:
        logger.attach_trainer(training.trainer, **training.all())
        training.trainer.run(data(), max_epochs=2)
    run = only(tmp_path)
    times = {name: run.all[f"system/runtime/{name}_time_ms"].values for name in ("step", "data", "compute")}
    assert times["step"].tolist() == pytest.approx((times["data"] + times["compute"]).tolist(), abs=1e-3)
    assert len(times["step"]) == 12
    assert run.telemetry_list
    assert run.all["system/throughput/samples_per_s"].values[-1] > 0
    assert run.all["system/val/duration_s"].epochs.tolist() == [1, 2]


def test_layers_are_watched_as_scheduled(tmp_path):
    """In the iterations of the schedule, and not in validations."""
    training = Training()
    hooks = quark.HookEngineConfig(schedule=quark.HookScheduleConfig(every_n_steps=5))
    with QuarkLogger(storage_dir=tmp_path) as logger:
        logger.attach_trainer(training.trainer, model=training.model, hooks=hooks)
        training.trainer.run(data(), max_epochs=2)
    assert {(record.step, record.module_name) for record in only(tmp_path).layer_list} == {
        (step, name) for step in (5, 10) for name in ("0", "1", "2")
    }


def test_two_loggers_are_one_run(tmp_path, caplog):
    """On one trainer they would record the same: the first one does, the other joins, and values come once."""
    training = Training()
    with QuarkLogger("mine", storage_dir=tmp_path) as first, QuarkLogger(name="second", tags=["b"]) as second:
        for logger in (first, second):
            logger.attach_trainer(training.trainer, evaluators={"val": training.evaluator})
        for _ in range(2):
            training.trainer.run(data(), max_epochs=2)
        second.record({"own": 1.0}, step=3)
        assert first.run is second.run
    view = only(tmp_path)
    assert (view.project, view.name, view.status, view.tags) == ("mine", "second", "completed", ("b",))
    assert view.all["own"].values.tolist() == [1.0]
    assert caplog.text.count("attached to one trainer") == 1


def test_parameters_are_recorded_where_the_optimizers_are_known(tmp_path):
    """In the iterations of the schedule, each with its update; gradients are those without the scale."""
    training = Training()
    hooks = quark.HookEngineConfig(schedule=quark.HookScheduleConfig(every_n_steps=5))
    for scale in (None, 4.0):
        with QuarkLogger(storage_dir=tmp_path / str(scale)) as logger:
            logger.attach_trainer(
                training.trainer, model=training.model, optimizers=training.optimizer, hooks=hooks, grad_scale=scale
            )
            training.trainer.run(data(), max_epochs=1)
        with quark.open(tmp_path / str(scale)) as store:
            (view,) = store.runs()
            found = list(view.records("parameter"))
        assert {record.step for record in found} == {5}
        assert all(record.update_norm is not None for record in found)


def test_an_evaluation_within_an_iteration_is_none_of_its_calls(tmp_path):
    """An evaluator that runs in a handler of the iteration's end adds nothing to a probed step."""
    training = Training()
    training.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: training.evaluator.run(data()))
    hooks = quark.HookEngineConfig(schedule=quark.HookScheduleConfig(every_n_steps=5))
    with QuarkLogger(storage_dir=tmp_path) as logger:
        logger.attach_trainer(training.trainer, model=training.model, hooks=hooks)
        training.trainer.run(data(), max_epochs=1)
    assert {record.call_index for record in only(tmp_path).layer_list} == {0}


def test_checkpoints_are_recorded_and_their_handlers_left_as_they_were(tmp_path):
    """Those of trainer and evaluator, on disk and by a function, and Ignite still sees its own kind of handler."""
    training, told = Training(), []
    saver = DiskSaver(tmp_path / "saved", create_dir=True)
    kept = Checkpoint({"model": training.model, "trainer": training.trainer}, saver, n_saved=1)
    best = Checkpoint({"model": training.model}, lambda checkpoint, name, metadata: told.append(name), n_saved=None,
                      global_step_transform=global_step_from_engine(training.trainer))  # fmt: skip
    training.trainer.add_event_handler(Events.EPOCH_COMPLETED(every=2), kept)
    training.evaluator.add_event_handler(Events.COMPLETED, best)
    with QuarkLogger(storage_dir=tmp_path) as logger:
        logger.attach_trainer(training.trainer, **training.all())
        training.trainer.run(data(), max_epochs=4)
        assert isinstance(kept.save_handler, DiskSaver)
    assert kept.save_handler is saver
    saved = [event for event in only(tmp_path).event_list if event.event_type == "checkpoint_saved"]
    files = [event for event in saved if Path(event.payload["path"]).parent == tmp_path / "saved"]
    assert [(event.step, event.epoch) for event in files] == [(12, 2), (24, 4)]
    assert [path.name for path in (tmp_path / "saved").iterdir()] == [Path(files[-1].payload["path"]).name]
    assert [Path(event.payload["path"]).name for event in saved if event not in files] == told
    assert len(told) == 4


def test_a_checkpoint_carries_its_run(tmp_path):
    """Loaded into a new process' logger the run goes on; where it was completed, a child of it starts."""

    def attempt(state: Any, epochs: int, error: BaseException | None = None) -> Any:
        training, logger = Training(), QuarkLogger(storage_dir=tmp_path)
        if state is not None:
            Checkpoint.load_objects({"trainer": training.trainer, "quark": logger}, state)
        saver = DiskSaver(tmp_path / "saved", create_dir=True, require_empty=False)
        keep = Checkpoint({"trainer": training.trainer, "quark": logger}, saver, n_saved=None)
        training.trainer.add_event_handler(Events.EPOCH_COMPLETED, keep)
        if error is not None:
            training.at(8, raising(error))
        try:
            with logger:
                logger.attach_trainer(training.trainer)
                training.trainer.run(data(), max_epochs=epochs)
        except ValueError:
            pass
        return torch.load(keep.last_checkpoint)

    state = attempt(None, 3, ValueError("broken"))
    assert only(tmp_path).status == "failed"
    assert (state["quark"]["step"], state["quark"]["epoch"]) == (6, 1)
    state = attempt(state, 3)
    run = only(tmp_path)
    assert (run.status, run.record.resume_count) == ("completed", 1)
    assert sorted(set(run.all["train/loss"].steps.tolist())) == list(range(1, 19))
    attempt(state, 4)
    with quark.open(tmp_path) as store:
        parents = {view.record.parent_run_id for view in store.runs()}
    assert parents == {None, run.id}


def ended(directory: Path, prepare: Any, **options: Any) -> tuple[str, str]:
    """Status and reason of a training that ``prepare`` brings to its end."""
    training = Training()
    prepare(training)
    with QuarkLogger(storage_dir=directory) as logger:
        logger.attach_trainer(training.trainer, **training.all())
        training.logger = logger
        training.trainer.run(data(), **(options or {"max_epochs": 5}))
    run = only(directory)
    return run.status, run.reason


def test_early_stopping_is_a_criterion_that_was_met(tmp_path):
    """The run is complete, for the reason that the user set."""

    def prepare(training: Training) -> None:
        stopper = EarlyStopping(1, lambda engine: 0.0, training.trainer)
        training.evaluator.add_event_handler(Events.COMPLETED, stopper)

    assert ended(tmp_path, prepare) == ("completed", "criterion_met")
    assert only(tmp_path).seen["early_stopped"].epoch == 2


def test_other_ends_without_an_exception(tmp_path):
    """All iterations that were asked for, a termination by somebody, by NaN, and a stop that was asked of Quark."""
    nothing = lambda training: None  # noqa: E731
    assert ended(tmp_path / "a", nothing, max_iters=8) == ("completed", "max_steps")
    terminate = lambda training: training.at(4, lambda: training.trainer.terminate(skip_completed=True))  # noqa: E731
    assert ended(tmp_path / "b", terminate) == ("completed", "stopped")
    nan = lambda training: training.trainer.add_event_handler(  # noqa: E731
        Events.ITERATION_COMPLETED, TerminateOnNan(output_transform=lambda loss: loss * float("nan"))
    )
    assert ended(tmp_path / "c", nan) == ("completed", "stopped")
    stop = lambda training: training.at(4, lambda: training.logger.run.stop())  # noqa: E731
    assert ended(tmp_path / "d", stop) == ("completed", "stopped")
    assert only(tmp_path / "d").all["train/loss"].steps.tolist() == [1, 2, 3, 4]


ERRORS = [(ValueError("broken"), "failed", "error"), (KeyboardInterrupt(), "interrupted", "interrupted")]


@pytest.mark.parametrize("managed", [True, False])
@pytest.mark.parametrize(("error", "status", "reason"), ERRORS)
def test_an_exception_goes_on_its_way_and_ends_the_run(tmp_path, error, status, reason, managed):
    """Ignite would hold it back for a handler; with a with block or without, the run ends as what it is."""
    training = Training()
    training.at(4, raising(error))
    logger = QuarkLogger(storage_dir=tmp_path)
    logger.attach_trainer(training.trainer, **training.all())
    with pytest.raises(type(error)):
        if managed:
            with logger:
                training.trainer.run(data(), max_epochs=3)
        else:
            training.trainer.run(data(), max_epochs=3)
    logger.close()
    run = only(tmp_path)
    assert (run.status, run.reason) == (status, reason)
    assert run.all["train/loss"].steps.tolist() == [1, 2, 3]
    if reason == "error":
        assert run.seen["runtime_error"].payload["message"] == "ValueError: broken"


@pytest.mark.parametrize(("error", "status", "reason"), ERRORS)
def test_a_handler_of_the_users_keeps_its_word_on_exceptions(tmp_path, error, status, reason):
    """What it holds back stays back. The training that goes on is complete; one that does not is not."""
    training, heard = Training(), []
    training.trainer.add_event_handler(Events.EXCEPTION_RAISED, lambda engine, raised: heard.append(raised))
    training.at(4, raising(error))
    with QuarkLogger(storage_dir=tmp_path) as logger:
        logger.attach_trainer(training.trainer)
        training.trainer.run(data(), max_epochs=2)
    run = only(tmp_path)
    assert heard == [error]
    if isinstance(error, ValueError):  # Ignite goes on with the next epoch
        assert (run.status, run.reason) == ("completed", "completed")
    else:
        assert (run.status, run.reason) == (status, reason)


def test_a_training_that_is_tried_again_has_the_end_of_the_last_try(tmp_path):
    """Two runs of a trainer are one run of Quark; what failed and was repeated did not fail."""
    training = Training()
    training.trainer.interrupt_resume_enabled = False  # with it, Ignite 0.5.5 runs nothing after an exception
    logger = QuarkLogger(storage_dir=tmp_path)
    logger.attach_trainer(training.trainer, **training.all())
    training.at(4, raising(ValueError("broken")))
    with pytest.raises(ValueError, match="broken"):
        training.trainer.run(data(), max_epochs=2)
    training.trainer.run(data(), max_epochs=2)
    logger.close()
    run = only(tmp_path)
    assert (run.status, run.reason) == ("completed", "completed")
    assert run.event_list.count(run.seen["fit_started"]) == 1
    assert len([event for event in run.event_list if event.event_type == "fit_started"]) == 2
    assert len(run.all["val/mae"].steps) == len(training.validated)


def test_a_run_of_the_users_stays_open(tmp_path):
    """It is written to, and ended by whoever started it; after close nothing of ours is on the engines."""
    training = Training()
    with quark.start_run(project="mine", storage_dir=tmp_path) as run:
        with QuarkLogger(run=run) as logger:
            logger.attach_trainer(training.trainer, **training.all())
            training.trainer.run(data(), max_epochs=1)
        assert run.status == "running"
        training.trainer.run(data(), max_epochs=2)
    assert only(tmp_path).all["train/loss"].steps.tolist() == [1, 2, 3, 4, 5, 6]


def test_off_is_off(tmp_path, monkeypatch):
    """With QUARK_DISABLE the engines run as if nothing were attached."""
    monkeypatch.setenv("QUARK_DISABLE", "1")
    training = Training()
    with QuarkLogger(storage_dir=tmp_path) as logger:
        logger.attach_trainer(training.trainer, **training.all())
        training.trainer.run(data(), max_epochs=1)
    assert len(training.losses) == 6
    assert not (tmp_path / ".quark").exists()


def test_wrong_options_are_told():
    """What cannot be meant is refused where it is written."""
    trainer = Training().trainer
    with pytest.raises(quark.SchemaValidationError, match="every_n_steps"):
        QuarkLogger().attach_trainer(trainer, every_n_steps=0)
    with pytest.raises(quark.SchemaValidationError, match="model="):
        QuarkLogger().attach_trainer(trainer, hooks=quark.HookEngineConfig())


def test_importing_is_free_and_a_missing_ignite_is_told():
    """The package loads neither torch nor Ignite; without Ignite the error tells the pip line."""
    code = (
        "import sys; sys.modules['ignite'] = None\nimport quark, quark_integrations.callbacks.ignite as ours\n"
        "assert 'torch' not in sys.modules\n"
        "try: ours.QuarkLogger\nexcept quark.MissingDependencyError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "quark-tracker[ignite]"' in done.stdout, done.stderr


def test_an_evaluation_before_the_training_is_recorded(tmp_path):
    """The first of four evaluations comes before the trainer has begun; all four are there, each once."""
    training = Training()
    with QuarkLogger("engines", storage_dir=tmp_path) as logger:
        logger.attach_trainer(training.trainer, **training.all())
        training.evaluator.run(data(2))
        first = training.evaluator.state.metrics["mae"]
        training.trainer.run(data(), max_epochs=3)
    mae = only(tmp_path).all["val/mae"]
    assert mae.steps.tolist() == [0, 6, 12, 18]
    assert mae.values.tolist() == [first, *(metrics["mae"] for metrics in training.validated)]


@pytest.mark.parametrize(("event", "rows"), [(Events.ITERATION_COMPLETED, 4), (Events.ITERATION_STARTED, 3)])
def test_a_finished_iteration_is_kept_when_a_handler_raises(tmp_path, event, rows):
    """Its row is recorded if a handler of its end raises; an iteration that never ran has none."""
    training = Training()
    training.trainer.add_event_handler(event(once=4), raising(ValueError("boom")))
    with (
        pytest.raises(ValueError, match="boom"),
        QuarkLogger("engines", storage_dir=tmp_path) as logger,
    ):
        logger.attach_trainer(training.trainer, **training.all())
        training.trainer.run(data(), max_epochs=1)
    run = only(tmp_path)
    assert (run.status, run.all["train/loss"].steps.tolist()) == ("failed", list(range(1, rows + 1)))


def test_two_trainers_in_one_run_are_named(tmp_path, caplog):
    """Their steps are the same numbers, which is said once."""
    with QuarkLogger("engines", storage_dir=tmp_path) as logger:
        for _ in range(2):
            training = Training()
            logger.attach_trainer(training.trainer, **training.all())
            training.trainer.run(data(), max_epochs=1)
    assert caplog.text.count("give each training a run of its own") == 1
