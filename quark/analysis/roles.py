"""Which metric is the loss: the one place that reads meaning from the names of metrics."""

import re
from functools import lru_cache

from ..records.naming import without_digests
from ..records.thresholds import AnalyzerEngineConfig

LOSS, VALIDATION_LOSS, TRAIN_EVAL_LOSS = "loss", "validation_loss", "train_eval_loss"
ACCURACY, VALIDATION_ACCURACY = "accuracy", "validation_accuracy"
LEARNING_RATE, GRADIENT_NORM = "learning_rate", "gradient_norm"
STEP_TIME, DATA_TIME, COMPUTE_TIME = "step_time", "data_time", "compute_time"
SYNC_TIME = "sync_time"

_TRAIN = frozenset(("train", "training", "tr", "trn"))
_VALIDATION = frozenset(("val", "valid", "validation", "dev", "eval", "evaluation", "test", "holdout", "heldout"))
_LOSS = frozenset(("loss", "nll", "objective", "cost", "ce", "xent", "mse"))
_ACCURACY = frozenset(("acc", "accuracy", "top1"))
_PLAIN = frozenset(("step", "batch", "iter", "raw", "total"))
_MEANS = frozenset(("epoch", "avg", "mean", "running", "smooth", "smoothed", "ema"))
_RIVALS = frozenset(
    ("d", "g", "disc", "gen", "discriminator", "generator", "adv", "adversarial", "critic", "actor", "policy")
)
_OURS = ("system/", "quark/")
_SYNC_KEYS = ("system/runtime/sync_time_ms",)
_WORD = re.compile(r"[a-z]+[0-9]*|[0-9]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@lru_cache(maxsize=4096)
def role_of(key: str) -> tuple[str, int] | None:
    """What a metric is by its name, and how directly it says so (0 best); None for a metric that no rule reads.

    Two losses that work against each other (of a generator and a discriminator, of an actor and a critic) are the
    loss of nobody: their course says nothing of progress.
    """
    if key.startswith(_OURS):
        return None
    words = _WORD.findall(_CAMEL.sub("_", without_digests(key)).lower())
    kinds = set(words)
    if "lr" in kinds or ("learning" in kinds and "rate" in kinds):
        return LEARNING_RATE, len(words)
    if "norm" in kinds and kinds & {"grad", "gradient", "gradients", "grads", "total"}:
        return GRADIENT_NORM, len(words)
    measured = kinds & _LOSS
    if measured:
        if kinds & _RIVALS:
            return None
        rest = kinds - _LOSS - _TRAIN - _VALIDATION - _PLAIN
        rank = 3 * len(rest - _MEANS) + len(rest & _MEANS) + (0 if "loss" in kinds else 1)
        if kinds & _VALIDATION:
            return (TRAIN_EVAL_LOSS, rank) if kinds & _TRAIN else (VALIDATION_LOSS, rank + 2 * ("test" in kinds))
        return LOSS, rank
    if kinds & _ACCURACY:
        rank = len(kinds - _ACCURACY - _TRAIN - _VALIDATION)
        return (VALIDATION_ACCURACY if kinds & _VALIDATION else ACCURACY), rank
    return None


class Roles:
    """Which of a run's metrics plays which part. Of several candidates the one with the plainest name is taken.

    Args:
        config: metrics that the user named for a part are taken before all others, in his order.
    """

    def __init__(self, config: AnalyzerEngineConfig) -> None:
        self._named: dict[str, tuple[str, int]] = {}
        for role, keys in (
            (LOSS, config.train_loss_metric_keys), (VALIDATION_LOSS, config.validation_loss_metric_keys),
            (STEP_TIME, config.step_time_metric_keys), (DATA_TIME, config.data_time_metric_keys),
            (COMPUTE_TIME, config.compute_time_metric_keys), (SYNC_TIME, _SYNC_KEYS),
        ):  # fmt: skip
            for place, key in enumerate(keys):
                self._named[key] = (role, place - len(keys))
        self._taken: dict[str, tuple[int, str]] = {}
        self._known: dict[str, tuple[str, int] | None] = {}

    def candidate(self, key: str) -> bool:
        """Whether the metric may play a part at all."""
        return (self._named.get(key) or role_of(key)) is not None

    def of(self, key: str) -> str | None:
        """The part of a metric, None if it has none or another metric plays it. A plainer name takes a part over."""
        found = self._known.get(key, False)
        if found is False:
            found = self._known[key] = self._named.get(key) or role_of(key)
        if found is None:
            return None
        role, rank = found  # type: ignore[misc]
        holder = self._taken.get(role)
        if holder is None or rank < holder[0]:
            self._taken[role] = (rank, key)
            return role
        return role if holder[1] == key else None

    def key(self, role: str) -> str | None:
        """The metric that plays a part."""
        holder = self._taken.get(role)
        return holder[1] if holder else None
