"""A scalar that was measured at a step or an epoch."""

from typing import Annotated, ClassVar

from .base import Record, frozen, kind, lazy
from .fields import Epoch, Metadata, Step, Text, says


@kind
@frozen
class MetricRecord(Record):
    """One scalar sample. At least one of step and epoch is set; the value is finite."""

    kind: ClassVar[str] = "metric"
    label_field: ClassVar[str | None] = "metric_key"
    noun: ClassVar[str] = "metric points"
    named: ClassVar[bool] = True
    free_text: ClassVar[tuple[str, ...]] = ("description", "metadata")

    metric_key: Annotated[Text, says("full name: namespace, a slash, metric name; or the metric name alone")]
    namespace: Annotated[str | None, says("the part of the key before its last slash; null for a bare name")] = None
    metric_name: Annotated[Text, says("the part of the key after its last slash")]
    value: Annotated[float, says("the measured value, finite")]
    step: Step | None = None
    epoch: Epoch | None = None
    description: Annotated[str | None, says("what the metric means, for people")] = None
    metadata: Metadata


lazy("id", lambda record: _identity(record))
lazy("namespace", lambda record: record.metric_key.rpartition("/")[0] or None)
lazy("metric_name", lambda record: record.metric_key.rpartition("/")[2])


def _identity(record: Record) -> str:
    """A wide record holds many metrics under one sequence number, so a metric's id carries its key."""
    base = f"{record._origin.writer_id}-{record.sequence}"
    return f"{base}/{record.metric_key}" if isinstance(record, MetricRecord) else base
