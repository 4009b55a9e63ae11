"""The RunContext of a run stands for the run everywhere, also after its end."""

import gc
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import quark


@pytest.fixture(params=["folder", "service"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A storage directory; with a service it names the namespace there."""
    if request.param == "service":
        request.getfixturevalue("service").start()
    yield tmp_path / "runs"


def ended(place: Path, **options: Any) -> quark.RunContext:
    """The context of a run that was recorded, has ended and is out of use."""
    run = quark.TrainingSession.start_run(project="p", storage_dir=place, **options)
    for step in range(3):
        run.log({"loss": 1.0 / (step + 1)}, step=step)
    run.add_log("hello")
    quark.ArtifactStore(run).store("table", "rows", [1, 2])
    return run.end_run()


READERS = {
    "metrics": lambda c: [record.value for record in quark.MetricsLogger(c).read()] == [1.0, 0.5, 1.0 / 3],
    "events": lambda c: any(event.payload.get("message") == "hello" for event in quark.EventLogger(c).read()),
    "artifacts": lambda c: [record.artifact_name for record in quark.ArtifactStore(c).read()] == ["rows"],
    "load": lambda c: quark.ArtifactStore(c).load(quark.ArtifactStore(c).read()[0].id) == [1, 2],
    "telemetry": lambda c: quark.SystemTelemetry(c).read() == (),
    "alerts": lambda c: quark.AnalyzerEngine(c).read_alerts() == (),
    "analyze": lambda c: "overfitting_onset" in quark.AnalyzerEngine(c).analyze().abstentions,
    "phases": lambda c: quark.PhaseAnalyzer(c).analyze() is not None,
    "compare": lambda c: quark.ComparisonEngine(c).compare(c) is not None,
}


def test_whatever_reads_a_session_reads_its_context(place: Path) -> None:
    """Producers and analyzers, when the session is out of use and only its context is left."""
    context = ended(place)
    gc.collect()
    context = pickle.loads(pickle.dumps(context))
    assert {name: read(context) for name, read in READERS.items()} == dict.fromkeys(READERS, True)


def test_what_is_written_after_the_end_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With a warning for each kind of call, never with an exception; and the store has nothing of it."""
    context = ended(tmp_path)
    gc.collect()
    quark.MetricsLogger(context).log("loss", 9.0, step=9)
    quark.EventLogger(context).log("late")
    quark.add_tag(context, "late")
    assert quark.add_log(context, "late").sequence == -1
    assert "takes no" in caplog.text
    assert [record.value for record in quark.MetricsLogger(context).read()] == [1.0, 0.5, 1.0 / 3]


def test_strict_mode_raises(tmp_path: Path) -> None:
    """A run that was strict is strict after its end."""
    context = ended(tmp_path, strict_mode=True)
    gc.collect()
    with pytest.raises(quark.ClosedError, match="takes no"):
        quark.MetricsLogger(context).log("loss", 9.0, step=9)


def test_the_context_of_a_run_that_another_process_records_is_read_only(tmp_path: Path) -> None:
    """An analysis of it keeps nothing in the run."""
    context = ended(tmp_path)
    gc.collect()
    going = quark.RunContext(
        storage_dir=context.storage_dir, store_root=context.store_root, db_path=context.db_path,
        project=context.project, run=quark.RunRecord(**{**context.run.to_dict(), "status": "running"}),
    )  # fmt: skip
    quark.AnalyzerEngine(going).analyze()
    assert quark.AnalyzerEngine(going).read_health_scores() == ()
