"""Attaches Quark to Keras 3 on the torch backend: ``model.fit(..., callbacks=[QuarkCallback()])``."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .callback import QuarkCallback as QuarkCallback

__all__ = ["QuarkCallback"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has QuarkCallback")
    from .callback import QuarkCallback

    return QuarkCallback
