"""Hyperparameters of a Lightning module, and how its Trainer is set up."""

from typing import Any

from ..settings import plain


def hyperparameters(trainer: Any, module: Any) -> dict[str, Any]:
    """What the module and the data module saved with ``save_hyperparameters``; nothing where they turned it off."""
    if not getattr(trainer, "enable_autolog_hparams", True):
        return {}
    found: dict[str, Any] = {}
    for owner in (module, getattr(trainer, "datamodule", None)):
        if owner is not None and getattr(owner, "_log_hyperparams", True):
            found.update(plain(getattr(owner, "hparams_initial", None) or {}))
    return found


def training_setup(trainer: Any, module: Any) -> dict[str, Any]:
    """How the Trainer is set up to train, for the event that opens a fit."""
    described = {
        name: getattr(trainer, name, None)
        for name in ("max_epochs", "max_steps", "accumulate_grad_batches", "gradient_clip_val",
                     "gradient_clip_algorithm", "precision", "num_nodes", "num_devices", "world_size", "fast_dev_run",
                     "log_every_n_steps")
    }  # fmt: skip
    parameters = [parameter for parameter in module.parameters() if not _is_uninitialized(parameter)]
    return plain({
        **described,
        "framework": type(trainer).__module__.partition(".")[0],
        "strategy": type(trainer.strategy).__name__,
        "module": type(module).__name__,
        "parameters": sum(parameter.numel() for parameter in parameters),
        "trainable_parameters": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
    })  # fmt: skip


def _is_uninitialized(parameter: Any) -> bool:
    return type(parameter).__name__ == "UninitializedParameter"
