"""What one batch of training data was and how it did, without its samples."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from .base import Record, frozen, kind
from .fields import Count, Epoch, Metadata, Step, says


@kind
@frozen
class BatchDiagnosticRecord(Record):
    """Loss and make-up of one batch; raw samples are never kept."""

    kind: ClassVar[str] = "batch"
    label_field: ClassVar[str | None] = None
    plural: ClassVar[str] = "batches"
    noun: ClassVar[str] = "batch diagnostics"
    members: ClassVar[Mapping[str, str]] = {"sample_id": "sample_ids"}

    step: Step | None = None
    epoch: Epoch | None = None
    loss: Annotated[float, says("loss of the batch, finite")]
    batch_size: Annotated[Count | None, says("number of samples in the batch")] = None
    sample_ids: Annotated[tuple[str, ...], says("ids of the samples")] = ()
    class_counts: Annotated[dict[str, Count], says("number of samples per class label")]
    sequence_lengths: Annotated[tuple[Count, ...], says("length of each sequence, in tokens")] = ()
    metadata: Metadata
