"""Whether a high or a low value of a metric is good, guessed from its name."""

import re
from functools import lru_cache

from ..errors import SchemaValidationError
from ..records.grammar import one_of
from ..records.literals import BestMode

_UP = frozenset((
    "acc", "accuracy", "f1", "fbeta", "auc", "auroc", "roc", "auprc", "ap", "map", "ndcg", "mrr", "precision", "recall",
    "sensitivity", "specificity", "iou", "miou", "jaccard", "dice", "kappa", "mcc", "r2", "correlation", "pearson",
    "spearman", "bleu", "rouge", "rougel", "meteor", "cider", "chrf", "psnr", "ssim", "reward", "rewards", "return",
    "returns", "score", "elbo", "likelihood", "hits", "hit", "pass", "exact", "em", "win", "success", "throughput",
    "mfu",
))  # fmt: skip
_DOWN = frozenset((
    "loss", "losses", "nll", "cost", "ce", "xent", "crossentropy", "mse", "rmse", "mae", "mape", "smape", "rmsle",
    "error", "errors", "err", "eer", "perplexity", "ppl", "bpc", "bpb", "wer", "cer", "ter", "fid", "kid", "lpips",
    "kl", "divergence", "distance", "brier", "ece", "regret", "hinge", "latency", "duration",
))  # fmt: skip
_SETTINGS = frozenset(("lr", "scale", "scaler", "weight", "weights", "coef", "coefficient", "threshold", "count"))
_UP_NUMBERED = re.compile(r"(top|map|ap|f|iou|recall|precision|hits|pass|ndcg|bleu|rouge)[0-9]+\Z")
_WORD = re.compile(r"[a-z]+[0-9]*|[0-9]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@lru_cache(maxsize=4096)
def direction_of(key: str) -> BestMode | None:
    """``max`` where a high value is good, ``min`` where a low one is; None where the name does not say.

    Words for what should be small win: ``accuracy_loss`` is a loss, ``top1_error`` an error. ``neg`` reverses the
    direction, as in ``neg_mean_squared_error``. Learning rates, loss scales and the machine's own metrics (``system/``)
    have no best value.
    """
    if key.startswith(("system/", "quark/")):
        return None
    words = {word for text in (key, _CAMEL.sub("_", key)) for word in _WORD.findall(text.lower())}
    if words & _SETTINGS:
        return None
    if words & _DOWN or {"cross", "entropy"} <= words:
        down = True
    elif words & _UP or any(_UP_NUMBERED.match(word) for word in words):
        down = False
    else:
        return None
    negated = "neg" in words or {"negative", "likelihood"} <= words
    return "min" if down is not negated else "max"


def chosen_direction(key: str, mode: str | None) -> BestMode:
    """The ``mode`` that was given, else what the name of the metric says.

    Raises:
        SchemaValidationError, WrongTypeError: neither says which value is the best one.
    """
    if mode is not None:
        return one_of(mode, ("max", "min"), "mode")  # type: ignore[return-value]
    guessed = direction_of(key)
    if guessed is None:
        raise SchemaValidationError(
            f'whether a high or a low {key!r} is best does not follow from its name; pass mode="max" or mode="min"'
        )
    return guessed
