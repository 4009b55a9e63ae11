"""What remains of a signal that ended the process before any code of ours could run: a file beside each journal.

It is empty as long as nothing happened. C code writes into it: the handler of ``faulthandler``, or the guard, which is
another process. ``quark sync`` finds it beside what the process left, and knows that it did not just vanish.
"""

import faulthandler
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO

FILE = "signalled.txt"
LONGEST = 2000


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)


class LastWord:
    """One file, of which every journal of the process has a name."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._handled: list[int] = []

    @property
    def descriptor(self) -> int | None:
        """Of the open file; None where there is none."""
        return None if self._file is None else self._file.fileno()

    def beside(self, directory: Path, others: Iterable[Path]) -> None:
        """Make the file, or one more name of it, in ``directory``; ``others`` are directories that may have it."""
        try:
            if self._file is None:
                self._file = open(directory / FILE, "ab", buffering=0, opener=_private)  # noqa: SIM115  kept open
                return
            known = next(other / FILE for other in others if other != directory and (other / FILE).exists())
            os.link(known, directory / FILE)
        except (OSError, StopIteration):
            return  # a full disk, or another file system: the run reads lost, should it come to that

    def write_on(self, numbers: Iterable[int]) -> None:
        """Note these signals and let them do what they do by default: in C, so that any thread can ask for it."""
        if self._file is None:
            return
        for number in numbers:
            if signal.getsignal(number) is signal.SIG_DFL and number not in self._handled:
                faulthandler.register(number, self._file, all_threads=False, chain=True)
                self._handled.append(number)

    def stop_writing(self) -> None:
        """The signals are handled by somebody else from now on."""
        for number in self._handled:
            if signal.getsignal(number) is signal.SIG_DFL:  # else a handler was put in its place, and stays there
                faulthandler.unregister(number)
        self._handled.clear()

    def close(self) -> None:
        """The last run has ended, or this is a forked child."""
        self.stop_writing()
        if self._file is not None:
            with suppress(OSError):  # the program has closed all descriptors
                self._file.close()
            self._file = None


def last_word(directories: Iterable[Path]) -> str | None:
    """What was left beside the journals in these directories; None if nothing was."""
    for directory in directories:
        try:
            with open(directory / FILE, encoding="utf-8", errors="replace", opener=_private) as file:
                text = file.read(LONGEST)
        except OSError:
            continue
        if text:
            return text
    return None
