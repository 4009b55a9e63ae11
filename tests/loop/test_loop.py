"""The tracked loop: what tasks get and give, what is recorded, what is told, and what is refused."""

import asyncio
import math
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import quark
from quark import ConfigurationError, InvalidRunStateError, SchemaValidationError, WrongTypeError


@pytest.fixture
def new(tmp_path):
    def make(**options):
        return quark.Loop(project="loop", storage_dir=tmp_path, **options)

    return make


@pytest.fixture
def view(tmp_path):
    opened = []

    def look(loop):
        store = quark.open(tmp_path)
        opened.append(store)
        return store.run(loop.run.run_id)

    yield look
    for store in opened:
        store.close()


class Diary(quark.TrackerBase):
    """Keeps what it is told."""

    def __init__(self):
        self.manifests, self.states, self.ends = [], [], []

    def on_start(self, manifest):
        self.manifests.append(manifest)

    def on_step(self, state):
        self.states.append(state)

    def on_stop(self, final_state, reason):
        self.ends.append((final_state, reason))


def run_through(loop, **options):
    with loop.start(**options) as steps:
        return list(steps)


def test_what_tasks_return_is_merged_into_one_frozen_state(new):
    """Tasks run in order and see what earlier ones returned; each iteration starts afresh, the last one at hand."""
    loop = new()

    @loop.task("simulation")
    def simulate(step, previous):
        return {"found": step * 10, "before": None if previous is None else previous.found}

    @loop.task("training")
    def train(state):
        return {"loss": 1.0 / (state.found + 1)}

    @loop.task("note")
    def note():
        return "text"

    states = run_through(loop, max_steps=2)
    assert [dict(state.state) for state in states] == [
        {"found": 0, "before": None, "loss": 1.0, "note": "text"},
        {"found": 10, "before": 0, "loss": 1 / 11, "note": "text"},
    ]
    assert (states[1].step, states[1].loss, states[1].get("missing", 7)) == (1, 1 / 11, 7)
    with pytest.raises(TypeError):
        states[0].state["loss"] = 0.0
    with pytest.raises(AttributeError):
        states[0].step = 3


def test_numbers_are_metrics_and_nothing_else_is(new, view):
    """Python, NumPy and nested numbers become metrics at their step, of any name; text and arrays do not."""
    loop = new()

    @loop.task()
    def everything(step):
        return {
            "int": step, "half": np.float32(0.5), "yes": True, "zero_d": np.array(2.0), "val": {"mse": 0.25},
            "text": "x", "many": np.ones(3), "none": None, "complex": 1j, "no key!": 1.0, "step": 99,
        }  # fmt: skip

    states = run_through(loop, max_steps=2)
    assert (states[1].step, states[1].get("step")) == (1, 99)
    keys = [key for key in sorted(view(loop).latest()) if not key.startswith("system/")]
    assert keys == ["half", "int", "no key!", "step", "val/mse", "yes", "zero_d"]
    series = view(loop).series("int")
    assert (series.steps.tolist(), series.values.tolist()) == ([0, 1], [0.0, 1.0])
    assert len(view(loop).series("system/tasks/everything_ms")) == 2


def test_what_the_backend_is_told_is_never_recorded(new, tmp_path):
    """Only log_params reach trackers and the store; other keywords are the backend's, in no byte that Quark writes."""
    loop, diary = new(), Diary()
    loop.criterion(metric="loss", threshold=0.0)

    @loop.task("training", log_params={"kernel": "rbf", "api_key": "canary-2"}, num_gpus=4, auth="canary-1")
    def train():
        return {"loss": 1.0}

    loop.add_tracker(diary)
    loop.add_tracker(quark.JsonlSink(tmp_path / "run.jsonl"))
    with loop.start(max_steps=2) as steps:
        for _ in steps:
            assert_absent(tmp_path, b"canary")
    assert_absent(tmp_path, b"canary")
    assert dict(loop.tasks["training"].backend) == {"num_gpus": 4, "auth": "canary-1"}
    assert dict(diary.manifests[0].tasks["training"].log_params) == {"kernel": "rbf", "api_key": "[redacted]"}
    assert "canary" not in repr((loop, loop.tasks, diary.manifests))


def assert_absent(directory, word):
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert len(files) > 2
    assert [path for path in files if word in path.read_bytes()] == []


def test_the_manifest_is_complete_when_a_tracker_is_added(new, view):
    """on_start fires inside add_tracker and knows tasks, criterion and workers; the store has them as an event."""
    loop, diary = new(workers=2, config={"lr": 0.1}), Diary()
    loop.task("training", log_params={"kernel": "rbf"})(lambda: {"mse": 1.0})
    loop.criterion(metric="mse", threshold=0.01, operator="<")
    loop.add_tracker(diary)
    (manifest,) = diary.manifests
    assert (list(manifest.tasks), manifest.workers, dict(manifest.params)) == (["training"], 2, {"lr": 0.1})
    assert manifest.tasks["training"].func_module == __name__
    assert manifest.criterion == quark.CriterionManifest("mse", 0.01, "<")
    run_through(loop, max_steps=1)
    (event,) = view(loop).events(event_type="loop_started")
    assert event.payload["criterion"] == {"metric": "mse", "operator": "<", "threshold": 0.01}
    assert event.payload["tasks"]["training"]["log_params"] == {"kernel": "rbf"}


def test_declarations_that_come_too_late_are_refused(new):
    """After add_tracker the manifest is out: another task or criterion is an error that says so."""
    loop = new()
    with pytest.raises(InvalidRunStateError, match="declare its tasks"):
        loop.add_tracker(Diary())
    loop.task("a")(lambda: None)
    loop.add_tracker(Diary())
    for declare in (lambda: loop.task("b")(lambda: None), lambda: loop.criterion("loss", 1.0)):
        with pytest.raises(InvalidRunStateError, match="came after add_tracker"):
            declare()
    assert [state.step for state in run_through(loop, max_steps=1)] == [0]


def test_a_criterion_of_its_own_function(new, view):
    """What the decorated function returns is the criterion's metric: compared, recorded, and told."""
    loop = new()
    loop.task("work")(lambda step: {"found": step})

    @loop.criterion(metric="val/score", threshold=2, operator=">=")
    async def score(state):
        return np.float64(state.found)

    states = run_through(loop)
    assert [state.criterion_value for state in states] == [0.0, 1.0, 2.0]
    assert [state.should_stop for state in states] == [False, False, True]
    assert (loop.run.context.run.reason, loop.run.status) == ("criterion_met", "completed")
    assert view(loop).series("val/score").values.tolist() == [0.0, 1.0, 2.0]


def test_a_metric_that_is_missing_or_nan_meets_nothing(new, view):
    """No value is no success: a NaN is kept as an event, a metric that nobody returns is named once."""
    loop = new()
    loop.task("work")(lambda step: {"loss": math.nan} if step else {})
    loop.criterion(metric="loss", threshold=1.0)
    run_through(loop, max_steps=2)
    assert loop.run.context.run.reason == "max_steps"
    assert view(loop).events(event_type="metric_nonfinite")[0].step == 1
    assert loop.run.health()["faults"]["criterion"]["count"] == 1


def test_a_configuration_changes_with_the_next_iteration(new, view):
    """set_next_config reaches tasks from the next iteration on; what really changed is an event, secrets redacted."""
    loop = new(config={"lr": 1.0, "size": 8})
    loop.task("work")(lambda config: {"lr": config["lr"], "size": config["size"]})
    with loop.start(max_steps=4) as steps:
        for state in steps:
            if state.step == 1:
                loop.set_next_config({"lr": 0.5, "size": 8, "password": "canary"})
                assert state.lr == 1.0
    assert view(loop).series("lr").values.tolist() == [1.0, 1.0, 0.5, 0.5]
    (event,) = view(loop).events(event_type="config_changed")
    assert (event.step, event.payload) == (2, {"changed": {"lr": 0.5, "password": "[redacted]"}})
    with pytest.raises(WrongTypeError):
        loop.set_next_config(3)


def test_workers_run_beside_each_other_with_states_of_their_own(new, view):
    """Two workers meet inside their tasks; 0 is a worker; metrics, configuration and final state are each one's own."""
    loop, diary = new(workers=2, config={"lr": 1.0}), Diary()
    meeting = threading.Barrier(2, timeout=30)

    @loop.task("work")
    def work(step, worker_id, config, previous):
        meeting.wait()
        assert previous is None or previous.me == worker_id
        return {"me": worker_id, "lr": config["lr"]}

    loop.add_tracker(diary)
    loop.set_next_config({"lr": 0.5}, worker_id=0)
    with loop.start(max_steps=2) as steps:
        seen = sorted((state.worker_id, state.step) for state in steps)
        assert {key: state.step for key, state in steps.final_states.items()} == {0: 1, 1: 1}
    assert seen == [(0, 0), (0, 1), (1, 0), (1, 1)]
    ((final, reason),) = diary.ends
    assert ({key: state.lr for key, state in final.workers.items()}, reason) == ({0: 0.5, 1: 1.0}, "max_steps")
    assert view(loop).series("worker-0/lr").values.tolist() == [0.5, 0.5]
    assert view(loop).series("worker-1/lr").steps.tolist() == [0, 1]
    ended = [(e.payload["worker_id"], e.payload["reason"]) for e in view(loop).events(event_type="worker_ended")]
    assert sorted(ended) == [(0, "max_steps"), (1, "max_steps")]
    assert [thread for thread in threading.enumerate() if thread.name.startswith("quark-loop")] == []


def test_workers_on_an_event_loop(new, view):
    """async for runs asynchronous tasks of named workers together; synchronous ones go to threads."""
    loop = new(workers=["left", "right"])

    async def main():
        meeting, threads = asyncio.Barrier(2), threading.Barrier(2, timeout=30)

        @loop.task("wait")
        async def wait():
            await asyncio.wait_for(meeting.wait(), 30)

        @loop.task("work")
        def work(step):
            threads.wait()
            return {"x": step}

        async with loop.start(max_steps=2) as steps:
            return sorted([(state.worker_id, state.step) async for state in steps])

    assert asyncio.run(main()) == [("left", 0), ("left", 1), ("right", 0), ("right", 1)]
    assert view(loop).series("right/x").steps.tolist() == [0, 1]


def test_a_goal_of_one_worker_is_not_the_goal_of_all(new):
    """One worker reaches the goal and rests, the other goes on to the end: the loop has made its steps, no more."""
    loop = new(workers=2)
    loop.task("work")(lambda worker_id: {"loss": float(worker_id)})
    loop.criterion(metric="loss", threshold=0.5)
    states = run_through(loop, max_steps=3)
    assert sorted(state.worker_id for state in states) == [0, 1, 1, 1]
    assert loop.run.context.run.reason == "max_steps"


def test_a_stop_lets_workers_finish_what_they_began(new, view):
    """stop() ends a parallel loop after the iterations that have begun; all of them are recorded and handed out."""
    loop = new(workers=3)
    loop.task("work")(lambda step: {"x": step})
    with loop.start() as steps:
        for state in steps:
            if state.step == 2:
                loop.stop()
    assert loop.run.context.run.reason == "stopped"
    for worker in range(3):
        assert len(view(loop).series(f"worker-{worker}/x")) == steps.final_states[worker].step + 1


def test_a_stop_before_the_start(new):
    """A loop that was stopped before it began makes no step and says so."""
    loop = new()
    loop.task("work")(lambda: None)
    loop.stop()
    assert run_through(loop, max_steps=3) == []
    assert loop.run.context.run.reason == "stopped"


def test_asynchronous_tasks_in_a_plain_for(new):
    """A plain for runs asynchronous tasks on an event loop of its own; inside a running one it says what to write."""

    def declare():
        loop = new()

        @loop.task("work")
        async def work(step):
            await asyncio.sleep(0)
            return {"x": step}

        return loop

    assert [state.x for state in declare().start(max_steps=2)] == [0, 1]

    async def main():
        for _ in declare().start(max_steps=2):
            pass

    with pytest.raises(ConfigurationError, match="async for"):
        asyncio.run(main())


def test_an_open_run_goes_on_after_the_loop(tmp_path, view):
    """With session= the loop is a part of a run: steps count on; the loop's reason is the run's if nothing comes."""
    with quark.start_run(project="loop", storage_dir=tmp_path) as run:
        run.step(0, {"x": 5.0})
        loop, diary = quark.Loop(session=run), Diary()
        loop.task("work")(lambda step: {"x": step})
        loop.add_tracker(diary)
        assert list(diary.manifests[0].tasks) == ["work"]
        assert [state.step for state in loop.start(max_steps=2)] == [1, 2]
        assert (run.status, diary.ends) == ("running", [])
    assert (run.context.run.reason, diary.ends[0][1]) == ("max_steps", "max_steps")
    assert view(loop).series("x").steps.tolist() == [0, 1, 2]
    with pytest.raises(ConfigurationError, match="config="):
        quark.Loop(session=run, config={"a": 1})
    with pytest.raises(WrongTypeError):
        quark.Loop(session=SimpleNamespace())


def test_what_is_logged_in_a_task_or_in_the_body_is_of_the_step(new, view):
    """log without a step means the loop's step, in tasks and in the body; loops inside of tasks leave it alone."""
    loop = new()

    @loop.task("work")
    def work(run):
        for _ in run.steps(range(2), progress=False):
            pass
        quark.current_run().log({"in_task": 1.0})

    with loop.start(max_steps=2) as steps:
        for _ in steps:
            loop.run.log({"in_body": 1.0})
    assert view(loop).series("in_task").steps.tolist() == [0, 1]
    assert view(loop).series("in_body").steps.tolist() == [0, 1]


def test_an_error_names_its_task(new):
    """What a task raises leaves the loop as it is, with a note of where it came from."""
    loop = new(workers=2)

    @loop.task("training")
    def train(worker_id):
        if worker_id == 1:
            raise ValueError("no data")

    with pytest.raises(ValueError, match="no data") as raised:
        run_through(loop)
    assert raised.value.__notes__ == ["in task 'training' of the loop, step 0 of worker-1"]
    assert (loop.run.status, loop.run.context.run.reason) == ("failed", "error")


def test_a_loop_that_is_left_waits_for_its_workers(new):
    """break while another worker is in its task: the block ends when the task has, and its result is not recorded."""
    loop, first, go = new(workers=2), threading.Event(), threading.Event()
    ended = []

    @loop.task("work")
    def work(worker_id):
        if worker_id == 1:
            first.set()
            go.wait(30)
            ended.append(worker_id)

    with loop.start() as steps:
        for _ in steps:
            first.wait(30)
            threading.Timer(0.1, go.set).start()
            break
    assert ended == [1]
    assert loop.run.context.run.reason == "stopped"


def test_parameters_and_changes_may_hold_anything(tmp_path):
    """Outside strict mode they are recorded as a configuration is; tasks get the very objects."""
    weights, seen = np.arange(3), []
    loop = quark.Loop(project="p", storage_dir=tmp_path, config=SimpleNamespace(lr=0.1))

    @loop.task(log_params={"path": Path("/x"), "f": len, "nan": math.nan})
    def train(config):
        seen.append(config.get("weights"))
        return {"loss": 1.0}

    with loop.start(max_steps=2) as steps:
        for _ in steps:
            loop.set_next_config({"weights": weights, "path": Path("/y")})
    assert seen[1] is weights
    with quark.open(tmp_path) as store:
        (view,) = store.runs()
        (began,) = view.events("loop_started")
        (changed,) = view.events("config_changed")
        assert view.config == {"lr": 0.1}
    assert began.payload["tasks"]["train"]["log_params"] == {"path": "/x", "f": "builtins.len", "nan": "nan"}
    assert changed.payload["changed"] == {"weights": [0, 1, 2], "path": "/y"}


@pytest.mark.parametrize(
    ("declare", "error", "words"),
    [
        (lambda loop: loop.task("a/b")(lambda: None), SchemaValidationError, "without '/'"),
        (lambda loop: loop.task("known")(lambda: None), SchemaValidationError, "already"),
        (lambda loop: loop.task("x")(lambda model: None), SchemaValidationError, "'model'.*previous"),
        (lambda loop: loop.task("x")(3), WrongTypeError, "function"),
        (lambda loop: quark.Loop(strict_mode=True).task("x", log_params={"f": print})(abs), WrongTypeError, "JSON"),
        (lambda loop: quark.Loop(strict_mode=True).set_next_config({"f": print}), WrongTypeError, "JSON"),
        (lambda loop: loop.criterion("loss", 1.0, "~"), SchemaValidationError, "<="),
        (lambda loop: loop.criterion("loss", math.inf), SchemaValidationError, "finite"),
        (lambda loop: loop.criterion("no key!", 1.0), SchemaValidationError, "criterion's metric"),
        (lambda loop: loop.set_next_config({}, worker_id=5), SchemaValidationError, "no worker 5"),
        (lambda loop: quark.Loop(workers=0), SchemaValidationError, "at least 1"),
        (lambda loop: quark.Loop(workers="abc"), WrongTypeError, "list of names"),
        (lambda loop: quark.Loop(workers=["a", "a"]), SchemaValidationError, "differ"),
    ],
)
def test_what_makes_no_sense_is_refused(new, declare, error, words):
    """Each wrong declaration is refused where it stands, with what it got and what to do."""
    loop = new()
    loop.task("known")(lambda: None)
    with pytest.raises(error, match=words):
        declare(loop)


def test_for_and_async_for_do_not_mix(new):
    """A loop that was begun with one kind of for goes on with it."""
    loop = new()
    loop.task("work")(lambda: None)
    with loop.start(max_steps=3) as steps:
        next(steps)
        with pytest.raises(ConfigurationError, match="the same"):
            asyncio.run(anext(steps))


def test_a_loop_that_records_nothing_runs_all_the_same(monkeypatch, tmp_path):
    """QUARK_DISABLE=1: tasks, criterion, workers and stop work, and no file is written."""
    monkeypatch.setenv("QUARK_DISABLE", "1")
    for workers, expected in ((None, 4), (2, 8)):
        loop = quark.Loop(project="off", storage_dir=tmp_path, workers=workers)
        loop.task("work")(lambda step: {"x": step})
        loop.criterion(metric="x", threshold=3, operator=">=")
        assert len(run_through(loop)) == expected
    assert list(tmp_path.iterdir()) == []


def test_a_tracker_cannot_change_what_others_see(new):
    """A tracker that tries to write into the state is reported; the loop and the other trackers see the true one."""

    class Vandal:
        def on_step(self, state):
            state.state["x"] = -1

    loop, diary = new(), Diary()
    loop.task("work")(lambda step: {"x": step})
    loop.add_tracker(Vandal())
    loop.add_tracker(diary)
    assert [state.x for state in run_through(loop, max_steps=2)] == [0, 1]
    assert [state.x for state in diary.states] == [0, 1]
    assert loop.run.health()["faults"]["tracker_Vandal.on_step"]["count"] == 2
