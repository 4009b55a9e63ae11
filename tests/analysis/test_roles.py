"""Which metric is the loss: names as people and frameworks write them."""

import math
from collections.abc import Iterable
from pathlib import Path

import pytest

import quark
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
from quark.testing import MemoryRunHandle

from .runs import analyzed, falling, made


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
        ("throughput", None), ("gloss", None), ("train/perplexity", LOSS),
    ],
)  # fmt: skip
def test_the_part_that_a_name_plays(key: str, role: str | None) -> None:
    """Words decide, in any order and with any separator."""
    found = role_of(key)
    assert (found[0] if found else None) == role


@pytest.mark.parametrize(
    ("key", "role"),
    [
        ("Train Loss", LOSS), ("Training Loss (smoothed)", LOSS), ("loss_step", LOSS), ("loss_epoch", LOSS),
        ("Cross Entropy", LOSS), ("train/cross_entropy", LOSS), ("Train CE", LOSS), ("binary cross-entropy", LOSS),
        ("BCE", LOSS), ("nll", LOSS), ("Negative Log-Likelihood", LOSS), ("MSE", LOSS), ("train/RMSE", LOSS),
        ("MAE", LOSS), ("Perplexity", LOSS), ("ppl", LOSS), ("criterion", LOSS), ("objective", LOSS), ("error", LOSS),
        ("trainloss", LOSS), ("valloss", VALIDATION_LOSS), ("Val Loss", VALIDATION_LOSS),
        ("Validation loss (%)", VALIDATION_LOSS), ("Verlust", LOSS), ("Trainingsverlust", LOSS),
        ("Validierungsverlust", VALIDATION_LOSS), ("perte d'entraînement", LOSS), ("pérdida", LOSS), ("损失", LOSS),
        ("验证损失", VALIDATION_LOSS), ("потери", LOSS), ("Val Acc (top-1)", VALIDATION_ACCURACY),
        ("Genauigkeit", ACCURACY), ("losses/value_loss", None), ("td_loss", None), ("q loss", None),
        ("entropy_loss", None), ("loss_scale", None), ("loss weight", None), ("reward", "reward"), ("größe", None),
        ("log_likelihood", None), ("GPU 0 (°C)", None), ("tokens/s", None),
    ],
)  # fmt: skip
def test_names_as_people_write_them(key: str, role: str | None) -> None:
    """Spoken, capitalised, in brackets, joined, by other words for a loss and in other languages."""
    found = role_of(key)
    assert (found[0] if found else None) == role


def test_only_validation_of_the_same_measure_is_held_against_the_loss() -> None:
    """An error in other units is no counterpart of the training loss."""
    roles = Roles(AnalyzerEngineConfig())
    assert [roles.of(key) for key in ("train/loss", "val/mae", "val/loss")] == [LOSS, None, VALIDATION_LOSS]
    roles = Roles(AnalyzerEngineConfig())
    assert [roles.of(key) for key in ("val/rmse", "train/rmse", "val/rmse", "val/mae")] == [
        None, LOSS, VALIDATION_LOSS, None
    ]  # fmt: skip
    assert [roles.of(key) for key in ("train/loss", "val/rmse")] == [LOSS, None]


def series(run: MemoryRunHandle, **columns: Iterable[float]) -> None:
    """Metrics side by side, a value of each a step."""
    for step, values in enumerate(zip(*columns.values(), strict=True)):
        run.log_values(dict(zip(columns, values, strict=True)), step=step)


def test_a_metric_that_behaves_like_a_loss_is_the_loss() -> None:
    """Without a name that says so: the metric of training, else the one that is noisy, positive and falls."""
    count = range(200)
    flat = [2.0 + 0.1 * (step % 7) for step in count]
    counter, schedule = [float(step) for step in count], [1.0 - step / 400 for step in count]
    named = made(lambda run: series(run, **{"train/wibble": flat, "wobble": falling(200), "seen": counter}))
    assert analyzed(named).roles == {"loss": "train/wibble"}
    alone = made(lambda run: series(run, wibble=falling(200), wobble=flat, seen=counter, ratio=schedule))
    assert analyzed(alone).roles == {"loss": "wibble"}
    pair = made(lambda run: series(run, **{"train/wibble": falling(200), "val/wibble": falling(200, seed=1)}))
    assert analyzed(pair).roles == {"loss": "train/wibble", "validation_loss": "val/wibble"}
    two = made(lambda run: series(run, wibble=falling(200), wobble=falling(200, seed=1)))
    assert analyzed(two).roles == {}
    opposed = made(lambda run: series(run, g_loss=flat, d_loss=falling(200)))
    assert analyzed(opposed).verdict.status == "unknown"


@pytest.mark.parametrize(
    "key", ["train/loss", "Train Loss", "cross entropy", "train/bce", "RMSE", "train/elbo", "perplexity", "Verlust",
            "train/wibble"],
)  # fmt: skip
def test_a_loss_that_explodes_is_never_praised(key: str, tmp_path: Path) -> None:
    """One course under any name: it is critical wherever a name or its behaviour says that it is the loss."""
    with quark.start_run(project="names", storage_dir=tmp_path) as run:
        for step in range(260):
            value = 2.3 if step < 100 else 2.3 * 1.1 ** (step - 99) if step < 200 else math.nan
            run.log({key: value}, step=step)
        result = quark.AnalyzerEngine(run).analyze()
    assert result.verdict.status == "critical"
    assert result.verdict.severity in ("error", "critical")


@pytest.mark.parametrize("key", ["g_loss", "td_error", "wibble", "likelihood"])
def test_nan_where_no_loss_is_known_is_more_than_information(key: str, tmp_path: Path) -> None:
    """Whatever could be a loss has no gap that does not matter."""
    with quark.start_run(project="names", storage_dir=tmp_path) as run:
        for step in range(60):
            run.log({key: 1.0 + 0.1 * (step % 5) if step < 50 else math.nan, "val/f1": math.nan}, step=step)
        result = quark.AnalyzerEngine(run).analyze()
    severities = {alert.subject: alert.severity for alert in result.alerts if alert.rule_id == "nonfinite_values"}
    assert severities[key] == "error"
    assert severities["val/f1"] == "info"
    assert result.verdict.status in ("degraded", "critical")


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


@pytest.mark.parametrize("key", ["loss_step", "cross_entropy", "train/rmse", "perplexity", "Verlust", "wibble"])
def test_a_healthy_run_is_healthy_however_its_loss_is_called(key: str) -> None:
    """No false alarm comes of the names that are known, nor of a metric that is taken for the loss."""
    for seed in range(5):
        result = analyzed(made(lambda run, seed=seed: series(run, **{key: falling(200, seed=seed)})))
        assert (result.verdict.status, result.verdict.severity) == ("healthy", None), result.verdict
