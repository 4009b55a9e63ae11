"""What an optimizer step did to one parameter."""

from typing import Annotated, ClassVar

from .base import Record, frozen, kind
from .fields import Count, Epoch, Metadata, Step, Text, says


@kind
@frozen
class ParameterSummaryRecord(Record):
    """Norms of a parameter, its gradient and its last update; the norm of a non-finite tensor is null."""

    kind: ClassVar[str] = "parameter"
    label_field: ClassVar[str | None] = "parameter_name"

    parameter_name: Annotated[Text, says("name of the parameter in model.named_parameters()")]
    step: Step | None = None
    epoch: Epoch | None = None
    call_index: Annotated[Count, says("which step of its optimizer within the training step, from 0")] = 0
    element_count: Annotated[Count, says("number of elements of the parameter")] = 0
    parameter_shape: Annotated[tuple[int, ...] | None, says("shape of the parameter")] = None
    weight_norm: Annotated[float | None, says("Euclidean norm of the parameter before the update")] = None
    gradient_norm: Annotated[float | None, says("Euclidean norm of its gradient; null: it has none")] = None
    update_norm: Annotated[float | None, says("Euclidean norm of what the optimizer added; null: it took no step")] = (
        None
    )
    update_ratio: Annotated[float | None, says("update norm by weight norm; null where the weight is zero")] = None
    metadata: Metadata
    watcher: Annotated[Text | None, says("name of the watcher, as run.watch(name=...) gave it; null: it has none")] = (
        None
    )
