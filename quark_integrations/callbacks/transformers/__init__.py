"""Attaches Quark to a Transformers Trainer: ``Trainer(callbacks=[QuarkCallback()])``, or ``report_to="quark"``.

Importing ``QuarkCallback`` makes ``report_to="quark"`` known to Transformers, which has no plug-ins of its own; so does
``register``.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .callback import QuarkCallback as QuarkCallback
    from .framework import register as register

__all__ = ["QuarkCallback", "register"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has QuarkCallback and register")
    from . import framework

    return framework.register if name == "register" else framework.register()
