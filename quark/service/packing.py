"""Packs what has come into chunks, beside the requests: packed series are small and quick to read."""

import logging
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..errors import QuarkError

if TYPE_CHECKING:
    from ..storage import SqlStore

logger = logging.getLogger("quark.service")

PAUSE_S = 1.0


class Packer:
    """The thread that packs.

    Args:
        stores: gives the stores that are open.
    """

    def __init__(self, stores: "Callable[[], Iterable[SqlStore]]") -> None:
        self._stores = stores
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._pack, name="quark-pack", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for it."""
        self._ended.set()
        self._thread.join()

    def _pack(self) -> None:
        while not self._ended.wait(PAUSE_S):
            for store in self._stores():
                try:
                    store.seal()
                except (QuarkError, OSError) as error:
                    logger.warning("what came to %s could not be packed yet (%s)", store.name, error)
