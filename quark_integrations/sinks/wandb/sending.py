"""What is sent beside the metrics: alerts and the files of artifacts, each once."""

import re
from pathlib import Path
from typing import Any

from quark import AlertRecord, ArtifactRecord, Record, RecordBatch

from .translog import MARK

_LEVELS = {"info": "INFO", "warning": "WARN", "error": "ERROR", "critical": "ERROR"}


def send_alerts(run: Any, batch: RecordBatch, known: set[str]) -> None:
    """Send the alerts of a batch as W&B alerts; ``known`` are the ids of records that were sent before."""
    from datetime import timedelta

    for record in _of_kind(batch, "alert"):
        if isinstance(record, AlertRecord) and record.id not in known:
            at = "" if record.step_start is None else f"\nsteps {record.step_start} to {record.step_end}"
            text = f"{record.summary}\n{record.fact}\n{record.inference}{at}\n{MARK}{record.id}"
            # W&B drops an alert whose title it saw within this time: none is to be dropped
            run.alert(record.title, text, level=_LEVELS[record.severity], wait_duration=timedelta(milliseconds=1))
            known.add(record.id)


def send_artifacts(run: Any, batch: RecordBatch, known: set[str], run_path: Path) -> None:
    """Log the files of a batch's artifacts; a file that is gone is passed over, its record stays in Quark."""
    import wandb

    for record in _of_kind(batch, "artifact"):
        if not isinstance(record, ArtifactRecord) or record.id in known:
            continue
        payload = record.payload_in(run_path)
        if payload is None:
            continue
        metadata = {
            **record.metadata, "quark_record": record.id, "sha256": record.sha256, "step": record.step,
            "epoch": record.epoch,
        }  # fmt: skip
        artifact = wandb.Artifact(
            plain_name(f"{run.id}-{record.artifact_key}"), artifact_type(record.artifact_type), metadata=metadata
        )
        # a stored payload never changes: no second copy of it is made
        artifact.add_file(str(payload), name=payload.name, policy="mutable")
        run.log_artifact(artifact)
        known.add(record.id)


def plain_name(name: str) -> str:
    """A name within the letters and the length that W&B allows for artifacts."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)[-128:]


def artifact_type(name: str) -> str:
    """A type that W&B does not keep for itself."""
    plain = plain_name(name)
    return f"quark-{plain}" if plain == "job" or plain.startswith(("wandb-", "run_table")) else plain


def _of_kind(batch: RecordBatch, kind: str) -> list[Record]:
    head = b'{"kind":"%s"' % kind.encode()
    data = b"".join(line for line in batch.data.splitlines(keepends=True) if line.startswith(head))
    return RecordBatch(batch.origin, batch.first, batch.stop, data).records() if data else []
