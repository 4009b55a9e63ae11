"""Which metric is the loss: names as people and frameworks write them."""

import pytest

from quark.analysis.roles import (
    ACCURACY,
    GRADIENT_NORM,
    LEARNING_RATE,
    LOSS,
    TRAIN_EVAL_LOSS,
    VALIDATION_ACCURACY,
    VALIDATION_LOSS,
    Roles,
    role_of,
)
from quark.records.thresholds import AnalyzerEngineConfig


@pytest.mark.parametrize(
    ("key", "role"),
    [
        ("loss", LOSS), ("train/loss", LOSS), ("train_loss", LOSS), ("training/loss", LOSS), ("loss/train", LOSS),
        ("train/loss_step", LOSS), ("trainLoss", LOSS), ("train.nll", LOSS), ("val/loss", VALIDATION_LOSS),
        ("val_loss", VALIDATION_LOSS), ("eval_loss", VALIDATION_LOSS), ("validation/loss", VALIDATION_LOSS),
        ("valid/loss_epoch", VALIDATION_LOSS), ("loss/val", VALIDATION_LOSS), ("test_loss", VALIDATION_LOSS),
        ("train_eval/loss", TRAIN_EVAL_LOSS), ("eval/train_loss", TRAIN_EVAL_LOSS), ("train/acc", ACCURACY),
        ("accuracy", ACCURACY), ("val_accuracy", VALIDATION_ACCURACY), ("val/top1", VALIDATION_ACCURACY),
        ("lr", LEARNING_RATE), ("train/learning_rate", LEARNING_RATE), ("lr-AdamW/pg1", LEARNING_RATE),
        ("grad_norm", GRADIENT_NORM), ("train/gradient_norm", GRADIENT_NORM), ("d_loss", None),
        ("loss/generator", None),
        ("policy_loss", None), ("system/loss", None), ("quark/params/w/gradient_norm", None), ("epoch", None),
        ("throughput", None), ("gloss", None), ("train/perplexity", None),
    ],
)  # fmt: skip
def test_the_part_that_a_name_plays(key: str, role: str | None) -> None:
    """Words decide, in any order and with any separator."""
    found = role_of(key)
    assert (found[0] if found else None) == role


def test_the_plainest_name_is_the_loss() -> None:
    """A component of the loss plays the part only until the loss itself is seen."""
    roles = Roles(AnalyzerEngineConfig())
    assert roles.of("train/kl_loss") == LOSS
    assert roles.of("train/loss_epoch") == LOSS
    assert roles.of("train/loss") == LOSS
    assert [roles.of(key) for key in ("train/kl_loss", "train/loss_epoch", "train/loss")] == [None, None, LOSS]
    assert roles.key(LOSS) == "train/loss"


def test_a_name_that_the_user_gave_comes_before_all() -> None:
    """The configured metric is the loss, whatever it is called."""
    roles = Roles(AnalyzerEngineConfig(train_loss_metric_keys=("objective/train_ce",)))
    assert roles.of("train/loss") == LOSS
    assert roles.of("objective/train_ce") == LOSS
    assert roles.of("train/loss") is None
