"""The statistics of one tensor that flowed through a layer."""

from typing import Annotated, ClassVar

from .base import Record, frozen, kind
from .fields import Count, Epoch, Metadata, Ratio, Step, Text, says
from .literals import HookDirection, SummaryType


def qualified_name(watcher: str | None, name: str) -> str:
    """The name of a layer or parameter as if the network were a part called like its watcher."""
    return name if watcher is None else f"{watcher}.{name}"


@kind
@frozen
class LayerSummaryRecord(Record):
    """Statistics of an activation or gradient; a statistic of a non-finite tensor is null."""

    kind: ClassVar[str] = "layer"
    label_field: ClassVar[str | None] = "module_name"
    noun: ClassVar[str] = "layer summaries"

    module_name: Annotated[Text, says("name of the module in model.named_modules()")]
    module_type: Annotated[Text, says("class name of the module")]
    summary_type: Annotated[SummaryType, says("activation or gradient")]
    hook_direction: Annotated[HookDirection, says("forward or backward")]
    step: Step | None = None
    epoch: Epoch | None = None
    call_index: Annotated[Count, says("which call of the module within the step, from 0")] = 0
    element_count: Annotated[Count, says("number of elements of the tensor")] = 0
    tensor_shape: Annotated[tuple[int, ...] | None, says("shape of the tensor")] = None
    mean: Annotated[float | None, says("mean of the elements")] = None
    std: Annotated[float | None, says("standard deviation of the elements")] = None
    norm: Annotated[float | None, says("Euclidean norm of the tensor")] = None
    variance: Annotated[float | None, says("variance of the elements")] = None
    dead_unit_ratio: Annotated[Ratio | None, says("share of elements that are near zero, 0 to 1")] = None
    saturation_ratio: Annotated[Ratio | None, says("share of elements at the limits of the activation, 0 to 1")] = None
    metadata: Metadata
    watcher: Annotated[Text | None, says("name of the watcher, as run.watch(name=...) gave it; null: it has none")] = (
        None
    )
