"""Acts every so many seconds on a thread of its own, until it is told to end."""

import threading
from collections.abc import Callable

from ...delivery.threads import start_thread

END_WAIT_S = 1.0


class Periodic:
    """A thread that acts at once, and then every so many seconds.

    Args:
        act: what it does; a fault is its own to report.
        every_s: seconds between two acts.
        report: says that the system gives no thread.
    """

    def __init__(
        self, act: Callable[[], object], every_s: float, report: Callable[[str, BaseException], object]
    ) -> None:
        self._act = act
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="quark-telemetry-periodic", daemon=True)
        start_thread(self._thread, lambda cause, words: report(cause, RuntimeError(words)))

    def end(self) -> None:
        """Act no more; an act that is on its way is waited for, but not long."""
        self._ended.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(END_WAIT_S)

    def _run(self) -> None:
        self._act()
        while not self._ended.wait(self._every_s):
            self._act()
