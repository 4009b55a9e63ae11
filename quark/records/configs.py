"""The settings of the producers and of the comparison, as small frozen objects that check themselves."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from ..errors import SchemaValidationError, WrongTypeError
from .base import Document, frozen
from .batchvalues import batch_size_of, class_counts_of, sample_ids_of, sequence_lengths_of
from .checking import checked
from .fields import Count, Text, says
from .grammar import check_json, shown
from .literals import CompiledMode, TargetDirection

Names = tuple[Text, ...]
Size = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(gt=0, le=1)]


class Config(Document):
    """A frozen object of settings: every field is checked against its declaration when it is built."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            value = getattr(self, field.name)
            if isinstance(value, Mapping):
                value = _nested(field.type, value)
            value = checked(type(self).__name__, field.name, field.type, value)
            object.__setattr__(self, field.name, value)
        self._agree()

    def _agree(self) -> None:
        """The rules that concern several fields."""


def _nested(declared: Any, given: Mapping[Any, Any]) -> Any:
    """A mapping that stands for a nested config, as that config: a misspelt name is refused, not dropped."""
    cls = getattr(declared, "__origin__", declared)
    if not (isinstance(cls, type) and issubclass(cls, Config)):
        return given
    known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise SchemaValidationError(f"{cls.__name__} has no field {shown(unknown[0])}; use one of {', '.join(known)}")
    return cls(**given)


@frozen
class HookScheduleConfig(Config):
    """In which steps the hooks look at the model."""

    every_n_steps: Annotated[Size | None, says("probe every so many steps; null: only explicit_steps")] = 1
    start_step: Annotated[Count, says("first step of the cadence")] = 0
    stop_step: Annotated[Count | None, says("last step of the cadence; null: no end")] = None
    explicit_steps: Annotated[tuple[Count, ...], says("steps that are probed in any case")] = ()

    def _agree(self) -> None:
        if self.stop_step is not None and self.stop_step < self.start_step:
            raise SchemaValidationError(
                f"HookScheduleConfig.stop_step must not be before start_step {self.start_step}, got {self.stop_step}; "
                "raise it, or leave it None"
            )


@frozen
class LayerFilterConfig(Config):
    """Which modules of the model get hooks; what is excluded stays out even if it is included too."""

    include_names: Annotated[Names, says("module names as in model.named_modules(); empty: all")] = ()
    exclude_names: Annotated[Names, says("module names that are left out")] = ()
    include_types: Annotated[Names, says("class names, such as Linear, or fully qualified ones; empty: all")] = ()
    exclude_types: Annotated[Names, says("class names that are left out")] = ()
    include_name_patterns: Annotated[Names, says("regular expressions searched in module names; empty: all")] = ()
    exclude_name_patterns: Annotated[Names, says("regular expressions of module names that are left out")] = ()
    leaf_modules_only: Annotated[bool, says("skip modules that only contain others")] = True

    def _agree(self) -> None:
        for name in ("include_name_patterns", "exclude_name_patterns"):
            for pattern in getattr(self, name):
                try:
                    re.compile(pattern)
                except re.error as error:
                    raise SchemaValidationError(
                        f"LayerFilterConfig.{name} must hold regular expressions, got {shown(pattern)}: {error}; "
                        "escape special characters with re.escape"
                    ) from error


@frozen
class HookEngineConfig(Config):
    """What the hooks record of the layers, when and how they fail."""

    schedule: Annotated[HookScheduleConfig, says("in which steps")] = HookScheduleConfig()
    filters: Annotated[LayerFilterConfig, says("of which modules")] = LayerFilterConfig()
    capture_forward: Annotated[bool, says("record statistics of activations")] = True
    capture_backward: Annotated[bool, says("record statistics of gradients")] = True
    compiled: Annotated[
        CompiledMode,
        says("eager: a probed step runs compiled code eagerly and sees its layers; skip: compiled code stays unseen"),
    ] = "eager"
    batch_size: Annotated[Size, says("summaries that flush() returns at most")] = 100
    raise_on_error: Annotated[bool | None, says("whether a fault in a hook raises; null: as the run's strict_mode")] = (
        None
    )
    dead_unit_epsilon: Annotated[float, Meta(ge=0), says("an activation counts as dead up to this magnitude")] = 0.0
    saturation_threshold: Annotated[
        Share | None, says("share of the activation's range beyond which it is saturated; null: off")
    ] = 0.95
    saturation_module_types: Annotated[Names, says("class names of modules whose saturation is measured")] = (
        "Sigmoid",
        "Tanh",
        "Hardsigmoid",
        "Hardtanh",
        "ReLU6",
    )


@frozen
class DataDiagnosticsConfig(Config):
    """How batches are described and when one counts as hard."""

    batch_size: Annotated[Size, says("records that flush() returns at most")] = 100
    adapter: Annotated[Any, says("an object with extract_batch_metadata(batch); null: fields are passed directly")] = (
        None
    )
    outlier_z_score_threshold: Annotated[
        float, Meta(gt=0), says("standard scores from which a loss or sequence length is an outlier")
    ] = 2.5
    outlier_iqr_multiplier: Annotated[
        float, Meta(gt=0), says("interquartile ranges above the upper quartile from which it is one")
    ] = 1.5
    hard_batch_percentile: Annotated[
        float, Meta(gt=0, lt=1), says("quantile of the losses from which a batch is hard, 0 to 1")
    ] = 0.9
    min_batches_for_outlier_detection: Annotated[Size, says("batches before outliers are looked for")] = 5

    def _agree(self) -> None:
        if self.adapter is not None and not callable(getattr(self.adapter, "extract_batch_metadata", None)):
            raise WrongTypeError(
                "DataDiagnosticsConfig.adapter must have a method extract_batch_metadata(batch), "
                f"got {shown(self.adapter)}; pass a MappingBatchMetadataAdapter or your own subclass"
            )

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-like values; the adapter is named by its class."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        plain["adapter"] = None if self.adapter is None else type(self.adapter).__name__
        return plain


@frozen
class BatchMetadata(Document):
    """What an adapter knows of one batch. Arrays and tensors are taken; labels given as counts are counted."""

    batch_size: Annotated[Size | None, says("number of samples; null: the number of sample ids")] = None
    sample_ids: Annotated[tuple[str, ...], says("ids of the samples")] = ()
    class_counts: Annotated[dict[str, Count], says("number of samples per class; a list of labels is counted")] = (
        dataclasses.field(default_factory=dict)
    )
    sequence_lengths: Annotated[tuple[Count, ...], says("length of each sequence, in tokens")] = ()
    metadata: Annotated[dict[str, Any], says("free JSON object with further context")] = dataclasses.field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        ids = tuple(sample_ids_of(self.sample_ids, "BatchMetadata.sample_ids"))
        size = batch_size_of(self.batch_size, "BatchMetadata.batch_size")
        made = {
            "batch_size": (len(ids) or None) if size is None else size,
            "sample_ids": ids,
            "class_counts": class_counts_of(self.class_counts, "BatchMetadata.class_counts"),
            "sequence_lengths": tuple(sequence_lengths_of(self.sequence_lengths, "BatchMetadata.sequence_lengths")),
            "metadata": check_json(self.metadata, "BatchMetadata.metadata"),
        }
        for name, value in made.items():
            object.__setattr__(self, name, value)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class MetricTargetSpec(Config):
    """A value that a metric should reach: the comparison tells how many steps each run took to get there."""

    metric_key: Annotated[Text, says("the metric, by name or key")]
    target_value: Annotated[float, says("the value to reach")]
    direction: Annotated[TargetDirection, says("at_least: rising to it counts; at_most: falling to it")]


MetricTargetSpec.__module__ = "quark"


@frozen
class ComparisonEngineConfig(Config):
    """What a comparison of two runs looks for."""

    metric_targets: Annotated[tuple[MetricTargetSpec, ...], says("values whose first step is compared")] = ()
