"""Which data a training sees and which of its batches are hard, without keeping a single sample."""

from .adapters import BatchMetadataAdapter, MappingBatchMetadataAdapter
from .diagnostics import DataDiagnostics
from .results import DataDiagnosticsSummary, ExposureSummary, HardBatchFinding, LossSummary

__all__ = [
    "BatchMetadataAdapter", "DataDiagnostics", "DataDiagnosticsSummary", "ExposureSummary", "HardBatchFinding",
    "LossSummary", "MappingBatchMetadataAdapter",
]  # fmt: skip
