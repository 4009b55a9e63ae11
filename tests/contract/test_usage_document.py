"""The code of the usage document, as written there: it runs, and records what the document says."""

# ruff: noqa: B904, SIM117  the code is the document's

from pathlib import Path

import pytest

import quark
from quark import (
    CURRENT_SCHEMA_VERSION,
    ArtifactStore,
    EventLogger,
    InvalidRunStateError,
    MetricsLogger,
    RunNotFoundError,
    SessionStoreError,
    TrainingSession,
    dump_record,
    migrate_store,
    validate_record,
)


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def stored(session: TrainingSession) -> quark.RunRecord:
    """The run as the store has it."""
    with quark.open(session.storage_dir) as store:
        return store.run(session.run_id).record


def test_custom_scalar_metrics() -> None:
    """Metrics of any name are logged with step or epoch, namespace, description and metadata, and read back."""
    storage_dir = Path("quark-runs").resolve()

    with (
        TrainingSession.start_run(
            project="custom-metrics-demo",
            storage_dir=storage_dir,
        ) as session,
        MetricsLogger(session, batch_size=50) as metrics,
    ):
        metrics.log(
            "my_eval/f1_macro",
            0.812,
            step=120,
            epoch=2,
            description="Macro F1 on the internal holdout split.",
            metadata={
                "split": "holdout_internal",
                "threshold": 0.5,
            },
        )
        metrics.log(
            "data/duplicate_ratio",
            0.034,
            step=120,
            epoch=2,
            metadata={"window": "epoch"},
        )
        metrics.log(
            "latency_ms",
            18.4,
            epoch=2,
            namespace="serving/shadow",
            metadata={"unit": "milliseconds"},
        )
        first, _, last = metrics.read()

    assert (first.metric_key, first.value, first.step, first.epoch) == ("my_eval/f1_macro", 0.812, 120, 2)
    assert first.description == "Macro F1 on the internal holdout split."
    assert first.metadata == {"split": "holdout_internal", "threshold": 0.5}
    assert (last.metric_key, last.namespace, last.metric_name) == (
        "serving/shadow/latency_ms",
        "serving/shadow",
        "latency_ms",
    )
    assert (last.step, last.epoch, last.metadata) == (None, 2, {"unit": "milliseconds"})


def test_read_metrics_back(capsys: pytest.CaptureFixture[str]) -> None:
    """Reading flushes and gives records in the order of recording, within inclusive bounds."""
    with TrainingSession.start_run(project="reading") as session, MetricsLogger(session) as metrics:
        for step in range(0, 1000, 100):
            metrics.log("train/loss", 1.0 / (step + 1), step=step)
            metrics.log("eval/accuracy", step / 1000, step=step)

        losses = metrics.read(metric_key="train/loss", step_min=100, step_max=500)
        latest_eval = metrics.read(namespace="eval", limit=20)

        for record in losses:
            print(record.step, record.metric_key, record.value, record.to_dict())

    assert [record.step for record in losses] == [100, 200, 300, 400, 500]
    assert {record.metric_key for record in latest_eval} == {"eval/accuracy"}
    assert len(latest_eval) == 10
    assert capsys.readouterr().out.count("'metric_key': 'train/loss'") == 5


def test_minimal_run_lifecycle(capsys: pytest.CaptureFixture[str]) -> None:
    """The minimal run: metrics, an event and a log message, completed at the end of the block."""
    storage_dir = Path("quark-runs").resolve()

    with (
        TrainingSession.start_run(
            project="image-classifier",
            config={
                "model": "resnet18",
                "optimizer": "adamw",
                "lr": 3e-4,
                "epochs": 5,
            },
            tags=["baseline", "dev"],
            storage_dir=storage_dir,
        ) as session,
        MetricsLogger(session, batch_size=50) as metrics,
        EventLogger(session, batch_size=20) as events,
    ):
        metrics.log("train/loss", 1.42, step=0, epoch=0)
        metrics.log("optimizer/lr", 3e-4, step=0, epoch=0)

        events.log(
            "checkpoint_saved",
            step=0,
            epoch=0,
            payload={"path": "checkpoints/step-0.pt"},
        )

        session.add_log("Warmup completed without instability.", identifier="Info")

    print(session.run_id)
    print(session.run_path)

    assert capsys.readouterr().out.split() == [session.run_id, session.run_path]
    run = stored(session)
    assert (run.status, run.project_name, run.tags) == ("completed", "image-classifier", ("baseline", "dev"))
    assert run.config == {"model": "resnet18", "optimizer": "adamw", "lr": 3e-4, "epochs": 5}
    with quark.open(storage_dir) as store:
        view = store.run(session.run_id)
        assert view.latest() == {"optimizer/lr": (0, 3e-4), "train/loss": (0, 1.42)}
        assert [event.event_type for event in view.events()] == [
            "run_started", "checkpoint_saved", "user_log", "run_ended",
        ]  # fmt: skip


def run_with_logs(storage_dir: Path, train_one_epoch: object) -> TrainingSession:
    """The document's block on structured logs, around a given ``train_one_epoch``."""
    with TrainingSession.start_run(project="classifier", storage_dir=storage_dir) as session:
        run_with_logs.session = session  # type: ignore[attr-defined]  # the test needs it when the block raises
        session.add_log("Loaded checkpoint from step 1200.", identifier="Info")

        with EventLogger(session, batch_size=20) as events:
            events.add_log(
                "Validation loss increased for three checks.",
                identifier="Warning",
                step=1280,
                payload={"window": 3},
            )

            train_one_epoch()  # type: ignore[operator]
    return session


def test_structured_logs(tmp_path: Path) -> None:
    """Log messages are events with message and identifier; the identifier sets the severity."""
    session = run_with_logs(tmp_path, lambda: None)
    with quark.open(tmp_path) as store:
        first, second = store.run(session.run_id).events("user_log")
    assert first.payload == {"message": "Loaded checkpoint from step 1200.", "identifier": "Info"}
    assert (second.severity, second.step, second.payload["identifier"], second.payload["window"]) == (
        "warning", 1280, "Warning", 3,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("error", "status", "event_type", "identifier"),
    [
        (ValueError("bad batch"), "failed", "runtime_error", "Error"),
        (KeyboardInterrupt(), "interrupted", "runtime_interruption", "Warning"),
        (SystemExit(3), "interrupted", "runtime_interruption", "Warning"),
    ],
    ids=["error", "interrupt", "exit"],
)
def test_runtime_errors(tmp_path: Path, error: BaseException, status: str, event_type: str, identifier: str) -> None:
    """What leaves the block is passed on unchanged, and becomes the log message and the status that are promised."""

    def train_one_epoch() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        run_with_logs(tmp_path, train_one_epoch)
    assert caught.value is error
    session = run_with_logs.session  # type: ignore[attr-defined]
    with quark.open(tmp_path) as store:
        view = store.run(session.run_id)
        assert view.status == status
        assert view.events(event_type)[0].payload["identifier"] == identifier


def test_capture_artifacts(capsys: pytest.CaptureFixture[str]) -> None:
    """A histogram and a snapshot are stored as files and loaded back."""
    storage_dir = Path("quark-runs").resolve()

    with (
        TrainingSession.start_run(
            project="artifact-demo",
            storage_dir=storage_dir,
        ) as session,
        ArtifactStore(session) as artifacts,
    ):
        histogram = artifacts.log_histogram(
            "activation",
            bins=[-1.0, 0.0, 1.0],
            counts=[12, 4],
            step=120,
            epoch=2,
            namespace="layers/encoder",
            metadata={"module": "encoder.0"},
        )

        snapshot = artifacts.log_snapshot(
            "warmup",
            {
                "checkpoint_path": "checkpoints/step-120.pt",
                "checkpoint_size_bytes": 8192,
            },
            snapshot_type="checkpoint_metadata",
            step=120,
            epoch=2,
            namespace="trainer",
            metadata={"phase": "warmup"},
        )

        print(histogram.payload_relative_path)
        print(snapshot.metadata_relative_path)
        print(artifacts.load(snapshot))

    shown = capsys.readouterr().out.splitlines()
    assert shown[2] == "{'checkpoint_path': 'checkpoints/step-120.pt', 'checkpoint_size_bytes': 8192}"
    assert all((Path(session.run_path) / path).is_file() for path in shown[:2])
    assert (histogram.artifact_key, histogram.metadata) == ("layers/encoder/activation", {"module": "encoder.0"})


def test_generic_artifacts() -> None:
    """Artifacts are found by type, namespace and step, and loaded by record or id."""
    with TrainingSession.start_run(project="artifact-demo") as session, ArtifactStore(session) as artifacts:
        record = artifacts.store(
            "tensor_summary",
            "layers/encoder/weights",
            {"mean": 0.02, "std": 0.31},
            step=120,
            payload_format="json",
        )

        records = artifacts.read(
            artifact_type="tensor_summary",
            namespace="layers/encoder",
            step_min=100,
        )
        payload = artifacts.load(record)
        same_payload = artifacts.load(record.id)

    assert records == (record,)
    assert payload == same_payload == {"mean": 0.02, "std": 0.31}


def test_retention_hooks(capsys: pytest.CaptureFixture[str]) -> None:
    """A hook sees each stored artifact."""

    def keep_only_metadata(store: ArtifactStore, record: quark.ArtifactRecord) -> None:
        if record.artifact_type == "checkpoint_metadata":
            print(record.artifact_key, record.size_bytes)

    with TrainingSession.start_run(project="artifact-demo") as session:
        with ArtifactStore(
            session,
            retention_hooks=(keep_only_metadata,),
            raise_on_retention_error=False,
        ) as artifacts:
            artifacts.log_snapshot("latest", {"checkpoint": "step-120.pt"})
            artifacts.log_snapshot("best", {"checkpoint": "step-90.pt"}, snapshot_type="checkpoint_metadata")

    size = len('{"checkpoint":"step-90.pt"}')
    assert capsys.readouterr().out == f"best {size}\n"


def test_resume_interrupted_runs() -> None:
    """An interrupted run is resumed as the same run, tagged, logged and completed."""
    storage_dir = Path("quark-runs").resolve()

    session = TrainingSession.start_run(
        project="resume-demo",
        storage_dir=storage_dir,
    )
    session.end_run(status="interrupted")

    resumed = TrainingSession.resume_run(
        run_id=session.run_id,
        storage_dir=storage_dir,
    )
    resumed.add_tag("recovered")
    resumed.add_log("Recovered after a scheduled maintenance window.", identifier="Info")
    resumed.end_run(status="completed")

    run = stored(resumed)
    assert resumed.run_id == session.run_id
    assert (run.status, run.resume_count, run.tags) == ("completed", 1, ("recovered",))


def test_records_schemas_and_validation() -> None:
    """A record is validated and dumped; a store is at the current schema version."""
    storage_dir = Path("quark-runs").resolve()
    with TrainingSession.start_run(project="schemas", storage_dir=storage_dir) as session:
        with MetricsLogger(session) as metrics:
            metric_record = metrics.log("train/loss", 0.5, step=1)

    validate_record(metric_record)
    payload = dump_record(metric_record)
    version = migrate_store(storage_dir, generated_at="2026-05-07T00:00:00Z")
    print(CURRENT_SCHEMA_VERSION, version, payload)

    assert version == CURRENT_SCHEMA_VERSION
    assert payload == metric_record.to_dict()


def resume(run_id: str, storage_dir: Path) -> TrainingSession:
    """The document's block on catching errors."""
    try:
        session = TrainingSession.resume_run(run_id=run_id, storage_dir=storage_dir)
    except RunNotFoundError:
        raise SystemExit(f"Run does not exist: {run_id}")
    except InvalidRunStateError as exc:
        raise SystemExit(f"Cannot resume this run: {exc}")
    except SessionStoreError as exc:
        raise SystemExit(f"Persistence service error: {exc}")
    return session


def test_catching_errors(tmp_path: Path) -> None:
    """An unknown run and a completed one are told apart."""
    with TrainingSession.start_run(project="errors", storage_dir=tmp_path) as session:
        pass
    with pytest.raises(SystemExit, match="Run does not exist: no-such-run"):
        resume("no-such-run", tmp_path)
    with pytest.raises(SystemExit, match="Cannot resume this run"):
        resume(session.run_id, tmp_path)
