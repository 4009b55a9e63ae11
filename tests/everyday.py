"""Names and values of metrics as people log them: in tutorials, examples and issues of trackers and frameworks."""

import datetime
import enum
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

NAMES = (
    "loss", "train/loss", "val/acc", "lr", "epoch", "Train Loss", "Train_Loss", "train loss", "Val Loss",
    "Val Acc (top-1)", "Val Acc (top-5)", "Validation Accuracy", "Test Accuracy (%)", "acc@1", "acc@5", "Recall@10",
    "mAP@0.5", "mAP@[.5:.95]", "metrics/mAP50(B)", "metrics/precision(B)", "train/box_loss", "loss/total",
    "Loss/train", "Loss/val", "charts/episodic_return", "losses/value_loss", "rollout/ep_rew_mean", "time/fps",
    "Perplexity", "BLEU-4", "ROUGE-L F1", "F1 (macro)", "F-score β=2", "größe", "损失", "精度/训练", "потери",
    "perte d'entraînement", "σ²", "∇ norm", "Δloss", "🚀 tokens/s", "GPU 0 (°C)", "lr-Adam/pg1", "lr-Adam/pg2",
    "grad norm (L2)", "weights[0]", "layer.0.weight", "layer #1", "a:b", "a,b", "a=b", "a+b", "q=0.95", "100%",
    "_private", "/leading", "trailing/", "double//slash", " padded ", "C:\\loss", "x" * 300, "y " * 400,
)  # fmt: skip
"""Sixty-three of them; those that the grammar of keys allows are among them."""


class Level(enum.IntEnum):
    """A number with a name."""

    HIGH = 2


REFUSED, TEXT = "refused", "text"


def values() -> dict[str, tuple[object, object]]:
    """Sixty values by what they are: what is logged, and the number that it is, or TEXT or REFUSED."""
    nan, inf = float("nan"), float("inf")
    array, f32 = np.array, np.float32
    numbers = {
        "float": 0.25, "int": 3, "zero": 0, "negative": -2.5, "negative zero": -0.0, "true": True, "false": False,
        "tiny": 5e-324, "huge": 1.7e308, "big int": 2**70, "million": 1_000_000, "third": 1 / 3,
        "rounded": round(0.123456, 3),
        "decimal": Decimal("1.5"), "fraction": Fraction(1, 4), "percent": 97.5, "seconds": 1e-9, "count": len("abc"),
        "np float64": np.float64(0.5), "np float32": f32(0.25), "np float16": np.float16(0.5), "np int64": np.int64(7),
        "np int8": np.int8(-7), "np uint8": np.uint8(200), "np bool": np.bool_(True),
        "np mean": array([1.0, 2.0]).mean(), "np sum": array([1, 2]).sum(), "np item": array([4.5]).item(),
        "np max": array([1.5, 2.5], dtype="float32").max(),
        "0-d array": array(2.0), "one element": array([2.0]), "one by one": array([[3.0]]), "enum": Level.HIGH,
        "python sum": sum([0.5, 0.25]), "nan": nan, "inf": inf, "-inf": -inf, "np nan": f32("nan"), "np inf": np.inf,
        "0-d nan": array(nan), "too large": Decimal("1e999"), "ratio": np.float64(1) / 3, "length": float(len(NAMES)),
    }  # fmt: skip
    texts = ["0.5", "12", "1e-3", "97.5%", "nan", "", "best", "größe 🚀", "a\nb", "model.pt", np.str_("text")]
    day = datetime.date(2026, 1, 1)
    others = [None, [1.0], (1.0, 2.0), array([1.0, 2.0]), b"1", 1j, object(), {1, 2}, float, len, day]
    return {
        **{name: (value, float(np.asarray(value, dtype=float).item())) for name, value in numbers.items()},
        **{f"text {place}": (value, TEXT) for place, value in enumerate(texts)},
        **{f"other {place}": (value, REFUSED) for place, value in enumerate(others)},
    }  # fmt: skip


def expected_points(step: int) -> dict[str, list[float]]:
    """The finite values of ``log_everything`` by name."""
    numbers = {name: number for name, (_, number) in values().items() if isinstance(number, float)}
    finite = {name: [number] for name, number in numbers.items() if np.isfinite(number)}
    return {**{name: [float(step)] for name in NAMES}, **finite}


def expected_nonfinite() -> dict[str, float]:
    """The values of ``log_everything`` that are NaN or infinite."""
    numbers = {name: number for name, (_, number) in values().items() if isinstance(number, float)}
    return {name: number for name, number in numbers.items() if not np.isfinite(number)}


def log_everything(run: Any, step: int = 7) -> None:
    """All names with a number, and all values under a name that says what they are."""
    run.log(dict.fromkeys(NAMES, float(step)), step=step)
    run.log({name: value for name, (value, _) in values().items()}, step=step)
