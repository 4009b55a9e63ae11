"""Attaches Quark to PyTorch-Ignite: ``QuarkLogger(...).attach_trainer(trainer, optimizers=optimizer)``."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .handlers import OptimizerParamsHandler as OptimizerParamsHandler
    from .handlers import OutputHandler as OutputHandler
    from .logger import QuarkLogger as QuarkLogger

__all__ = ["OptimizerParamsHandler", "OutputHandler", "QuarkLogger"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    try:
        from . import handlers, logger
    except ImportError as missing:
        import quark

        raise quark.MissingDependencyError(
            f"this needs PyTorch-Ignite, which could not be imported ({missing}); "
            'install it with: pip install "quark-tracker[ignite]"'
        ) from missing
    return getattr(logger if name == "QuarkLogger" else handlers, name)
