"""A session's life: started, tagged, logged, ended, resumed; and what the store says of it."""

import logging

import pytest

import quark
from quark import (
    EventLogger,
    InvalidRunStateError,
    MetricsLogger,
    RunNotFoundError,
    SchemaValidationError,
    TrainingSession,
)


@pytest.fixture
def start(tmp_path):
    opened = []

    def begin(**options):
        opened.append(TrainingSession.start_run(**{"project": "life", "storage_dir": tmp_path, **options}))
        return opened[-1]

    yield begin
    for session in opened:
        session.finish("completed")


def stored(session):
    with quark.open(session.storage_dir) as store:
        return store.run(session.run_id).record


def events_of(session):
    with quark.open(session.storage_dir) as store:
        return [event.event_type for event in store.run(session.run_id).events()]


def test_a_run_is_stored_with_all_that_was_said_of_it(start):
    """Project, config, tags, paths, times and status read back as they were given; secrets do not."""
    session = start(config={"lr": 0.1, "api_key": "zzz", "layers": [1, 2]}, tags=["a", "b", "a"], strict_mode=True)
    assert session.status == "running"
    assert stored_status(session) == "running"
    session.end_run()
    run = stored(session)
    assert run == session.context.run
    assert run.config == {"lr": 0.1, "api_key": "[redacted]", "layers": [1, 2]}
    assert run.tags == ("a", "b")
    assert (run.status, run.reason, run.strict_mode, run.resume_count) == ("completed", "completed", True, 0)
    assert run.lineage_root_run_id == run.id
    assert run.ended_at is not None
    assert events_of(session) == ["run_started", "run_ended"]


def stored_status(session):
    session.flush()
    return session.reader().run(session.run_id).status


def test_the_context_manager_tells_success_failure_and_interruption(start):
    """Leaving the block normally completes the run, an exception fails it, Ctrl-C and exits interrupt it."""
    outcomes = []
    for error in (None, ValueError("boom"), KeyboardInterrupt(), SystemExit(0), SystemExit(3)):
        session = start()
        try:
            with session:
                if error is not None:
                    raise error
        except BaseException as raised:
            assert raised is error
        outcomes.append((session.status, events_of(session)))
    logged = ["run_started", "runtime_interruption", "run_ended"]
    assert outcomes == [
        ("completed", ["run_started", "run_ended"]),
        ("failed", ["run_started", "runtime_error", "run_ended"]),
        ("interrupted", logged),
        ("interrupted", logged),
        ("interrupted", logged),
    ]


def test_an_error_is_kept_as_a_log_with_its_identifier(start):
    """The exception that ended a run is an event with message, type and the identifier Error."""
    session = start()
    with pytest.raises(ValueError, match="exploded"), session:
        raise ValueError("the loss exploded")
    with quark.open(session.storage_dir) as store:
        (event,) = [e for e in store.run(session.run_id).events() if e.event_type == "runtime_error"]
    assert event.severity == "error"
    assert event.payload["identifier"] == "Error"
    assert "the loss exploded" in event.payload["message"]


@pytest.mark.parametrize("status", ["completed", "failed", "interrupted"])
def test_end_run_takes_every_final_status_once(start, status):
    """A run ends with the status that is given; ending again the same way is fine, another way is refused."""
    session = start()
    assert session.end_run(status).status == status
    assert session.end_run(status).status == status
    other = "failed" if status == "completed" else "completed"
    with pytest.raises(InvalidRunStateError, match=status):
        session.end_run(other)
    assert stored(session).status == status


def test_end_run_refuses_what_is_no_final_status(start):
    """running and unknown words are no way to end."""
    for word in ("running", "done", ""):
        with pytest.raises(SchemaValidationError, match="completed, failed, interrupted"):
            start().end_run(word)


def test_an_interrupted_run_is_resumed_with_its_history(start, tmp_path):
    """Resuming makes a new attempt of the same run: count and events rise, what was recorded stays."""
    session = start()
    MetricsLogger(session).log("train/loss", 2.0, step=0)
    session.end_run("interrupted")
    resumed = TrainingSession.resume_run(run_id=session.run_id, storage_dir=tmp_path)
    assert (resumed.run_id, resumed.status, resumed.context.run.resume_count) == (session.run_id, "running", 1)
    resumed.add_tag("recovered")
    resumed.add_log("Recovered.", identifier="Info")
    MetricsLogger(resumed).log("train/loss", 1.0, step=1)
    resumed.end_run("completed")
    run = stored(resumed)
    assert (run.status, run.resume_count, run.tags, run.ended_at is not None) == ("completed", 1, ("recovered",), True)
    assert events_of(resumed) == ["run_started", "run_ended", "run_resumed", "user_log", "run_ended"]
    with quark.open(tmp_path) as store:
        assert store.run(session.run_id).series("train/loss").values.tolist() == [2.0, 1.0]
        assert store.run(session.run_id).series("train/loss").attempts.tolist() == [1, 2]


def test_an_attempt_that_goes_back_hides_the_steps_that_it_repeats(start, tmp_path):
    """Points of a repeated step show the latest attempt; all of them stay readable."""
    session = start()
    metrics = MetricsLogger(session)
    for step in range(4):
        metrics.log("loss", 10.0 + step, step=step)
    session.end_run("failed")
    with TrainingSession.resume_run(run_id=session.run_id, storage_dir=tmp_path) as resumed:
        for step in (2, 3, 4):
            MetricsLogger(resumed).log("loss", 20.0 + step, step=step)
    with quark.open(tmp_path) as store:
        view = store.run(session.run_id)
        latest, everything = view.series("loss"), view.series("loss", all_attempts=True)
    assert dict(zip(latest.steps.tolist(), latest.values.tolist(), strict=True)) == {0: 10, 1: 11, 2: 22, 3: 23, 4: 24}
    assert len(everything) == 7


def test_what_cannot_be_resumed(start, tmp_path):
    """A completed run, a running one and one that does not exist are refused, each with its own error."""
    done = start()
    done.end_run()
    with pytest.raises(InvalidRunStateError, match="completed"):
        quark.resume_run(run_id=done.run_id, storage_dir=tmp_path)
    with pytest.raises(InvalidRunStateError, match="running"):
        quark.resume_run(run_id=start().run_id, storage_dir=tmp_path)
    with pytest.raises(RunNotFoundError, match="nope"):
        quark.resume_run(run_id="nope", storage_dir=tmp_path)
    with pytest.raises(RunNotFoundError):
        quark.resume_run(run_id="nope", storage_dir=tmp_path / "empty")


def test_a_completed_run_is_added_to_where_this_is_asked_for(tmp_path):
    """Its values, configuration and start stay, what comes is a further attempt, and a running one is refused."""
    with quark.start_run(project="p", storage_dir=tmp_path, config={"lr": 0.1}) as run:
        run.log({"train/loss": 1.0}, step=5)
    again = quark.resume_run(run_id=run.run_id, storage_dir=tmp_path, completed=True)
    with again:
        again.log({"test/loss": 2.0}, step=5)
        with pytest.raises(InvalidRunStateError):
            quark.resume_run(run_id=run.run_id, storage_dir=tmp_path, completed=True)
    with quark.open(tmp_path) as store:
        (view,) = store.runs()
        assert (view.status, view.record.resume_count, view.config) == ("completed", 1, {"lr": 0.1})
        assert view.record.started_at == run.context.run.started_at
        assert [view.series(key).values.tolist() for key in ("train/loss", "test/loss")] == [[1.0], [2.0]]


def test_lineage_leads_to_the_first_run(start):
    """A child names its parent, and the root of its line is its parent's root."""
    root = start()
    root.end_run()
    child = start(parent_run_id=root.run_id)
    child.end_run()
    grandchild = start(parent_run_id=child.run_id)
    assert child.context.run.lineage_root_run_id == root.run_id
    assert grandchild.context.run.lineage_root_run_id == root.run_id
    assert grandchild.context.run.parent_run_id == child.run_id
    with pytest.raises(RunNotFoundError, match="unknown"):
        start(parent_run_id="unknown", strict_mode=True)


def test_tags_are_unique_ordered_and_stored(start):
    """A tag that is added is there at once and in the store; a second time changes nothing."""
    session = start(tags=["one"])
    assert session.add_tag("two").run.tags == ("one", "two")
    assert session.add_tag("two").run.tags == ("one", "two")
    assert session.reload().run.tags == ("one", "two")


def test_the_functions_act_on_the_current_run(tmp_path):
    """start_run, add_tag, add_log and end_run work without passing the session around."""
    session = quark.start_run(project="p", storage_dir=tmp_path)
    assert quark.current_run() is session
    quark.add_tag("t")
    quark.add_log("hello", identifier="Warning")
    with quark.start_run(project="inner", storage_dir=tmp_path) as inner:
        assert quark.current_run() is inner
    assert quark.current_run() is session
    assert quark.end_run().status == "completed"
    assert quark.current_run() is None
    assert quark.add_tag("late") is None


def test_to_dict_holds_project_and_run(start):
    """The context is plain data: project and run records as dictionaries."""
    session = start()
    content = session.to_dict()
    assert content["project"]["name"] == "life"
    assert content["run"]["id"] == session.run_id
    assert content["run"]["status"] == "running"


def test_producers_take_the_context_in_place_of_the_session(start):
    """A RunContext leads to the journal of its run; after the end it can be read, and a record is refused."""
    session = start()
    MetricsLogger(session.context).log("m", 1.0, step=0)
    EventLogger(session.context).log("seen", step=0)
    assert [r.value for r in MetricsLogger(session).read()] == [1.0]
    context = session.context
    session.end_run()
    metrics = MetricsLogger(context)
    assert metrics.log("m", 2.0, step=1).refused
    assert [r.value for r in metrics.read()] == [1.0]
    with pytest.raises(TypeError, match="TrainingSession"):
        MetricsLogger("run")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"project": ""}, SchemaValidationError), ({"project": "x" * 201}, SchemaValidationError),
        ({"project": 3}, TypeError), ({"tags": "abc"}, TypeError), ({"tags": [1]}, TypeError),
        ({"storage_dir": 3}, TypeError), ({"parent_run_id": 3}, TypeError),
    ],
)  # fmt: skip
def test_a_bad_start_says_what_is_wrong_and_starts_nothing(start, tmp_path, options, error):
    """A start with a bad argument raises before anything is created."""
    with pytest.raises(error):
        start(**options)
    assert not (tmp_path / ".quark").exists()


@pytest.mark.parametrize(
    ("config", "error", "converted"),
    [
        ([1], TypeError, {"value": [1]}), ({"x": object()}, TypeError, {"x": "<object object>"}),
        ({1: 2}, TypeError, {"1": 2}), ({"x": float("nan")}, SchemaValidationError, {"x": "nan"}),
    ],
)  # fmt: skip
def test_a_config_that_json_cannot_hold(start, tmp_path, config, error, converted):
    """Strict mode refuses it before anything is created; elsewhere the run starts, and what is stored is converted."""
    with pytest.raises(error):
        start(config=config, strict_mode=True)
    assert not (tmp_path / ".quark").exists()
    session = start(config=config)
    session.end_run()
    assert stored(session).config == converted


def test_using_a_run_after_its_end(start, caplog):
    """After the end a record is refused: counted and warned about, or raised in strict mode; reading still works."""
    session, strict = start(), start(strict_mode=True)
    metrics, events = MetricsLogger(session), EventLogger(strict)
    metrics.log("m", 1.0, step=0)
    metrics.log("m", 1.0, step=1)
    session.end_run()
    strict.end_run()
    with caplog.at_level(logging.WARNING):
        assert metrics.log("m", 2.0, step=2).refused
        session.log({"m": 3.0}, step=3)
    assert "has ended" in caplog.text
    assert len(metrics.read()) == 2
    with pytest.raises(quark.ClosedError):
        events.log("late")
    metrics.close()
    metrics.close()


def test_running_out_of_memory_leaves_a_bundle(start):
    """An out-of-memory error goes on to the user, and what explains it is an artifact of the failed run."""
    session = start()
    with pytest.raises(MemoryError), session:
        session.log({"loss": 1.0}, step=3)
        raise MemoryError("cannot allocate")
    with quark.open(session.storage_dir) as store:
        view = store.run(session.run_id)
        (artifact,) = view.artifacts()
        assert view.status == "failed"
        assert artifact.artifact_type == "oom_bundle"
        assert view.load(artifact)["error"]["type"] == "MemoryError"
