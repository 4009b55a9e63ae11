"""Which metric is the loss: the one place that reads meaning from the names of metrics."""

import re
from functools import lru_cache
from itertools import pairwise

from ..core.direction import direction_of
from ..records.naming import without_digests
from ..records.thresholds import AnalyzerEngineConfig

LOSS, VALIDATION_LOSS, TRAIN_EVAL_LOSS = "loss", "validation_loss", "train_eval_loss"
ACCURACY, VALIDATION_ACCURACY = "accuracy", "validation_accuracy"
REWARD = "reward"
LEARNING_RATE, GRADIENT_NORM = "learning_rate", "gradient_norm"
STEP_TIME, DATA_TIME, COMPUTE_TIME = "step_time", "data_time", "compute_time"
SYNC_TIME = "sync_time"

_TRAIN = frozenset(("train", "training", "tr", "trn"))
_VALIDATION = frozenset(("val", "valid", "validation", "dev", "eval", "evaluation", "test", "holdout", "heldout"))
_LOSS = frozenset((
    "loss", "losses", "nll", "objective", "criterion", "cost", "ce", "xent", "crossentropy", "bce", "mse", "logloss",
))  # fmt: skip
_MEASURES = frozenset((
    "rmse", "mae", "mape", "smape", "rmsle", "msle", "error", "err", "perplexity", "ppl", "hinge", "huber", "bpc",
    "bpb",
))  # fmt: skip
"""What a model may be trained on, or only be measured by: the loss where no metric says so more directly."""

_ACCURACY = frozenset(("acc", "accuracy", "top1"))
_REWARD = frozenset(("reward", "rewards", "return", "returns", "success", "winrate", "rew"))
_PLAIN = frozenset(("step", "batch", "iter", "raw", "total", "cross", "entropy", "binary", "neg", "negative", "log",
                    "likelihood", "s", "set"))  # fmt: skip
_MEANS = frozenset(("epoch", "avg", "mean", "running", "smooth", "smoothed", "ema"))
_RIVALS = frozenset((
    "d", "g", "disc", "gen", "discriminator", "generator", "adv", "adversarial", "critic", "actor", "policy", "pg", "q",
    "qf", "qf1", "qf2", "td",
))  # fmt: skip
_SETTINGS = frozenset(("scale", "scaler", "weight", "weights", "coef", "coefficient", "lambda", "threshold"))
_OTHERS = frozenset((
    "lr", "rate", "momentum", "beta", "gamma", "tau", "epsilon", "eps", "temperature", "decay", "epoch",
    "epochs", "step", "steps", "iteration", "iterations", "time", "ms", "sec", "secs", "seconds", "minutes",
    "hours", "eta", "fps", "speed", "throughput", "tokens", "samples", "images", "examples", "memory", "mem",
    "ram", "gpu", "cpu", "mib", "gib", "mb", "gb", "bytes", "percent", "count", "num", "number", "size",
    "length", "len", "progress", "norm", "grad", "gradient", "entropy", "std", "var", "variance", "sparsity",
    "seed", "rank",
))  # fmt: skip
"""Words of metrics that are surely no loss, whatever their course is like."""

_FOREIGN = (
    (re.compile("verlust|förlust|perte|p[eé]rdida|perdita|kay\u0131p|потер|损失|損失|손실"), "loss"),
    (re.compile("fehler|erreur|误差|誤差|ошибк"), "error"),
    (re.compile("genauigkeit|précision globale|精度|准确率|正解率|точност"), "accuracy"),
    (re.compile("^train|^entraînement|^entrainement|^entrenamiento|训练|訓練|学習|обуч"), "train"),
    (re.compile("^validi?er|^validaci|^valida[zç]|验证|驗證|検証|валид"), "val"),
)
_JOINED = re.compile(
    "(train|training|val|valid|validation|test|dev|eval)"
    "(loss|acc|accuracy|error|err|nll|ce|bce|mse|rmse|mae|ppl|perplexity)"
)
_OURS = ("system/", "quark/")
_SYNC_KEYS = ("system/runtime/sync_time_ms",)
_WORD = re.compile(r"[^\W\d_]+[0-9]*|[0-9]+")
_ELISION = re.compile(r"\b[dl]['\u2019]")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@lru_cache(maxsize=4096)
def words_of(key: str) -> tuple[str, ...]:
    """The words of a name, in lower case, those of other languages in English where they are known."""
    made: list[str] = []
    for word in _WORD.findall(_ELISION.sub("", _CAMEL.sub("_", without_digests(key)).lower())):
        joined = _JOINED.fullmatch(word)
        known = joined.groups() if joined else tuple(english for pattern, english in _FOREIGN if pattern.search(word))
        made += known or (word,)
    return tuple(made)


@lru_cache(maxsize=4096)
def role_of(key: str) -> tuple[str, int] | None:
    """What a metric is by its name, and how directly it says so (0 best); None for a metric that no rule reads.

    Losses that work against each other (of a generator and a discriminator, of an actor and a critic), or whose target
    moves (of values that bootstrap), are the loss of nobody: their course says nothing of progress.
    """
    if key.startswith(_OURS):
        return None
    words = words_of(key)
    kinds = set(words)
    if "lr" in kinds or ("learning" in kinds and "rate" in kinds):
        return LEARNING_RATE, len(words)
    if "norm" in kinds and kinds & {"grad", "gradient", "gradients", "grads", "total"}:
        return GRADIENT_NORM, len(words)
    measured = _measured(kinds)
    if measured:
        if _opposed(words) or kinds & _SETTINGS:
            return None
        rest = kinds - _LOSS - _MEASURES - _TRAIN - _VALIDATION - _PLAIN
        rank = 3 * len(rest - _MEANS) + len(rest & _MEANS) + (0 if "loss" in kinds else 1) + 10 * (measured == "weak")
        if kinds & _VALIDATION:
            return (TRAIN_EVAL_LOSS, rank) if kinds & _TRAIN else (VALIDATION_LOSS, rank + 2 * ("test" in kinds))
        return LOSS, rank
    if kinds & _ACCURACY:
        rank = len(kinds - _ACCURACY - _TRAIN - _VALIDATION)
        return (VALIDATION_ACCURACY if kinds & _VALIDATION else ACCURACY), rank
    if kinds & _REWARD and not kinds & (_SETTINGS | _OTHERS):
        return REWARD, len(words)
    return None


def _measured(kinds: set[str]) -> str:
    """Whether the words say that it is a loss (strong), or something that may be one (weak)."""
    strong = kinds & _LOSS or {"cross", "entropy"} <= kinds or ("likelihood" in kinds and kinds & {"neg", "negative"})
    return "strong" if strong else "weak" if kinds & _MEASURES else ""


def _opposed(words: tuple[str, ...]) -> bool:
    kinds = set(words)
    entropy = "entropy" in kinds and not kinds & {"cross", "binary"}
    return bool(kinds & _RIVALS) or entropy or ("value", "loss") in pairwise(words)


def is_measured_as_loss(key: str) -> bool:
    """Whether the name holds a word for a loss, be it one of several that work against each other."""
    return bool(_measured(set(words_of(key))))


@lru_cache(maxsize=4096)
def may_be_loss(key: str) -> bool:
    """Whether a metric is a loss of some kind by its name, or has a name that says nothing against it."""
    words = set(words_of(key))
    if key.startswith(_OURS) or words & _SETTINGS:
        return False
    return bool(_measured(words) or words & {"elbo", "likelihood"}) or not (
        words & _OTHERS or direction_of(key) == "max"
    )


def counterpart(key: str) -> tuple[str, ...]:
    """What two metrics of training and of validation have in common: their other words."""
    return tuple(sorted(set(words_of(key)) - _TRAIN - _VALIDATION - _PLAIN))


def is_of_training(key: str) -> bool:
    """Whether a name says that the metric is of the training data."""
    words = set(words_of(key))
    return bool(words & _TRAIN) and not words & _VALIDATION


def is_of_validation(key: str) -> bool:
    """Whether a name says that the metric is of other data than those of the training."""
    return bool(set(words_of(key)) & _VALIDATION)


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

    def _role(self, key: str) -> tuple[str, int] | None:
        found = self._known.get(key, False)
        if found is False:
            found = self._known[key] = self._named.get(key) or role_of(key)
        return found  # type: ignore[return-value]

    def candidate(self, key: str) -> bool:
        """Whether the metric may play a part at all."""
        return self._role(key) is not None

    def may_be(self, key: str, role: str) -> bool:
        """Whether the metric is a candidate for this part."""
        found = self._role(key)
        return found is not None and found[0] == role

    def of(self, key: str) -> str | None:
        """The part of a metric, None if it has none or another metric plays it. A plainer name takes a part over."""
        found = self._known.get(key, False)
        if found is False:
            found = self._role(key)
        if found is None:
            return None
        role, rank = found  # type: ignore[misc]
        holder = self._taken.get(role)
        if holder is not None and rank >= holder[0]:
            return role if holder[1] == key else None
        if role == VALIDATION_LOSS and rank >= _WEAK and not self._pairs(key):
            return None
        self._taken[role] = (rank, key)
        if role == LOSS:
            self._part_from_validation()
        return role

    def _pairs(self, key: str) -> bool:
        """Whether the training loss is measured as this metric is; else the two cannot be compared."""
        loss = self.key(LOSS)
        return loss is not None and counterpart(loss) == counterpart(key)

    def _part_from_validation(self) -> None:
        """Another training loss: a validation metric of another measure is not its counterpart."""
        holder = self._taken.get(VALIDATION_LOSS)
        if holder is not None and holder[0] >= _WEAK and not self._pairs(holder[1]):
            del self._taken[VALIDATION_LOSS]

    def appoint(self, role: str, key: str) -> None:
        """Let a metric play a part that its name does not say."""
        self._known[key] = (role, 0)

    def key(self, role: str) -> str | None:
        """The metric that plays a part."""
        holder = self._taken.get(role)
        return holder[1] if holder else None

    def taken(self) -> dict[str, str]:
        """The parts that are played, each with its metric."""
        return {role: key for role, (_, key) in sorted(self._taken.items())}

    def without(self) -> list[str]:
        """The user's metrics that play no part though they may be losses."""
        return sorted(key for key, found in self._known.items() if found is None and may_be_loss(key))


_WEAK = 10
"""The rank from which a name does not say by itself that the metric is a loss."""
