"""A tiny language model and Trainers for the Transformers tests: a training takes a fraction of a second."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments


def model() -> LlamaForCausalLM:
    """Two layers, the same at each call."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=32, hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=2, max_position_embeddings=16,
        )
    )  # fmt: skip


def sentences(number: int = 24) -> list[dict[str, torch.Tensor]]:
    """Sentences of eight tokens, the same at each call."""
    words = torch.randint(0, 32, (number, 8), generator=torch.Generator().manual_seed(0))
    return [{"input_ids": row, "labels": row} for row in words]


def arguments(directory: Path, **options: Any) -> TrainingArguments:
    """Six steps an epoch, two epochs, quiet, on the processor."""
    given = {
        "num_train_epochs": 2, "per_device_train_batch_size": 4, "logging_steps": 2, "save_strategy": "no",
        "use_cpu": True, "disable_tqdm": True, "report_to": "none", **options,
    }  # fmt: skip
    return TrainingArguments(output_dir=str(directory / "out"), **given)


def trainer(directory: Path, *callbacks: Any, cls: type[Trainer] = Trainer, **options: Any) -> Trainer:
    """A Trainer of the tiny model."""
    return cls(
        model=model(), args=arguments(directory, **options), train_dataset=sentences(), eval_dataset=sentences(4),
        callbacks=list(callbacks),
    )  # fmt: skip


def history_points(history: list[dict[str, float]]) -> dict[str, list[tuple[int, float]]]:
    """``trainer.state.log_history`` as points (step, value) under the keys that Transformers' integrations use."""
    points: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for entry in history:
        stage = "eval" if "eval_loss" in entry else "train"
        for name, value in entry.items():
            if name != "step":
                points[f"{stage}/{name.removeprefix('eval_')}"].append((int(entry["step"]), float(value)))
    return dict(points)


def quark_points(view: Any) -> dict[str, list[tuple[int, float]]]:
    """What Quark holds of what the Trainer logged."""
    found = {}
    for key in map(str, view.keys()):
        if key.startswith(("train/", "eval/", "test/")):
            series = view.series(key)
            found[key] = list(zip(series.steps.tolist(), series.values.tolist(), strict=True))
    return found
