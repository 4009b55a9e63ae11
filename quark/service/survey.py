"""Finds runs that go on in namespaces that nobody asks this process for, so that they are watched too."""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import QuarkError
from .namespaces import Namespaces

if TYPE_CHECKING:
    from ..storage import SqlStore

logger = logging.getLogger("quark.service")

AGAIN_S = 300.0
AT_ONCE = 10
"""Namespaces that a round looks into; each costs about a millisecond."""


class Survey:
    """Looks into the closed namespaces, some at a time: one whose runs go on is kept open, the others are closed.

    A namespace that is written to is open in the process that writes. What this finds are runs whose process fell
    silent while the service was away, or whose replica of it never came back.
    """

    def __init__(self, namespaces: Namespaces, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._namespaces = namespaces
        self._monotonic = monotonic
        self._left: list[str] = []
        self._again_at = monotonic()

    def stores(self) -> "list[SqlStore]":
        """The stores that are open, after a further look around; now and then old uploads are dropped as well."""
        self._namespaces.close_idle(_has_live_runs)
        if not self._left and self._monotonic() >= self._again_at:
            self._left = self._namespaces.closed()
            self._namespaces.drop_partials()
            self._again_at = self._monotonic() + AGAIN_S
        for _ in range(min(AT_ONCE, len(self._left))):
            name = self._left.pop()
            try:
                self._namespaces.keep_open_if(name, _has_live_runs)
            except (QuarkError, OSError) as error:
                logger.warning("the runs of the namespace %r could not be looked at (%s)", name, error)
        return self._namespaces.every()


def _has_live_runs(store: "SqlStore") -> bool:
    return bool(store.signs())
