"""Functions of other modules that are wrapped while a run is open, and given back afterwards."""

import functools
from collections.abc import Callable
from typing import Any


class Patch:
    """Calls ``before`` with the arguments of each call of ``owner.name``, then the original.

    Somebody else may wrap the function after us and keep ours inside theirs. It cannot be taken out of there, so it
    stays, does nothing, and is used again.
    """

    def __init__(self, owner: Any, name: str, before: Callable[..., None]) -> None:
        self._owner = owner
        self._name = name
        self._before = before
        self._active = False
        self._original: Any = None
        self._wrapper: Any = None

    def apply(self) -> None:
        """Wrap the function."""
        self._active = True
        if self._wrapper is None:
            self._original = getattr(self._owner, self._name)
            self._wrapper = self._wrapped(self._original)
            setattr(self._owner, self._name, self._wrapper)

    def remove(self) -> None:
        """Give the function back."""
        self._active = False
        if self._wrapper is not None and getattr(self._owner, self._name) is self._wrapper:
            setattr(self._owner, self._name, self._original)
            self._wrapper = self._original = None

    def _wrapped(self, original: Any) -> Any:
        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if self._active:
                self._before(*args, **kwargs)
            return original(*args, **kwargs)

        return wrapper
