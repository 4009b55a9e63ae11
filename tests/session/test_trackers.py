"""Trackers: told everything in order, and never able to harm the run or each other."""

import os
import re
import threading
import time

import pytest

import quark
from quark import TrackerBase
from quark.delivery.place import WriterPlace


class Diary(TrackerBase):
    """Writes down what it is told."""

    def __init__(self, book, name=""):
        self.book, self.name = book, name

    def on_start(self, manifest):
        self.book.append((self.name, "start", manifest.project))

    def on_step(self, state):
        self.book.append((self.name, "step", state.step))

    def on_stop(self, final_state, reason):
        self.book.append((self.name, "stop", reason, final_state.step if final_state else None))


class Broken:
    """Raises wherever it is told something."""

    def __init__(self):
        self.told = []

    def on_start(self, manifest):
        self.told.append("start")
        raise RuntimeError("start")

    def on_step(self, state):
        self.told.append("step")
        raise RuntimeError("step")

    def on_stop(self, final_state, reason):
        self.told.append("stop")
        raise RuntimeError("stop")


def test_trackers_open_in_order_and_close_in_reverse(tmp_path):
    """on_start fires inside add_tracker; steps go in order of registration; the last tracker hears of the end first."""
    book = []
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        run.add_tracker(Diary(book, "a"))
        assert book == [("a", "start", "p")]
        run.add_tracker(Diary(book, "b"))
        run.step(0, {"loss": 1.0})
    assert book[2:] == [
        ("a", "step", 0),
        ("b", "step", 0),
        ("b", "stop", "completed", 0),
        ("a", "stop", "completed", 0),
    ]


def test_a_tracker_that_raises_everywhere_harms_nobody(tmp_path):
    """A raising tracker hears everything and stops neither the run nor its neighbours; the faults are counted."""
    book, broken = [], Broken()
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        run.add_tracker(broken)
        run.add_tracker(Diary(book))
        run.step(0)
        run.step(1)
    assert broken.told == ["start", "step", "step", "stop"]
    assert [entry[1] for entry in book] == ["start", "step", "step", "stop"]
    assert run.status == "completed"
    assert sum("tracker_Broken" in cause for cause in run.health()["faults"]) == 3


class OddError(Exception):
    """Its text raises."""

    def __str__(self):
        raise RuntimeError("no text")


class Odd(quark.TrackerBase):
    """Raises an odd exception, and has no methods but on_step that can be looked up."""

    def on_step(self, state):
        raise OddError

    def __getattribute__(self, name):
        if name in ("on_start", "on_stop"):
            raise OddError
        return super().__getattribute__(name)


class OddSink(quark.MemorySink):
    """Takes nothing."""

    def write(self, batch):
        raise OddError


class Named(quark.MemorySink):
    """A sink whose name is whatever it is given."""

    def __init__(self, name: object) -> None:
        super().__init__()
        self.given = name

    @property
    def name(self):  # type: ignore[override]
        if isinstance(self.given, Exception):
            raise self.given
        return self.given

    def spec(self):
        return {}


@pytest.mark.parametrize(
    "name",
    [5, None, b"x", ["a"], object(), "", "../x", "a\0b", "x" * 300, "長", OddError(), ValueError("no")],
    ids=lambda name: type(name).__name__,
)
def test_a_sink_may_have_any_name(tmp_path, name):
    """It gets its records under a name that can be one of a file, and what is written down of it can be read."""
    sink = Named(name)
    with quark.start_run(project="p", storage_dir=tmp_path, trackers=[sink]) as run:
        run.add_tracker(Named(name))
        run.log({"loss": 1.0})
        (file,) = (tmp_path / ".quark").rglob("writer.json")
        described = WriterPlace(file.parent).described_sinks()
    assert [record.value for record in sink.records if record.kind == "metric"] == [1.0]
    names = list(run.health()["sinks"])
    assert len(names) == len(set(names)) == len(described) == 3
    assert all(re.fullmatch("[a-z0-9][a-z0-9._-]*", one) for one in names)


def test_names_of_sinks_stay_apart(tmp_path):
    """Two sinks never share a name, and with it a position, whatever others are called."""
    sinks = [Named(name) for name in ("a", "a-3", "a", "a", "A", "a-2")]
    with quark.start_run(project="p", storage_dir=tmp_path, trackers=sinks) as run:
        run.log({"loss": 1.0})
    assert len(run.health()["sinks"]) == 7
    assert [len([one for one in sink.records if one.kind == "metric"]) for sink in sinks] == [1] * 6


class Shy(quark.MemorySink):
    """Raises when it is asked what it could be made from again."""

    def spec(self):
        raise OddError


def test_a_sink_whose_spec_raises_is_fed_all_the_same(tmp_path):
    """The run starts, the sink gets its records, and the fault is counted."""
    sink = Shy()
    with quark.start_run(project="p", storage_dir=tmp_path, trackers=[sink]) as run:
        run.log({"loss": 1.0})
    assert [record.value for record in sink.records if record.kind == "metric"] == [1.0]
    assert "sink_memory" in run.health()["faults"]


def test_exceptions_without_a_text_are_faults_like_others(tmp_path):
    """An exception whose text raises harms neither the training nor the sink's worker, and is counted."""
    with quark.start_run(project="p", storage_dir=tmp_path, close_timeout_s=1, trackers=[Odd(), OddSink()]) as run:
        run.step(0, {"a": 1.0})
    assert run.status == "completed"
    faults = run.health()["faults"]
    assert {"tracker_Odd.on_start", "tracker_Odd.on_step", "tracker_Odd.on_stop", "sink_memory"} <= set(faults)
    assert faults["sink_memory"]["last"].startswith("OddError: (its text is not known)")


class Writer:
    def write(self, text):
        raise AssertionError("no records are for it")


class WritingTracker(Writer, quark.TrackerBase):
    """A tracker with a ``write`` of its own."""


@pytest.mark.parametrize("wrong", [Writer(), open, 5])
def test_what_is_neither_tracker_nor_sink_is_refused(tmp_path, wrong):
    """With one error that names it."""
    with pytest.raises(quark.WrongTypeError, match="a sink is a quark"):
        quark.start_run(project="p", storage_dir=tmp_path, trackers=[wrong])


def test_a_tracker_may_have_a_method_write(tmp_path):
    """It is a tracker all the same."""
    with quark.start_run(project="p", storage_dir=tmp_path, trackers=[WritingTracker()]) as run:
        run.step(0, {"a": 1.0})
    assert run.health()["faults"] == {}


def test_any_object_is_a_tracker_and_a_rose_tracker_too(tmp_path):
    """Methods are optional and duck-typed; on_iteration is understood as on_step."""

    class Rose:
        seen = None

        def on_iteration(self, state):
            self.seen = (state.step, state.loss, state.get("missing", 7))

    rose = Rose()
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        run.add_tracker(object())
        run.add_tracker(rose)
        run.step(5, {"loss": 0.5})
    assert rose.seen == (5, 0.5, 7)


def test_a_slow_tracker_is_named(tmp_path):
    """A plain tracker that holds up the training thread is named in the health report."""
    import time

    class Slow:
        def on_step(self, state):
            time.sleep(0.06)

    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        run.add_tracker(Slow())
        run.step(0)
    assert any("slow_tracker_Slow" in cause for cause in run.health()["faults"])


def test_steps_number_time_and_tell(tmp_path):
    """A loop over steps: the step is known to log, counts on over epochs, and every step is told with its metrics."""
    book = []

    class Keep:
        def on_step(self, state):
            book.append((state.step, state.epoch, dict(state.metrics)))

    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        run.add_tracker(Keep())
        for epoch in range(2):
            for batch in run.steps([10, 20], epoch=epoch, progress=False):
                run.log({"loss": float(batch)})
    assert book == [(0, 0, {"loss": 10.0}), (1, 0, {"loss": 20.0}), (2, 1, {"loss": 10.0}), (3, 1, {"loss": 20.0})]
    with quark.open(tmp_path) as store:
        view = store.run(run.run_id)
        assert view.series("loss").steps.tolist() == [0, 1, 2, 3]
        assert view.series("loss").epochs.tolist() == [0, 0, 1, 1]
        assert len(view.series("system/runtime/step_time_ms")) == 4
        assert view.telemetry()[0].step == 0


def test_breaking_off_and_stopping_are_told_apart_from_completion(tmp_path):
    """A loop that is broken off ends as stopped; a stop that was asked for ends the loop; a full loop completes."""
    reasons = []
    for how in ("full", "break", "stop"):
        with quark.start_run(project="p", storage_dir=tmp_path) as run:
            for number in run.steps(range(5), progress=False):
                if how == "break" and number == 2:
                    break
                if how == "stop" and number == 2:
                    run.stop()
        reasons.append((run.context.run.reason, run.context.run.status))
    assert reasons == [("completed", "completed"), ("stopped", "completed"), ("stopped", "completed")]


async def _through(run):
    async def source():
        for number in range(3):
            yield number

    async for number in run.asteps(source(), progress=False):
        run.log({"x": float(number)})


def test_async_loops_are_steps_too(tmp_path):
    """asteps does for async for what steps does for for."""
    import asyncio

    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        asyncio.run(_through(run))
    with quark.open(tmp_path) as store:
        assert store.run(run.run_id).series("x").steps.tolist() == [0, 1, 2]


def test_log_without_a_step_counts_up(tmp_path):
    """Outside a loop a log call without a step takes the next one; with an epoch alone it is of the last one."""
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        run.log({"a": 1.0})
        run.log({"a": 2.0})
        run.log({"a": 3.0}, step=10)
        run.log({"a": 4.0})
        run.log({"b": 1.0}, epoch=3)
        quark.MetricsLogger(run).log("b", 2.0, epoch=4)
        run.log({"a": 5.0})
    with quark.open(tmp_path) as store:
        assert store.run(run.run_id).series("a").steps.tolist() == [0, 1, 10, 11, 12]
        series = store.run(run.run_id).series("b")
        assert (series.steps.tolist(), series.epochs.tolist()) == ([11, 11], [3, 4])


def test_an_epoch_is_judged_after_its_last_step(tmp_path):
    """What a loop logs behind its steps with the epoch alone stands at the last of them, in every reader."""
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        for epoch in range(2):
            for _ in run.steps(range(5), epoch=epoch, progress=False):
                run.log({"train/loss": 1.0})
                quark.MetricsLogger(run).log("inside", 1.0, epoch=epoch)
            run.log({"val/loss": 2.0}, epoch=epoch)
    with quark.open(tmp_path) as store:
        view = store.run(run.run_id)
        assert view.series("val/loss").steps.tolist() == [4, 9]
        assert view.series("inside").steps.tolist() == list(range(10))
        assert view.latest()["val/loss"] == (9, 2.0)


def test_a_run_by_epochs_has_an_epoch_a_step(tmp_path):
    """Several calls of an epoch are of the same step, and no point is without one."""
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        for epoch in range(3):
            run.log({"train/loss": 1.0}, epoch=epoch)
            run.log({"val/loss": 2.0}, epoch=epoch)
    with quark.open(tmp_path) as store:
        view = store.run(run.run_id)
        for key in ("train/loss", "val/loss"):
            assert view.series(key).steps.tolist() == view.series(key).epochs.tolist() == [0, 1, 2]


def test_a_telemetry_of_ones_own_is_not_measured_twice(tmp_path):
    """Where the user times the steps himself the loop does not: one value a step under each key."""
    with quark.start_run(project="p", storage_dir=tmp_path) as run, quark.SystemTelemetry(run) as telemetry:
        for number in run.steps(range(3), progress=False):
            with telemetry.start_step(number):
                pass
    with quark.open(tmp_path) as store:
        assert store.run(run.run_id).series("system/runtime/step_time_ms").steps.tolist() == [0, 1, 2]


def test_a_slow_tracker_does_not_take_the_time_of_the_sinks(tmp_path):
    """An end of its own that takes longer than the sinks have leaves them all of theirs: they see the end."""

    class Slow(TrackerBase):
        def on_stop(self, final_state, reason):
            time.sleep(0.6)

    sink = quark.MemorySink()
    with quark.start_run(project="p", storage_dir=tmp_path, trackers=[Slow(), sink], close_timeout_s=0.5) as run:
        run.log({"loss": 1.0}, step=0)
    assert [mark.action for batch in sink.batches for mark in batch.marks()][-1] == "end"
    assert sum(sink["pending"] for sink in run.health()["sinks"].values()) == 0


def test_the_end_leaves_no_thread_and_no_variable(tmp_path, monkeypatch):
    """When the end has returned, the run's threads are gone, and no later process would join the run."""
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    before = set(threading.enumerate())
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        assert os.environ["QUARK_JOIN_RUN_ID"] == run.run_id
        run.log({"loss": 1.0}, step=0)
    assert "QUARK_JOIN_RUN_ID" not in os.environ
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert {name for name in left if name.startswith("quark-journal")} == set()
