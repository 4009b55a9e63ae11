"""Configurations: documented values, checked where they are written."""

import math
import pickle

import numpy as np
import pytest

import quark
from quark import (
    AnalyzerThresholds,
    BatchMetadata,
    ComparisonEngineConfig,
    DataDiagnosticsConfig,
    HookEngineConfig,
    HookScheduleConfig,
    LayerFilterConfig,
    MetricTargetSpec,
    PhaseAnalyzerConfig,
    SchemaValidationError,
    WrongTypeError,
)

NAMES = sorted(
    name
    for name, home in quark._HOMES.items()
    if home in ("records.configs", "records.thresholds") and name[0].isupper()
)


class Adapter:
    """The smallest adapter."""

    def extract_batch_metadata(self, batch: object) -> BatchMetadata:
        return BatchMetadata()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "MetricTargetSpec"])
def test_a_configuration_is_a_value(name: str) -> None:
    """Equal settings are equal, hashable, frozen, and survive a pickle, as a DataLoader worker needs."""
    cls = getattr(quark, name)
    one, two = cls(), cls()
    assert one == two
    assert hash(one) == hash(two)
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(AttributeError):
        setattr(one, next(iter(one.to_dict())), 1)


def test_a_target_can_be_written_positionally() -> None:
    """``MetricTargetSpec("val/loss", 0.5, "at_most")`` means what it says."""
    spec = MetricTargetSpec("val/loss", 0.5, "at_most")
    assert spec.to_dict() == {"metric_key": "val/loss", "target_value": 0.5, "direction": "at_most"}
    assert ComparisonEngineConfig(metric_targets=[spec]).to_dict() == {"metric_targets": [spec.to_dict()]}


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: HookScheduleConfig(every_n_steps=0), ("HookScheduleConfig.every_n_steps", "0")),
        (lambda: HookScheduleConfig(start_step=5, stop_step=4), ("HookScheduleConfig.stop_step", "4")),
        (lambda: HookScheduleConfig(explicit_steps=(1, -1)), ("HookScheduleConfig.explicit_steps", "-1")),
        (lambda: LayerFilterConfig(include_name_patterns=("(",)), ("LayerFilterConfig.include_name_patterns", "'('")),
        (lambda: HookEngineConfig(saturation_threshold=1.5), ("HookEngineConfig.saturation_threshold", "1.5")),
        (lambda: HookEngineConfig(batch_size=0), ("HookEngineConfig.batch_size", "0")),
        (lambda: HookEngineConfig(schedule={"every_n_step": 1}), ("HookScheduleConfig", "'every_n_step'")),
        (
            lambda: DataDiagnosticsConfig(hard_batch_percentile=90),
            ("DataDiagnosticsConfig.hard_batch_percentile", "90"),
        ),
        (
            lambda: AnalyzerThresholds(overfitting_warning_gap=math.nan),
            ("AnalyzerThresholds.overfitting_warning_gap", "nan"),
        ),
        (lambda: PhaseAnalyzerConfig(val_loss_metric_keys=()), ("PhaseAnalyzerConfig.val_loss_metric_keys", "()")),
        (lambda: MetricTargetSpec("val/loss", 0.5, "below"), ("MetricTargetSpec.direction", "'below'")),
        (lambda: MetricTargetSpec("", 0.5, "at_most"), ("MetricTargetSpec.metric_key", "''")),
        (lambda: BatchMetadata(batch_size=0), ("BatchMetadata.batch_size", "0")),
        (lambda: BatchMetadata(class_counts=[0.5]), ("BatchMetadata.class_counts", "0.5")),
        (lambda: BatchMetadata(class_counts=[[1, 2], [3, 4]]), ("BatchMetadata.class_counts", "[1, 2]")),
    ],
)
def test_a_wrong_value_is_refused_where_it_is_written(make, names) -> None:
    """The error names the field and the value that it got."""
    with pytest.raises(SchemaValidationError) as caught:
        make()
    assert [word for word in names if word not in str(caught.value)] == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: HookScheduleConfig(every_n_steps="10"),
        lambda: HookScheduleConfig(every_n_steps=True),
        lambda: LayerFilterConfig(include_names="encoder"),
        lambda: HookEngineConfig(schedule=LayerFilterConfig()),
        lambda: DataDiagnosticsConfig(adapter=lambda batch: batch),
        lambda: BatchMetadata(sample_ids="abc"),
        lambda: BatchMetadata(metadata=[1]),
    ],
)
def test_a_wrong_type_is_a_type_error(make) -> None:
    """Text for a number, one name for a list of names and a foreign object are types that the field does not take."""
    with pytest.raises(WrongTypeError, match=r"got|cannot be"):
        make()


def test_lists_mappings_and_numpy_scalars_are_taken() -> None:
    """What a configuration file or NumPy gives is converted, and then frozen."""
    config = HookEngineConfig(schedule={"every_n_steps": 5}, filters={"include_types": ["Linear"]})
    assert config.schedule == HookScheduleConfig(every_n_steps=5)
    assert config.filters.include_types == ("Linear",)
    assert HookScheduleConfig(start_step=np.int64(3)).start_step == 3


def test_the_adapter_is_named_in_the_dictionary() -> None:
    """A configuration with an adapter can still be written down."""
    adapter = Adapter()
    config = DataDiagnosticsConfig(adapter=adapter)
    assert config.adapter is adapter
    assert config.to_dict()["adapter"] == "Adapter"


def test_batch_metadata_counts_labels() -> None:
    """An adapter may hand over the labels themselves, as a list or an array, and the ids of any type."""
    made = BatchMetadata(sample_ids=np.array([7, 8, 9]), class_counts=np.array([1, 0, 1]), sequence_lengths=(3, 4, 5))
    assert made.to_dict() == {
        "batch_size": 3,
        "sample_ids": ["7", "8", "9"],
        "class_counts": {"1": 2, "0": 1},
        "sequence_lengths": [3, 4, 5],
        "metadata": {},
    }
    assert BatchMetadata(class_counts={"cat": 2, 1: 3}).class_counts == {"cat": 2, "1": 3}
    assert BatchMetadata(sample_ids=[b"x"], class_counts=["cat", 1.0]).class_counts == {"cat": 1, "1": 1}
