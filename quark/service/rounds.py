"""A thread that visits the stores of a service again and again, beside the requests."""

import logging
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..errors import QuarkError

if TYPE_CHECKING:
    from ..storage import SqlStore

logger = logging.getLogger("quark.service")

PAUSE_S = 1.0


class Rounds:
    """Visits every store once a second; one that is in trouble keeps nobody from the others.

    Args:
        name: the name of the thread.
        stores: gives the stores of a round.
        visit: what is done at each.
        trouble: what is logged when that fails, with ``%s`` for the store and ``%s`` for the reason.
    """

    def __init__(
        self, name: str, stores: "Callable[[], Iterable[SqlStore]]", visit: "Callable[[SqlStore], object]", trouble: str
    ) -> None:
        self._stores = stores
        self._visit = visit
        self._trouble = trouble
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for it."""
        self._ended.set()
        self._thread.join()

    def _go(self) -> None:
        while not self._ended.wait(PAUSE_S):
            for store in self._stores():
                try:
                    self._visit(store)
                except (QuarkError, OSError) as error:
                    logger.warning(self._trouble, store.name, error)
