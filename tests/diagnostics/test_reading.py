"""What was logged is found again in the store: traces, ranges, summaries, over resumes and ranks."""

import json
from pathlib import Path

import pytest

from quark import DataDiagnostics, DataDiagnosticsConfig, SchemaValidationError, TrainingSession
from quark.producers.diagnostics import DataDiagnosticsSummary, ExposureSummary, HardBatchFinding, LossSummary
from quark.records.describe import fields_of
from quark.testing import MemoryRunHandle

from .curves import losses, planted


def numbered(diagnostics: DataDiagnostics, first: int, stop: int, epoch: int = 0) -> None:
    """Batches of three samples each; sample n is in every batch with n below 10."""
    for step in range(first, stop):
        diagnostics.log_batch(
            1.0 + step % 7, step=step, epoch=epoch, sample_ids=[str(step % 10), f"x{step}", f"y{step}"],
            labels=[step % 2, 0, 1], sequence_lengths=[10 + step % 3, 4, 5],
        )  # fmt: skip


def test_batches_are_read_by_sample_step_and_epoch(tmp_path: Path) -> None:
    """The trace of a sample is every batch that held it; bounds are inclusive; limit takes the first."""
    with TrainingSession.start_run(project="data", storage_dir=tmp_path) as session, DataDiagnostics(session) as data:
        numbered(data, 0, 20)
        numbered(data, 20, 40, epoch=1)
        assert [record.step for record in data.read(sample_id="3")] == [3, 13, 23, 33]
        assert [record.step for record in data.read(sample_id="3", epoch=1)] == [23, 33]
        assert [record.step for record in data.read(sample_id="x7")] == [7]
        assert data.read(sample_id="nobody") == ()
        assert [record.step for record in data.read(step_min=5, step_max=7)] == [5, 6, 7]
        assert [record.step for record in data.read(epoch_min=1, limit=2)] == [20, 21]
        assert len(data.read()) == 40


def test_flush_returns_what_was_logged_since(tmp_path: Path) -> None:
    """At most batch_size of them, the last ones."""
    config = DataDiagnosticsConfig(batch_size=3)
    with TrainingSession.start_run(project="data", storage_dir=tmp_path) as session:
        data = DataDiagnostics(session, config=config)
        numbered(data, 0, 5)
        assert [record.step for record in data.flush()] == [2, 3, 4]
        assert data.flush() == ()


def test_a_run_context_is_a_session_too(tmp_path: Path) -> None:
    """Every producer takes both."""
    with TrainingSession.start_run(project="data", storage_dir=tmp_path) as session:
        data = DataDiagnostics(session.reload())
        data.log_batch(1.0, step=0)
        assert len(data.read()) == 1


def test_summaries_of_a_range_are_those_of_its_batches(tmp_path: Path) -> None:
    """Losses, exposure and findings of steps 10 to 19 alone, by any way of asking for them."""
    with TrainingSession.start_run(project="data", storage_dir=tmp_path) as session, DataDiagnostics(session) as data:
        numbered(data, 0, 10)
        numbered(data, 10, 20, epoch=1)
        summary = data.summarize(step_min=10, step_max=19)
        assert summary.loss_summary is not None
        assert (summary.loss_summary.count, summary.loss_summary.first) == (10, 4.0)
        assert summary.exposure == data.summarize_exposure(epoch=1)
        assert (summary.exposure.step_start, summary.exposure.step_end, summary.exposure.unique_samples) == (10, 19, 30)
        assert summary.hard_batches == data.find_hard_batches(epoch_min=1)
        assert {finding.record.epoch for finding in summary.hard_batches} == {1}
        assert json.loads(json.dumps(summary.to_dict()))["exposure"]["batches_seen"] == 10


def test_an_empty_range_has_no_losses(tmp_path: Path) -> None:
    """There is nothing to say of batches that are not there, and that is no error."""
    with TrainingSession.start_run(project="data", storage_dir=tmp_path) as session, DataDiagnostics(session) as data:
        numbered(data, 0, 3)
        summary = data.summarize(step_min=100)
    assert (summary.loss_summary, summary.exposure.batches_seen, summary.hard_batches) == (None, 0, ())


@pytest.mark.parametrize("wrong", [{"step_min": 5, "step_max": 1}, {"epoch": -1}, {"limit": -1}])
def test_a_range_that_cannot_match_is_refused(wrong: dict[str, int]) -> None:
    """A question that makes no sense is not answered with nothing."""
    with pytest.raises(SchemaValidationError):
        DataDiagnostics(MemoryRunHandle()).find_hard_batches(**wrong)


def falling(data: DataDiagnostics, seed: int, first: int = 0, stop: int = 1000) -> set[int]:
    """A falling loss with hard batches; returns their steps."""
    hard = planted(seed)
    for step, loss in enumerate(losses("exponential", "lognormal", seed, hard)):
        if first <= step < stop:
            data.log_batch(loss, step=step, sample_ids=[f"s{step}"])
    return hard


def residual(found: tuple[HardBatchFinding, ...]) -> dict[int | None, HardBatchFinding]:
    """The findings by what was expected, by step."""
    return {finding.record.step: finding for finding in found if "loss_residual" in finding.reasons}


def test_hard_batches_come_with_their_records(tmp_path: Path) -> None:
    """The hardest batches of a falling loss are those that were planted, and their samples are named."""
    with TrainingSession.start_run(project="data", storage_dir=tmp_path) as session, DataDiagnostics(session) as data:
        hard = falling(data, 11)
        found = data.find_hard_batches(limit=10)
        everything = data.find_hard_batches(limit=None)
    assert len(found) == 10
    assert found == everything[:10]
    assert {finding.record.step for finding in found} <= hard
    assert all(finding.record.sample_ids == (f"s{finding.record.step}",) for finding in found)
    assert len(set(residual(everything)) & hard) >= 18


def test_the_range_does_not_change_what_was_expected() -> None:
    """A batch is judged by all that came before it: its expected loss is the same in every range that holds it."""
    data = DataDiagnostics(MemoryRunHandle())
    falling(data, 12)
    whole, part = (residual(data.find_hard_batches(limit=None, **bounds)) for bounds in ({}, {"step_min": 700}))
    assert part.keys() == {step for step in whole if step is not None and step >= 700}
    assert all(part[step].expected_loss == whole[step].expected_loss for step in part)


def test_a_resumed_run_goes_on_with_what_it_expected(tmp_path: Path) -> None:
    """The batches of both attempts are one stream."""
    with TrainingSession.start_run(project="data", storage_dir=tmp_path) as session:
        falling(DataDiagnostics(session), 13, stop=600)
        session.end_run("interrupted")
    with TrainingSession.resume_run(run_id=session.run_id, storage_dir=tmp_path) as resumed:
        data = DataDiagnostics(resumed)
        hard = falling(data, 13, first=600)
        found = residual(data.find_hard_batches(limit=None))
        assert data.summarize_exposure().batches_seen == 1000
    assert len(found.keys() & hard) >= 18
    assert len(found.keys() - hard) <= 2


def test_the_run_in_memory_knows_traces_too() -> None:
    """The double that others test with answers as the store does."""
    data = DataDiagnostics(MemoryRunHandle())
    numbered(data, 0, 20)
    assert [record.step for record in data.read(sample_id="3")] == [3, 13]


@pytest.mark.parametrize("cls", [DataDiagnosticsSummary, ExposureSummary, HardBatchFinding, LossSummary])
def test_every_answer_says_what_its_fields_mean(cls: type) -> None:
    """The documentation and the dashboard read the meanings."""
    assert [field.name for field in fields_of(cls) if len(field.meaning.split()) < 2] == []
