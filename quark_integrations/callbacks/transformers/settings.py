"""What a Trainer is set up with, as a flat configuration: its arguments, the model's, those of a search's trial."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..settings import plain

MOST_LABELS = 20
"""Names of classes are kept up to this many; a longer list is a data set, not a setting."""


def configuration(args: Any, state: Any, model: Any) -> dict[str, Any]:
    """The TrainingArguments by their names, the model's configuration below ``model/``, a trial's below ``trial/``."""
    return {
        **flat(_arguments(args)),
        **flat({"model": _of_model(model), "peft": _of_adapters(model), "trial": plain(state.trial_params or {})}),
    }


def flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings as ``outer/inner``."""
    return dict(_pairs(settings, ""))


def _pairs(settings: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _pairs(value, f"{above}{key}/")
        else:
            yield f"{above}{key}", value


def _arguments(args: Any) -> dict[str, Any]:
    """What a user can give; the rest is worked out from it and differs from machine to machine."""
    given = {name for name, field in type(args).__dataclass_fields__.items() if field.init}
    return {name: value for name, value in plain(args).items() if name in given}


def _of_model(model: Any) -> dict[str, Any]:
    config: Any = getattr(model, "config", None)
    found = plain(config.to_dict() if hasattr(config, "to_dict") else config or {})
    for name in ("id2label", "label2id"):
        if len(found.get(name) or ()) > MOST_LABELS:
            del found[name]
    return found


def _of_adapters(model: Any) -> dict[str, Any]:
    adapters = getattr(model, "peft_config", None)
    return plain(adapters) if isinstance(adapters, Mapping) else {}


def training_setup(trainer: Any, args: Any, state: Any, model: Any) -> dict[str, Any]:
    """How a training is set up, for the event that opens it."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()] if model else []
    return plain({
        "framework": "transformers", "trainer": type(trainer).__name__, "model": type(model).__name__,
        "max_steps": state.max_steps, "num_train_epochs": state.num_train_epochs, "world_size": args.world_size,
        "train_batch_size": state.train_batch_size, "max_grad_norm": args.max_grad_norm,
        "parameters": sum(size for size, _ in sizes),
        "trainable_parameters": sum(size for size, trained in sizes if trained),
    })  # fmt: skip
