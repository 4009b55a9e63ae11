"""What the callback knows of a step of a Trainer besides its times: learning rates, samples and tokens, the epoch."""

from collections.abc import Iterable, Mapping
from typing import Any


def amounts_in(batches: Iterable[Any], main_input: str) -> tuple[int, int]:
    """Samples and tokens of the batches of a step, on this process; a model that reads no ids has no tokens."""
    samples = tokens = 0
    for batch in batches:
        tensors = batch if isinstance(batch, Mapping) else {}
        inputs: Any = tensors.get(main_input, next(iter(tensors.values()), None))
        if getattr(inputs, "shape", None):
            samples += inputs.shape[0]
            tokens += inputs.numel() if main_input == "input_ids" and main_input in tensors else 0
    return samples, tokens


def learning_rates(optimizer: Any) -> dict[str, Any]:
    """The learning rates that the coming step uses: ``optimizer/lr``, or one key for each group that has its own."""
    rates = [group["lr"] for group in optimizer.param_groups if "lr" in group]
    if not rates or rates.count(rates[0]) == len(rates):  # Transformers makes two groups, with and without decay
        return {"optimizer/lr": rates[0]} if rates else {}
    return {f"optimizer/lr/pg{number}": rate for number, rate in enumerate(rates, start=1)}


def epoch_of(state: Any) -> int:
    """The epoch, from 0, that the last step of a training belongs to; Transformers counts parts of epochs done."""
    return max(-int(-(state.epoch or 0.0) // 1) - 1, 0)
