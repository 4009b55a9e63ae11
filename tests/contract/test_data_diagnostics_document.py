"""The usage document's section on batch and data diagnostics, as written there."""

# ruff: noqa: RUF059  the code is the document's

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quark import (
    BatchMetadata,
    BatchMetadataAdapter,
    DataDiagnostics,
    DataDiagnosticsConfig,
    MappingBatchMetadataAdapter,
    TrainingSession,
)

STEPS = 120


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loader() -> Iterator[dict[str, Any]]:
    """Mapping-like batches of four samples."""
    for number in range(STEPS):
        ids = [f"sample-{(number * 4 + place) % 200}" for place in range(4)]
        yield {
            "number": number, "inputs": object(), "sample_ids": ids, "labels": [0, 1, 1, 2],
            "lengths": [16, 16, 17, 18], "loader": "train",
        }  # fmt: skip


def train_step(batch: dict[str, Any]) -> float:
    """A falling loss; the batch of step 100 is hard."""
    step = batch["number"]
    noise = math.exp(random.Random(step).gauss(0.0, 0.05))
    return (0.3 + math.exp(-step / 40)) * noise * (2.0 if step == 100 else 1.0)


def test_data_diagnostics_with_a_mapping_adapter(capsys: pytest.CaptureFixture[str]) -> None:
    """Batches are logged by their entries, and summaries, exposure and hard batches are asked for."""
    train_loader = loader()

    storage_dir = Path("quark-runs").resolve()

    adapter = MappingBatchMetadataAdapter(
        sample_id_key="sample_ids",
        label_key="labels",
        sequence_length_key="lengths",
        metadata_keys=("loader",),
    )

    with (
        TrainingSession.start_run(
            project="data-diagnostics-demo",
            storage_dir=storage_dir,
        ) as session,
        DataDiagnostics(
            session,
            config=DataDiagnosticsConfig(
                batch_size=32,
                adapter=adapter,
            ),
        ) as diagnostics,
    ):
        for step, batch in enumerate(train_loader):
            loss = train_step(batch)
            diagnostics.log_batch(
                float(loss),
                step=step,
                epoch=0,
                batch=batch,
            )

        summary = diagnostics.summarize(hard_batch_limit=5)
        exposure = diagnostics.summarize_exposure()
        hard_batches = diagnostics.find_hard_batches(limit=5)

        print(summary.loss_summary.to_dict() if summary.loss_summary else None)
        print(exposure.to_dict())
        print([finding.to_dict() for finding in hard_batches])

    assert summary.loss_summary is not None
    assert summary.loss_summary.count == exposure.batches_seen == STEPS
    assert (exposure.samples_seen, exposure.unique_samples, exposure.max_repeats) == (480, 200, 3)
    assert exposure.class_counts == {"1": 240, "0": 120, "2": 120}
    assert summary.hard_batches == hard_batches
    assert hard_batches[0].record.step == 100
    assert "loss_residual" in hard_batches[0].reasons
    assert hard_batches[0].record.metadata == {"loader": "train"}
    shown = capsys.readouterr().out.splitlines()
    assert [line[:1] for line in shown] == ["{", "{", "["]


def test_an_adapter_for_tuples() -> None:
    """A batch that is no mapping is described by a subclass."""

    class TupleBatchAdapter(BatchMetadataAdapter):
        def extract_batch_metadata(self, batch):
            inputs, targets, sample_ids = batch
            return BatchMetadata(
                batch_size=len(sample_ids),
                sample_ids=sample_ids,
                class_counts=targets,
                metadata={"source": "tuple_loader"},
            )

    with TrainingSession.start_run(project="data-diagnostics-demo") as session:
        diagnostics = DataDiagnostics(session, config=DataDiagnosticsConfig(adapter=TupleBatchAdapter()))
        diagnostics.log_batch(0.5, step=0, batch=([[0.0], [1.0]], [1, 0], ["a", "b"]))
        (record,) = diagnostics.read(sample_id="b")
    assert (record.batch_size, record.class_counts) == (2, {"1": 1, "0": 1})
    assert record.metadata == {"source": "tuple_loader"}


def test_fields_without_an_adapter() -> None:
    """The fields are passed directly."""
    loss, step, epoch = 0.5, 3, 1
    targets, batch_ids, token_lengths = [1, 0], ["a", "b"], [12, 9]
    with TrainingSession.start_run(project="data-diagnostics-demo") as session:
        diagnostics = DataDiagnostics(session)
        diagnostics.log_batch(
            loss=float(loss),
            step=step,
            epoch=epoch,
            batch_size=len(targets),
            labels=targets,
            sample_ids=batch_ids,
            sequence_lengths=token_lengths,
            metadata={"augmentation": "mixup"},
        )
        (record,) = diagnostics.read(step=3, epoch=1)
    assert record.sample_ids == ("a", "b")
    assert record.sequence_lengths == (12, 9)
    assert record.metadata == {"augmentation": "mixup"}
