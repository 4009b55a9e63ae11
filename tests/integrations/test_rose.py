"""ROSE's learners recorded by Quark, and ROSE's trackers told of Quark's runs, through doubles of ROSE's protocol."""

import asyncio
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import quark
from quark_integrations.callbacks.rose import QuarkTracker

from .rose_doubles import Learner as RoseLearner
from .rose_doubles import LearnerConfig, TaskConfig


def work(iteration, learner):
    return {"mse": 1.0 / (iteration + 1)}


@pytest.fixture
def tracker(tmp_path):
    made = QuarkTracker("rose", storage_dir=tmp_path)
    yield made
    made.close()


def drain(learner, tracker, act=None, max_iter=3):
    """Add the tracker and go through the loop; ``act`` is the body, and may leave it."""

    async def main():
        async for state in learner.start(max_iter):
            if act is not None and act(state):
                break

    learner.add_tracker(tracker)
    asyncio.run(main())


def recorded(tracker):
    with quark.open(tracker.run.storage_dir) as store:
        view = store.run(tracker.run.run_id)
        return view.status, view.reason, {key: view.series(key).values.tolist() for key in sorted(view.latest())}


def test_numbers_of_every_make_and_declared_parameters_are_recorded(tmp_path, tracker):
    """NumPy scalars, bools and 0-d arrays are metrics; log_params are the configuration, the backend's keywords not."""

    def rich(iteration, learner):
        return {"mse": np.float32(0.5), "done": True, "zero_d": np.array(2), "text": "x", "many": np.ones(3), "n": 7}

    learner = RoseLearner(rich)
    learner.config = LearnerConfig(TaskConfig({"--lr": 0.1, "auth": "canary-config", "depth": 3}))
    drain(learner, tracker, max_iter=2)
    status, reason, series = recorded(tracker)
    assert (status, reason) == ("completed", "max_steps")
    assert series == {
        "mse": [0.5, 0.5], "done": [1.0, 1.0], "zero_d": [2.0, 2.0], "n": [7.0, 7.0],
        "config/training/lr": [0.1, 0.1], "config/training/depth": [3.0, 3.0],
    }  # fmt: skip
    config = tracker.run.context.run.config["rose"]
    assert config["learner_type"] == "SequentialActiveLearner"
    assert config["tasks"]["training"]["log_params"] == {"kernel": "rbf", "made_by": "<class 'object'>", "depth": 3}
    assert config["tasks"]["training"]["as_executable"] is False
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files and not [path for path in files if b"canary" in path.read_bytes()]


def test_learners_beside_each_other_are_workers(tracker):
    """Metrics carry the learner: numbers, 0 among them, and names alike."""
    drain(RoseLearner(work, learners=[0, 1, "uq"]), tracker, max_iter=2)
    status, reason, series = recorded(tracker)
    assert (status, reason) == ("completed", "max_steps")
    assert series == {"worker-0/mse": [1.0, 0.5], "worker-1/mse": [1.0, 0.5], "uq/mse": [1.0, 0.5]}


def test_words_of_rose_that_are_true_are_taken(tmp_path):
    """A met criterion, a stop and all iterations end the run at once, with that reason."""
    reasons = []
    for threshold, act in ((0.4, None), (-1.0, "stop"), (-1.0, None)):
        tracker = QuarkTracker("rose", storage_dir=tmp_path)
        learner = RoseLearner(work, threshold=threshold)
        drain(learner, tracker, act=(lambda state, learner=learner: learner.stop()) if act else None)
        reasons.append(recorded(tracker)[:2])
    assert reasons == [("completed", "criterion_met"), ("completed", "stopped"), ("completed", "max_steps")]


def raising(error):
    def act(state):
        raise error

    return act


def test_a_task_that_raises_fails_the_run(tracker):
    """An exception inside of ROSE's loop is an error, with its message in the run."""

    def broken(iteration, learner):
        raise ValueError("no data")

    with pytest.raises(ValueError, match="no data"):
        drain(RoseLearner(broken), tracker)
    assert recorded(tracker)[:2] == ("failed", "error")
    with quark.open(tracker.run.storage_dir) as store:
        (event,) = store.run(tracker.run.run_id).events(event_type="runtime_error")
    assert "no data" in event.payload["message"]


def test_a_loop_that_is_broken_off_is_not_called_complete(tracker):
    """ROSE says max_iter_reached of a break; the run stays open, and ends as stopped."""
    drain(RoseLearner(work), tracker, act=lambda state: True)
    assert tracker.run.status == "running"
    tracker.close()
    assert recorded(tracker)[:2] == ("completed", "stopped")


def test_a_break_because_the_goal_is_reached_says_so(tracker):
    """Leaving the loop when state.should_stop is set is the criterion's doing."""
    drain(RoseLearner(work, threshold=0.6), tracker, act=lambda state: state.should_stop)
    tracker.close()
    assert recorded(tracker)[:2] == ("completed", "criterion_met")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("body"), ("failed", "error")),
        (KeyboardInterrupt(), ("interrupted", "interrupted")),
        (SystemExit(3), ("interrupted", "interrupted")),
        (asyncio.CancelledError(), ("interrupted", "interrupted")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_exception_in_the_body_is_seen_by_the_with_block(tracker, error, expected):
    """with QuarkTracker(...) around the loop: what leaves the body decides, whatever ROSE says."""
    with pytest.raises(type(error)), tracker:
        drain(RoseLearner(work), tracker, act=raising(error))
    assert recorded(tracker)[:2] == expected


def test_an_interrupt_inside_of_the_learner_is_an_interruption(tracker):
    """Ctrl-C while a task runs: ROSE says max_iter_reached, the run says interrupted."""

    def interrupted(iteration, learner):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drain(RoseLearner(interrupted), tracker)
    assert recorded(tracker)[:2] == ("interrupted", "interrupted")


def test_parallel_learners_that_were_stopped_did_not_make_all_iterations(tracker):
    """ROSE says max_iter_reached of stopped parallel learners; they did not come equally far."""
    learner = RoseLearner(work, learners=["a", "b"])
    drain(
        learner, tracker, act=lambda state: learner.stop() if (state.iteration, state.learner_id) == (1, "a") else None
    )
    assert recorded(tracker)[:2] == ("completed", "stopped")


def test_a_second_end_and_a_second_learner_change_nothing(tracker):
    """on_stop twice ends once; one tracker has one learner."""
    learner = RoseLearner(work)
    drain(learner, tracker)
    tracker.on_stop(None, "error")
    assert recorded(tracker)[:2] == ("completed", "max_steps")
    with pytest.raises(quark.InvalidRunStateError, match="one for each learner"):
        RoseLearner(work).add_tracker(tracker)


def test_an_open_run_is_recorded_into(tmp_path):
    """With session= the learner is a part of a run, which goes on after it."""
    with quark.start_run(project="rose", storage_dir=tmp_path) as run:
        tracker = QuarkTracker(session=run)
        drain(RoseLearner(work, threshold=0.6), tracker)
        assert run.status == "running"
    assert recorded(tracker)[:2] == ("completed", "criterion_met")
    with pytest.raises(quark.ConfigurationError):
        QuarkTracker("p", session=run)


PROGRAM = """
import sys
from quark_integrations.callbacks.rose import QuarkTracker
from tests.integrations.rose_doubles import Learner
import asyncio
learner = Learner(lambda iteration, learner: {"mse": 1.0})
learner.add_tracker(QuarkTracker("rose", storage_dir=sys.argv[1]))
async def main():
    if sys.argv[2] == "setup":
        raise ValueError("before the loop")
    async for state in learner.start(3):
        if sys.argv[2] == "body":
            raise ValueError("in the body")
        if sys.argv[2] == "break":
            break
if sys.argv[2] != "never":
    asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("setup", ("failed", "error")), ("body", ("failed", "error")), ("break", ("completed", "stopped")),
        ("never", ("interrupted", "interrupted")),
    ],
)  # fmt: skip
def test_the_end_of_the_process_decides_what_rose_cannot(tmp_path, way, expected):
    """Without with: what leaves the program uncaught, also before ROSE's loop, is the run's end."""
    root = Path(quark.__file__).parents[1]
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), way]
    subprocess.run(command, cwd=root, capture_output=True, check=False, timeout=60)
    with quark.open(tmp_path) as store:
        (view,) = store.runs()
    assert (view.status, view.reason) == expected


class FileTracker:
    """A tracker as ROSE's documentation writes one."""

    def __init__(self):
        self.lines = []

    def on_start(self, manifest):
        goal = manifest.criterion
        self.lines.append(
            ("start", manifest.learner_type, list(manifest.tasks), goal and (goal.metric_name, goal.threshold))
        )
        for task in manifest.tasks.values():
            self.lines.append((task.func_name, task.as_executable, dict(task.log_params)))

    def on_iteration(self, state):
        config = state.current_config.get_task_config("training", state.iteration).kwargs
        self.lines.append((state.iteration, state.metric_name, state.metric_value, state.metric_threshold,
                           state.metric_history, state.should_stop, state.learner_id, state.train_loss, config,
                           state.no_such_key, state.state["train_loss"], state.get("train_loss")))  # fmt: skip

    def on_stop(self, final_state, reason):
        self.lines.append(("stop", reason, final_state.iteration if final_state else None))


def test_a_rose_tracker_on_a_quark_loop(tmp_path):
    """A tracker of ROSE's documentation works on quark.Loop as it is, in ROSE's words, worker 0 included."""
    loop, tracker = quark.Loop(project="r", storage_dir=tmp_path, config={"lr": 0.5}, workers=1), FileTracker()
    loop.task("training", log_params={"kernel": "rbf"})(lambda step: {"train_loss": 1.0 / (step + 1)})
    loop.criterion(metric="train_loss", threshold=0.1)
    loop.add_tracker(tracker)
    with loop.start(max_steps=2) as steps:
        assert len(list(steps)) == 2
    assert tracker.lines == [
        ("start", "Loop", ["training"], ("train_loss", 0.1)),
        ("<lambda>", False, {"kernel": "rbf"}),
        (0, "train_loss", 1.0, 0.1, [1.0], False, 0, 1.0, {"lr": 0.5}, None, 1.0, 1.0),
        (1, "train_loss", 0.5, 0.1, [1.0, 0.5], False, 0, 0.5, {"lr": 0.5}, None, 0.5, 0.5),
        ("stop", "max_iter_reached", 1),
    ]
    assert loop.run.health()["faults"] == {}


def test_a_rose_tracker_on_a_plain_run(tmp_path):
    """Without a loop there is no criterion: its names are None, metrics stand where the state would."""

    class Keep:
        def on_iteration(self, state):
            self.seen = (state.iteration, state.metric_value, state.current_config, state.state, state.to_dict())

    keep = Keep()
    with quark.start_run(project="r", storage_dir=tmp_path, trackers=[keep]) as run:
        run.step(4, {"loss": 0.5})
    assert keep.seen[:4] == (4, None, None, {"loss": 0.5})
    assert keep.seen[4]["iteration"] == 4
    assert run.health()["faults"] == {}


@pytest.mark.parametrize(("base", "methods"), [
    (base, kept)
    for base in (object, quark.TrackerBase)
    for count in (1, 2, 3)
    for kept in itertools.combinations(("on_start", "on_iteration", "on_stop"), count)
    if base is object or "on_iteration" in kept  # without it, it is a tracker of Quark's protocol
])  # fmt: skip
def test_any_subset_of_a_rose_tracker_s_methods(tmp_path, base, methods):
    """Every method that is there is called, and reads ROSE's names; one that Quark's own base class lacks too."""
    called = {}

    def on_start(self, manifest):
        called["on_start"] = (manifest.learner_type, manifest.tasks["training"].as_executable, manifest.parallel_count,
                              manifest.criterion.func_name, manifest.no_such_name)  # fmt: skip

    def on_iteration(self, state):
        called["on_iteration"] = (state.iteration, state.metric_value, state.to_dict()["mse"], state.no_such_name)

    def on_stop(self, final_state, reason):
        called["on_stop"] = (final_state.metric_value, final_state.metric_history, reason == "max_iter_reached")

    made = {"on_start": on_start, "on_iteration": on_iteration, "on_stop": on_stop}
    tracker = type("Tracker", (base,), {name: made[name] for name in methods})()
    loop = quark.Loop(project="r", storage_dir=tmp_path)
    loop.task("training")(lambda step: {"mse": 1.0 / (step + 1)})

    @loop.criterion(metric="mse", threshold=0.1)
    def goal(state):
        return state.mse

    loop.add_tracker(tracker)
    with loop.start(max_steps=2) as steps:
        assert len(list(steps)) == 2
    expected = {
        "on_start": ("Loop", False, None, "goal", None), "on_iteration": (1, 0.5, 0.5, None),
        "on_stop": (0.5, [1.0, 0.5], True),
    }  # fmt: skip
    assert called == {name: expected[name] for name in methods}
    assert loop.run.health()["faults"] == {}


def test_a_tracker_with_a_part_of_both_protocols_reads_either(tmp_path):
    """Without on_step and on_iteration nobody can tell: Quark's own objects, which have ROSE's names too."""
    seen = {}

    class Ends:
        def on_start(self, manifest):
            seen["manifest"] = manifest

        def on_stop(self, final_state, reason):
            seen["end"] = (final_state, reason)

    with quark.start_run(project="r", storage_dir=tmp_path, trackers=[Ends()]) as run:
        run.step(4, {"loss": 0.5})
    manifest, (final, reason) = seen["manifest"], seen["end"]
    assert isinstance(manifest, quark.RunManifest)
    assert manifest == run.manifest
    assert isinstance(final, quark.StepState)
    assert (final.step, final.iteration, final.loss) == (4, 4, 0.5)
    assert reason in ("completed",)
    assert reason in ["max_iter_reached"]
    assert reason == "completed"
    assert reason != "stopped"
    assert f"{reason} {json.dumps(reason)}" == 'completed "completed"'
