"""Whether a network is still made of the modules and parameters that it was made of when it was looked at last."""

from operator import is_
from typing import Any


class Structure:
    """The modules and parameters of a network at one time, to be compared at the next probe.

    The comparison costs a fraction of a microsecond for each module and names nothing; only a network that has changed
    is read anew.

    Args:
        model: the network, wrapped or not.
    """

    def __init__(self, model: Any) -> None:
        self._modules = [
            (module, type(module), dict(module._modules), [*module._parameters.values()])
            for module in model.modules()
            if _is_ordinary(module)
        ]

    def same(self) -> bool:
        """Whether every module still holds the same modules, by the same names, and the same parameters."""
        for module, kind, children, parameters in self._modules:
            held = module._parameters
            if (
                type(module) is not kind
                or module._modules != children
                or len(held) != len(parameters)
                or not all(map(is_, held.values(), parameters))
            ):
                return False
        return True


def _is_ordinary(module: Any) -> bool:
    """Whether a module keeps its parts in dictionaries; a scripted one makes new objects whenever it is asked."""
    return isinstance(module._modules, dict) and isinstance(module._parameters, dict)
