"""QUARK_DISABLE=1 does nothing at every public name, and the session that it gives has the whole surface."""

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import quark
from quark.session.disabled import DisabledSession
from quark.session.session import TrainingSession


@pytest.fixture(autouse=True)
def switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs in an empty directory, which is empty afterwards too."""
    monkeypatch.setenv("QUARK_DISABLE", "1")
    monkeypatch.chdir(tmp_path)


PUBLIC = [name for name in dir(TrainingSession) if not name.startswith("_") and hasattr(TrainingSession, name)]
ATTRIBUTES = ["alerts", "attached", "flush_timeout_s", "heartbeat", "journal", "known_keys", "leftovers", "strict"]


@pytest.mark.parametrize("name", sorted({*PUBLIC, *ATTRIBUTES}))
def test_the_session_has_every_public_attribute(name: str) -> None:
    """Reading an attribute works, and so does a call with the least that its signature asks for."""
    session = DisabledSession("p")
    value = getattr(session, name)
    if not callable(value) or name in ("start_run", "resume_run", "watch", "emit"):
        return
    least = {
        parameter.name: LEAST[parameter.name]
        for parameter in inspect.signature(value).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        and parameter.kind is not parameter.VAR_POSITIONAL
    }  # fmt: skip
    value(**least)
    session.finish("completed")


LEAST: dict[str, Any] = {
    "action": "tag", "body": {}, "cause": "c", "config": {},
    "criterion": None, "epoch": 0, "file": "m.pt", "error": ValueError("x"), "final": None,
    "iterable": [1], "key": "k", "message": "m", "name": "n", "producer": None, "reason": "completed", "state": None,
    "step": 1, "tag": "t", "tasks": {}, "text": "t", "time": 0, "tracker": "memory", "value": 1.0, "values": {"a": 1.0},
    "what": "w", "workers": None,
}  # fmt: skip


def _producers(run: Any) -> None:
    metrics, events, artifacts = quark.MetricsLogger(run), quark.EventLogger(run), quark.ArtifactStore(run)
    telemetry, diagnostics = quark.SystemTelemetry(run), quark.DataDiagnostics(run)
    throughput = quark.Throughput(run)
    metrics.log("no good name", float("nan"))
    events.log("NO GOOD TYPE")
    artifacts.store("kind", "name", object())
    artifacts.log_histogram("h", bins=[1], counts=[])
    telemetry.record_step(-1)
    telemetry.sample(step=-1)
    diagnostics.log_batch("no loss", step=0)  # type: ignore[arg-type]
    throughput.step(0, samples=1)
    for producer in (metrics, events, artifacts, telemetry, diagnostics):
        assert producer.read() == ()
    assert diagnostics.summarize().loss_summary is None


def _analysis(run: Any) -> None:
    quark.AnalyzerEngine(run).analyze()
    quark.PhaseAnalyzer(run).analyze()
    quark.ComparisonEngine(run).compare("another-run")


def _functions(run: Any) -> None:
    quark.add_log(run, "m")
    quark.add_tag(run, "t")
    quark.set_blueprint("p", {"type": "object"})
    quark.validate_config("p", {"a": 1})
    assert quark.store_files(run, __file__) == 0
    quark.end_run(run)
    quark.resume_run(run_id="no-such-run").end_run()


def _groups(run: Any) -> None:
    with quark.run_group("g", total=1) as group, group.run("a") as member:
        member.log({"a": 1.0})


@pytest.mark.parametrize("use", [_producers, _analysis, _functions, _groups], ids=lambda use: use.__name__.strip("_"))
def test_nothing_happens(use: Callable[[Any], None]) -> None:
    """No exception, whatever is given; no file is made."""
    with quark.start_run(project="p", config={"a": object()}, trackers=["memory"]) as run:
        assert callable(run.add_tracker("memory").write)
        use(run)
    assert os.listdir(".") == []
