"""Ctrl-C that comes while a run ends."""

import signal
import threading
from collections.abc import Callable
from types import FrameType


class HeldInterrupt:
    """Ends the waiting at once, and is raised in the program as soon as the run has its end.

    Raised anywhere in the middle it would leave the run without an end. A handler of the user's own is left in place.
    """

    def __init__(self) -> None:
        self.came = False
        self._waiting = False
        self._holds = False

    def __enter__(self) -> "HeldInterrupt":
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            signal.signal(signal.SIGINT, self._arrived)
            self._holds = True
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._holds:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self.came and kind is None:
            raise KeyboardInterrupt

    def wait(self, act: Callable[[], bool]) -> bool:
        """What ``act`` returns; False if a Ctrl-C has broken it off, or came before."""
        if self.came:
            return False
        self._waiting = True
        try:
            return bool(self.run(act))
        finally:
            self._waiting = False

    def run(self, act: Callable[[], object]) -> object:
        """What ``act`` returns; None if a second Ctrl-C has broken it off."""
        try:
            return act()
        except KeyboardInterrupt:
            self.came = True
            return None

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        hangs, self.came = self.came, True
        if self._waiting or hangs:
            raise KeyboardInterrupt
