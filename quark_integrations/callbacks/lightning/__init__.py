"""Attaches Quark to a Lightning Trainer: ``QuarkCallback`` for its callbacks, ``QuarkLogger`` for its loggers.

Both work with ``lightning`` and with ``pytorch_lightning``: the classes become those of the package that is in use.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .callback import QuarkCallback as QuarkCallback
    from .logger import QuarkLogger as QuarkLogger

__all__ = ["QuarkCallback", "QuarkLogger"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has QuarkCallback and QuarkLogger")
    from . import callback, logger
    from .framework import in_use

    return in_use(getattr(callback, name, None) or getattr(logger, name))
