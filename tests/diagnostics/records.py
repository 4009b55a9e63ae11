"""Batches as the store gives them back."""

from typing import Any

from quark import BatchDiagnosticRecord
from quark.records.base import Origin
from quark.records.line import build

START_NS = 1_778_112_000_000_000_000


def batch(loss: float = 1.0, *, rank: int = 0, sequence: int = 0, **fields: Any) -> BatchDiagnosticRecord:
    """A batch that ``rank`` recorded."""
    origin = Origin("run-1", f"{rank}-1-test", rank)
    return build(BatchDiagnosticRecord, origin, sequence, START_NS, {"loss": loss, **fields})
