"""Which value of a metric is the best one, by its name."""

import pytest

from quark import SchemaValidationError
from quark.core.direction import chosen_direction, direction_of

HIGH = (
    "val/acc", "Val Acc (top-1)", "train_accuracy", "top5", "metrics/mAP50(B)", "mAP50-95", "eval/f1", "macro_f1",
    "AUROC", "roc_auc", "val/mIoU", "IoU", "dice", "bleu4", "rougeL", "psnr", "ssim", "episode_reward",
    "rollout/ep_rew_mean/reward", "score", "precision", "recall@5", "r2", "neg_mean_squared_error", "log_likelihood",
    "valAccuracy", "hits10", "pass1",
)  # fmt: skip
LOW = (
    "loss", "train/loss", "Val Loss", "valLoss", "eval_loss", "nll", "cross_entropy", "rmse", "valRMSE", "MAE",
    "val/error_rate", "top1_error", "accuracy_loss", "perplexity", "eval/ppl", "wer", "CER", "fid", "kl",
    "negative_log_likelihood", "loss_G", "latency_ms", "regret",
)  # fmt: skip
NEITHER = (
    "lr", "learning_rate", "epoch", "step", "system/gpu/utilization", "quark/dropped", "grad_norm", "loss_scale",
    "temperature", "custom", "größe", "batch_size", "", "policy/entropy",
)  # fmt: skip


@pytest.mark.parametrize(
    ("key", "expected"),
    [*((key, "max") for key in HIGH), *((key, "min") for key in LOW), *((key, None) for key in NEITHER)],
)
def test_the_direction_follows_from_the_name(key: str, expected: str | None) -> None:
    """Accuracies and rewards are best when high, losses and errors when low; nothing else is guessed."""
    assert direction_of(key) == expected


def test_a_mode_that_was_given_counts() -> None:
    """The name is asked only where the caller says nothing; where neither says it, the error names the argument."""
    assert chosen_direction("val/loss", "max") == "max"
    assert chosen_direction("val/loss", None) == "min"
    with pytest.raises(SchemaValidationError, match=r"'custom' .* pass mode="):
        chosen_direction("custom", None)
    with pytest.raises(SchemaValidationError, match=r"mode 'lowest' .* max, min"):
        chosen_direction("val/loss", "lowest")
