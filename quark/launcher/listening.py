"""Hears what is asked of a run from afar, on a thread of its own: a service that is away must hold up nobody."""

import threading
from collections.abc import Callable
from typing import Any

from ..core.control import RunControl
from ..errors import QuarkError


class Listening:
    """Looks at the control of a run every few seconds.

    Args:
        home: where the run lives.
        every_s: seconds between two looks.
    """

    def __init__(self, run_id: str, home: Callable[[], Any], every_s: float) -> None:
        self._run_id = run_id
        self._home = home
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="quark-listening", daemon=True)
        self.heard = RunControl()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """No further look."""
        self._ended.set()

    def _listen(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                store = self._home().open()
                try:
                    self.heard = store.control(self._run_id)
                finally:
                    store.close()
            except (QuarkError, OSError):
                continue  # it is not there yet, or away; the command runs all the same
