"""Runs that are handed on: to copies, to other processes, to threads that know no session."""

import copy
import logging
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import quark
from quark.session import api

PRODUCERS = (
    quark.MetricsLogger, quark.EventLogger, quark.ArtifactStore, quark.SystemTelemetry, quark.DataDiagnostics,
    quark.Throughput,
)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Any:
    with quark.start_run(project="p", storage_dir=tmp_path) as made:
        yield made


def holders(run: Any) -> list[Any]:
    """What a model, a data set or a closure may hold of a run."""
    return [run, run.summary, run.context, run.manifest, *(made(run) for made in PRODUCERS)]


def test_copies_record_the_same_run(run: Any) -> None:
    """A model that is copied with its run logs to the run; here also a pickled one is the run itself."""
    for held in holders(run):
        for made in (copy.copy(held), copy.deepcopy(held), copy.deepcopy({"model": [held]})["model"][0]):
            assert made is held or isinstance(held, (quark.RunContext, quark.RunManifest, type(run.summary)))
        pickle.loads(pickle.dumps(held))
    assert pickle.loads(pickle.dumps(run)) is run


OTHER_PROCESS = """
import logging, pickle, sys, threading
logging.basicConfig(format="%(message)s")
run, summary, context, manifest, *producers = pickle.load(sys.stdin.buffer)
metrics, events, artifacts, telemetry, diagnostics, throughput = producers
run.log({"loss": 1.0}, step=0); run.step(1, {"loss": 1.0}); run.add_log("x"); run.add_tag("t"); summary["a"] = 1
assert list(run.steps([1, 2])) == [1, 2]
metrics.log("loss", 1.0, step=0); events.log("seen"); artifacts.store("kind", "name", {"a": 1}); run.flush()
with telemetry.start_step(0) as scope:
    scope.mark_data_ready()
run.end_run()
assert run.status == "running", run.status
assert threading.enumerate() == [threading.main_thread()]
print(run.run_id)
"""


def test_in_another_process_the_handle_is_silent(run: Any, tmp_path: Path) -> None:
    """Everything can be called there, nothing is recorded, no thread starts, and one warning says so."""
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS], input=pickle.dumps(holders(run)), cwd=tmp_path, capture_output=True,
        check=False,
    )  # fmt: skip
    assert done.stdout.decode().strip() == run.run_id, done.stderr.decode()
    assert done.stderr.decode().count("is recorded by the process that started it") == 1
    assert run.status == "running"
    assert run.health()["recorded"] < 10


def in_a_thread(call: Any) -> Any:
    """What a call returns in a thread that inherits no context."""
    told: list[Any] = []
    thread = threading.Thread(target=lambda: told.append(call()))
    thread.start()
    thread.join()
    return told[0]


def test_another_thread_reaches_the_only_open_run(run: Any) -> None:
    """The functions of the module work from a pool's thread as from the training's own."""
    assert in_a_thread(lambda: quark.add_log("from a thread")).run_id == run.run_id
    assert in_a_thread(lambda: quark.add_tag("from-a-thread")).run.tags == ("from-a-thread",)


def test_without_a_run_the_functions_do_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Before a run, after it, with something else than a session, or where several runs could be meant."""
    monkeypatch.setattr(api, "_warned", set())
    caplog.set_level(logging.WARNING, "quark")
    for _ in range(3):
        assert quark.add_log("x") is None
        assert quark.add_tag("x") is None
        assert quark.add_log(5, "x") is None  # type: ignore[call-overload]
    with quark.start_run(project="p", storage_dir=tmp_path), quark.start_run(project="p", storage_dir=tmp_path):
        assert in_a_thread(lambda: quark.add_log("x")) is None
    assert [record.message.split(" is ")[0] for record in caplog.records] == ["quark: add_log", "quark: add_tag"]
