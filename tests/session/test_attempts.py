"""A run id that is there already: a further attempt, told apart from the one before, or a refusal."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import quark
from tests.children import CAPTURE_NOTHING


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUARK_RUN_TAKEN", "")  # so that what a start sets is taken back


SCRIPT = """
import os, sys, quark
run = quark.start_run(project="p", config={"lr": float(sys.argv[3])}, tags=["t" + sys.argv[3]])
for step in range(int(sys.argv[1]), int(sys.argv[2])):
    run.log({"loss": float(sys.argv[3])}, step=step)
print(run.run_id, run.manifest.attempt)
sys.stdout.flush()
if sys.argv[4] == "kill":
    os._exit(9)
run.end_run(sys.argv[4])
"""


def script(*arguments: object, **variables: str) -> str:
    """A process that trains, as a scheduler starts it; what it printed."""
    environment = {"PATH": "/usr/bin:/bin", "QUARK_PROGRESS": "0", **CAPTURE_NOTHING, **variables}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def events(view: Any, name: str) -> list[Any]:
    return [event.payload for event in view.events() if event.event_type == name]


def test_a_scheduler_starts_its_script_again() -> None:
    """Killed, started with the same QUARK_RUN_ID, and done: one run, two attempts, the later one counts."""
    assert script(0, 10, 0.1, "kill", QUARK_RUN_ID="job1") == "job1 1"
    assert script(5, 15, 0.2, "completed", QUARK_RUN_ID="job1") == "job1 2"
    assert "InvalidRunStateError: run job1 is completed" in script(0, 5, 0.3, "completed", QUARK_RUN_ID="job1")
    with quark.open() as store:
        (view,) = store.runs()
        series = view.series("loss")
        assert series.steps.tolist() == list(range(15))
        assert series.values.tolist() == [0.1] * 5 + [0.2] * 10
        assert (view.status, view.record.resume_count, view.config, view.tags) == (
            "completed", 1, {"lr": 0.1}, ("t0.1", "t0.2"),
        )  # fmt: skip
        assert events(view, "run_resumed") == [{"attempt": 2}]
        assert events(view, "config_changed") == [{"attempt": 2, "changed": {"lr": {"before": 0.1, "now": 0.2}}}]


@pytest.mark.parametrize("status", ["interrupted", "failed"])
def test_a_run_that_did_not_complete_goes_on(status: str) -> None:
    """start_run with its id continues it as resume_run does; an equal configuration is not worth an event."""
    for attempt in (1, 2, 3):
        run = quark.start_run(project="p", run_id="a", config={"lr": 0.1})
        assert (run.manifest.attempt, run.context.run.resume_count) == (attempt, attempt - 1)
        run.log({"loss": float(attempt)}, step=0)
        run.end_run(status)
    with quark.open() as store:
        view = store.run("a")
        assert view.series("loss").values.tolist() == [3.0]
        assert [one["attempt"] for one in events(view, "run_resumed")] == [2, 3]
        assert events(view, "config_changed") == []


def test_what_a_further_attempt_adds_is_configuration() -> None:
    """A name that the first attempt had not is in the run's configuration; what has changed is told by the event."""
    quark.start_run(project="p", run_id="a", config={"lr": 0.1}).end_run("failed")
    quark.start_run(project="p", run_id="a", config={"lr": 0.2, "seed": 3}).end_run()
    with quark.open() as store:
        view = store.run("a")
        assert view.config == {"lr": 0.1, "seed": 3}
        changes = {"added": {"seed": 3}, "changed": {"lr": {"before": 0.1, "now": 0.2}}}
        assert events(view, "config_changed") == [{"attempt": 2, **changes}]


def test_a_completed_run_stays_as_it_is() -> None:
    """Nothing is added to it, by whatever name it is called again."""
    quark.start_run(project="p", run_id="a").end_run()
    for again in (lambda: quark.start_run(project="p", run_id="a"), lambda: quark.resume_run(run_id="a")):
        with pytest.raises(quark.InvalidRunStateError, match="completed"):
            again()
    with quark.open() as store:
        assert [event.event_type for event in store.run("a").events()] == ["run_started", "run_ended"]


def test_two_sessions_do_not_record_one_run() -> None:
    """While a session is open its id is refused, in this process and in another; the first goes on."""
    with quark.start_run(project="p", run_id="a") as run:
        for again in (lambda: quark.start_run(project="p", run_id="a"), lambda: quark.resume_run(run_id="a")):
            with pytest.raises(quark.InvalidRunStateError, match=r"another session|is running"):
                again()
        assert "InvalidRunStateError" in script(0, 1, 1, "completed", QUARK_RUN_ID="a")
        run.log({"loss": 1.0}, step=0)
    assert run.status == "completed"


RACE = """
import sys, time, quark
quark.TrainingSession
print("ready", flush=True)
sys.stdin.readline()
try:
    run = quark.start_run(project="p", run_id="x")
except quark.InvalidRunStateError:
    print("refused", flush=True)
else:
    print("begun", flush=True)
sys.stdin.readline()
"""


def test_of_two_processes_that_take_an_id_at_once_one_is_refused() -> None:
    """In an empty directory too, where there is nothing yet that could be locked."""
    command = [sys.executable, "-c", RACE]
    environment = {"PATH": "/usr/bin:/bin", "QUARK_PROGRESS": "0", **CAPTURE_NOTHING}
    pipe = subprocess.PIPE
    racers = [subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) for _ in range(2)]
    try:
        for racer in racers:
            assert racer.stdout is not None and racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        assert sorted(racer.stdout.readline() for racer in racers if racer.stdout) == ["begun\n", "refused\n"]
    finally:
        for racer in racers:
            racer.communicate("end\n")


def test_an_id_of_another_project_is_refused() -> None:
    """A run belongs to the project that it began in."""
    quark.start_run(project="p", run_id="a").end_run("failed")
    with pytest.raises(quark.SchemaValidationError, match="of the project 'p'"):
        quark.start_run(project="q", run_id="a")


def test_processes_that_a_run_starts_have_runs_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who inherits QUARK_RUN_ID from the process that has taken it records another run, during it and after it."""
    monkeypatch.setenv("QUARK_RUN_ID", "inherited")
    with quark.start_run(project="p") as run:
        assert run.run_id == "inherited"
        inner = script(0, 1, 1, "completed", **{n: os.environ[n] for n in ("QUARK_RUN_ID", "QUARK_RUN_TAKEN")})
    with quark.start_run(project="p") as second:
        pass
    assert inner.endswith(" 1") and not inner.startswith("inherited ")
    assert second.run_id != "inherited"
    with quark.open() as store:
        assert len(list(store.runs())) == 3


def test_other_ranks_take_part_in_the_attempt_of_rank_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they record belongs to the attempt that rank 0 has begun, so that points are told apart by attempts."""
    quark.start_run(project="p", run_id="a").end_run("failed")
    owner = quark.start_run(project="p", run_id="a")
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "QUARK_RUN_ID": "a"}.items():
        monkeypatch.setenv(name, value)
    with quark.start_run(project="p") as other:
        assert (other.run_id, other.rank, other.manifest.attempt) == ("a", 1, 2)
    owner.end_run()


@pytest.mark.parametrize("flushed", [True, False])
@pytest.mark.parametrize("ended", [True, False])
def test_a_parent_that_has_just_begun_is_found(tmp_path: Path, flushed: bool, ended: bool) -> None:
    """Nested runs in a new directory, of this process: the line is known before the store has heard of it."""
    root = quark.start_run(project="p")
    parent = quark.start_run(project="p", parent_run_id=root.run_id)
    if flushed:
        parent.flush()
    if ended:
        parent.end_run()
    with quark.start_run(project="p", parent_run_id=parent.run_id, storage_dir=tmp_path / "elsewhere") as child:
        assert child.context.run.lineage_root_run_id == root.run_id
    parent.end_run()
    root.end_run()


def test_a_parent_of_another_process_is_found_in_its_journal() -> None:
    """By its id only, while it lives and before anything has reached the store."""
    code = (
        "import quark, sys\n"
        "from quark.delivery.worker import SinkWorker\n"
        "SinkWorker.start = lambda self: None\n"  # a store that is slow to start
        "root = quark.start_run(project='p', run_id='root', close_timeout_s=0)\n"
        "quark.start_run(project='p', run_id='parent', parent_run_id='root', close_timeout_s=0)\n"
        "print('begun', flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline() == b"begun\n"
        with quark.start_run(project="p", parent_run_id="parent") as child:
            assert child.context.run.lineage_root_run_id == "root"
    finally:
        process.communicate()


def test_a_parent_that_is_not_there_is_recorded(caplog: pytest.LogCaptureFixture) -> None:
    """It is warned about and kept; strict mode refuses it."""
    with quark.start_run(project="p", parent_run_id="nobody") as run:
        assert (run.context.run.parent_run_id, run.context.run.lineage_root_run_id) == ("nobody", "nobody")
    assert "the parent run nobody was not found" in caplog.text
    with pytest.raises(quark.RunNotFoundError, match="nobody"):
        quark.start_run(project="p", parent_run_id="nobody", strict_mode=True)
