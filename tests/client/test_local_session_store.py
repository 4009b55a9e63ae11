"""The documented low-level client against a real service: every method, and the code of the document as it is there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import quark
from quark import (
    EvidenceRecord,
    InvalidRunStateError,
    LocalSessionStore,
    RunNotFoundError,
    SessionStoreError,
    TrainingSession,
)
from quark.client.connection import Connection
from quark.client.remote import RemoteStore

from .conftest import Service

EVIDENCE = {"kind": "metric", "source": "train/loss", "summary": "it rose", "observed_value": 2.0}
ALERT = {
    "rule_id": "r", "category": "optimization", "severity": "warning", "title": "t", "summary": "s", "fact": "f",
    "inference": "i", "evidence": [EVIDENCE],
}  # fmt: skip
PHASE = {"phase_name": "stabilization", "display_name": "Stabilization", "summary": "s", "step_start": 0, "step_end": 9}


@pytest.fixture
def store(service: Service, tmp_path: Path) -> Iterator[LocalSessionStore]:
    """A client with the documented arguments."""
    service.start()
    with LocalSessionStore(
        tmp_path / "runs", base_url=service.url, user_key=service.key, auth_mode="header", timeout_seconds=30
    ) as made:
        yield made


def test_a_run_from_its_start_to_its_end(store: LocalSessionStore) -> None:
    """Each call is stored when it returns; a finished run neither ends otherwise nor goes on."""
    context = store.create_run(project="p", config={"lr": 0.1}, tags=["a"], name="n")
    assert (context.status, context.project_name, context.run.config) == ("running", "p", {"lr": 0.1})
    run_id = context.run_id
    assert store.add_tag(run_id, "b").run.tags == ("a", "b")
    log = store.add_log(run_id, "half way", identifier="Warning", step=5, payload={"x": 1})
    assert (log.event_type, log.severity, log.payload["message"]) == ("user_log", "warning", "half way")
    assert store.end_run(run_id, "interrupted").status == "interrupted"
    resumed = store.resume_run(run_id)
    assert (resumed.status, resumed.run.resume_count) == ("running", 1)
    assert store.end_run(run_id).run.reason == "completed"
    assert store.end_run(run_id, "completed").status == "completed"
    for refused in (lambda: store.end_run(run_id, "failed"), lambda: store.resume_run(run_id)):
        with pytest.raises(InvalidRunStateError) as caught:
            refused()
        assert (caught.value.status, caught.value.code) == (409, "invalid_run_state")
    types = [event.event_type for event in store.read_events(run_id)]
    assert types == ["run_started", "user_log", "run_ended", "run_resumed", "run_ended"]
    child = store.create_run(project="p", parent_run_id=run_id)
    assert child.run.lineage_root_run_id == run_id
    with pytest.raises(InvalidRunStateError):
        store.create_run(project="p", run_id=run_id)
    with pytest.raises(RunNotFoundError):
        store.create_run(project="p", parent_run_id="nobody")


def test_records_of_every_kind(store: LocalSessionStore) -> None:
    """Mappings and records are written, come back with their numbers, and are read by their filters."""
    run_id = store.create_run(project="p").run_id
    written = store.write_scalar_metrics(
        run_id, [{"metric_key": "train/loss", "value": 1.5, "step": step, "metadata": {"k": step}} for step in range(3)]
    )
    assert store.read_scalar_metrics(run_id, metric_key="train/loss", step_min=1) == written[1:]
    assert [metric.sequence for metric in written] == sorted({metric.sequence for metric in written})
    assert store.read_scalar_metrics(run_id, namespace="train", limit=1) == written[:1]
    events = store.write_events(
        run_id, [{"event_type": "saved", "severity": "info", "payload": {"path": "x"}, "step": 3}]
    )
    assert store.read_events(run_id, event_types=["saved", "x"], severity="info") == events
    telemetry = store.write_system_telemetry(
        run_id, [{"boundary": "step", "step": 1, "step_time_ms": 2.5, "overflow_count": 0, "skipped_step_count": 0}]
    )
    assert store.read_system_telemetry(run_id, boundary="step") == telemetry
    layers = store.write_layer_summaries(run_id, [{
        "module_name": "fc", "module_type": "Linear", "summary_type": "activation", "hook_direction": "forward",
        "call_index": 0, "element_count": 4, "mean": 0.5, "step": 1,
    }])  # fmt: skip
    assert store.read_layer_summaries(run_id, module_name="fc") == layers
    batches = store.write_batch_diagnostics(
        run_id, [{"loss": 0.5, "batch_size": 2, "sample_ids": ["a", "b"], "step": 1}]
    )
    assert store.read_batch_diagnostics(run_id, step=1) == batches
    again = store.write_scalar_metrics(run_id, written)
    assert [metric.value for metric in again] == [1.5, 1.5, 1.5] and again[0].sequence > written[2].sequence
    with pytest.raises(quark.SchemaValidationError, match="known are"):
        store.read_events(run_id, colour="red")
    with pytest.raises(quark.SchemaValidationError):
        store.write_scalar_metrics(run_id, [{"metric_key": "bad key", "value": 1.0, "step": 1}])
    with pytest.raises(quark.WrongTypeError):
        store.write_events(run_id, written)


def test_sequence_numbers_are_given_out_once(store: LocalSessionStore) -> None:
    """An allocated number is its record's; one that came too late gives way to a fresh one, and nothing is lost."""
    run_id = store.create_run(project="p").run_id
    first, second = store.allocate_metric_sequence(run_id), store.allocate_event_sequence(run_id)
    assert second == first + 1 == store.get_next_artifact_sequence(run_id) - 1
    assert store.get_next_layer_summary_sequence(run_id) == store.get_next_batch_diagnostic_sequence(run_id)
    (event,) = store.write_events(run_id, [{"event_type": "a", "severity": "info", "sequence": second}])
    (metric,) = store.write_scalar_metrics(run_id, [{"metric_key": "m", "value": 1.0, "step": 0, "sequence": first}])
    third = store.allocate_system_telemetry_sequence(run_id)
    assert event.sequence == second and second < metric.sequence < third
    assert store.read_scalar_metrics(run_id) == (metric,)


@pytest.mark.parametrize("payload", [{"w": [1, 2]}, "text é", b"\x00\x01" * 3_000_000, b""])
def test_artifacts(store: LocalSessionStore, payload: object) -> None:
    """What was persisted is loaded, by record and by id; payloads larger than one part and empty ones too."""
    run_id = store.create_run(project="p").run_id
    artifact = store.persist_artifact(run_id, artifact_type="snapshot", name="w", payload=payload, step=1)
    assert store.read_artifacts(run_id, artifact_types=["snapshot"]) == (artifact,)
    assert store.load_artifact_payload(run_id, artifact) == payload == store.load_artifact_payload(run_id, artifact.id)
    with pytest.raises(RunNotFoundError):
        store.load_artifact_payload(run_id, "nobody")


def test_analysis_replaces_what_was_there(store: LocalSessionStore) -> None:
    """Alerts, scores and phases are those of the last call."""
    run_id = store.create_run(project="p").run_id
    score = {"score_key": "overall", "score": 85.0, "status": "healthy", "evidence": [EvidenceRecord(**EVIDENCE)]}
    store.write_analysis_outputs(run_id, alerts=[ALERT, ALERT], health_scores=[score])
    alerts, scores = store.write_analysis_outputs(run_id, alerts=[ALERT], health_scores=[score])
    assert store.read_alerts(run_id, severity="warning") == alerts and len(alerts) == 1
    assert store.read_health_scores(run_id, score_key="overall") == scores
    store.write_phases(run_id, [PHASE])
    phases = store.write_phases(run_id, [{**PHASE, "evidence": [EVIDENCE]}])
    assert store.read_phases(run_id) == phases and phases[0].evidence[0].summary == "it rose"
    assert store.write_analysis_outputs(run_id) == ((), ()) and store.read_alerts(run_id) == ()


def test_errors_are_caught_as_documented(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block of the document: not found, not resumable, and every other trouble, each as its own class."""

    def outcome(run_id: str) -> str:
        try:
            TrainingSession.resume_run(run_id=run_id, storage_dir=tmp_path)
        except RunNotFoundError:
            return f"Run does not exist: {run_id}"
        except InvalidRunStateError as exc:
            return f"Cannot resume this run: {exc}"
        except SessionStoreError as exc:
            return f"Persistence service error: {exc.status} {exc.code}"
        return "resumed"

    service.start()
    with LocalSessionStore(tmp_path) as store:
        done = store.create_run(project="p").run_id
        store.end_run(done)
    assert outcome("nobody").startswith("Run does not exist")
    assert outcome(done).startswith("Cannot resume this run")
    monkeypatch.setenv("QUARK_USER_KEY", "qk_00000000_wrong")
    assert outcome(done) == "Persistence service error: 401 unauthorized"
    service.stop()
    monkeypatch.setenv("QUARK_PERSISTENCE_TIMEOUT_SECONDS", "1")
    assert outcome(done) == "Persistence service error: None unavailable"


@pytest.mark.parametrize(("mode", "header"), [("header", "x-quark-api-key"), ("bearer", "authorization")])
def test_both_ways_of_the_key(service: Service, mode: str, header: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key travels in the one header or the other, by argument and by variable, and the service takes both."""
    service.start()
    with LocalSessionStore(auth_mode=mode) as store:
        run_id = store.create_run(project="p").run_id
    monkeypatch.setenv("QUARK_PERSISTENCE_AUTH_MODE", mode)
    with LocalSessionStore() as store:
        assert store.load_run(run_id).run_id == run_id
    assert {name.lower() for name in Connection()._headers()} == {"x-quark-storage-dir", header}


def test_active_is_running() -> None:
    """What some services call active is running. (The transport is a double: ours never says active.)"""
    run = {
        "id": "r", "project_id": "p", "project_name": "p", "status": "active", "lineage_root_run_id": "r",
        "run_path": "", "config": {}, "environment": {}, "started_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=run))
    assert RemoteStore(Connection("http://quark.test", transport=transport)).run("r").status == "running"


def test_values_may_be_anything(store: LocalSessionStore) -> None:
    """What start_run converts is converted here too, in configurations, payloads and metadata; strict mode refuses."""
    odd = {"path": Path("/x"), "f": len, "nan": float("nan"), 1: {2}}
    expected = {"path": "/x", "f": "builtins.len", "nan": "nan", "1": [2]}
    run_id = store.create_run(project="p", config=odd).run_id
    assert store.load_run(run_id).run.config == expected
    assert store.add_log(run_id, "hello", payload=odd).payload.items() >= expected.items()
    (event,) = store.write_events(run_id, [{"event_type": "note", "severity": "info", "payload": odd}])
    (metric,) = store.write_scalar_metrics(run_id, [{"metric_key": "a", "value": 1.0, "step": 0, "metadata": odd}])
    assert event.payload == metric.metadata == expected
    with pytest.raises(quark.WrongTypeError):
        store.create_run(project="p", config=odd, strict_mode=True)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"tags": "baseline"}, "tags must be a list"), ({"tags": ["", " "]}, "must not be empty"),
        ({"tags": [5]}, "a tag must be a string"), ({"project": "x" * 201}, "1 to 200"),
        ({"project": 5}, "must be a string"), ({"project": " "}, "1 to 200"), ({"run_id": "a/b"}, "run_id must be"),
    ],
)  # fmt: skip
def test_a_run_is_checked_like_any_other(given: dict[str, Any], error: str) -> None:
    """What start_run refuses is refused here too, before a request is made."""
    with (
        LocalSessionStore(base_url="http://127.0.0.1:9", user_key="k") as store,
        pytest.raises((quark.SchemaValidationError, quark.WrongTypeError), match=error),
    ):
        store.create_run(**{"project": "p", **given})
