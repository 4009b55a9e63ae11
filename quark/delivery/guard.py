"""A small process that ends a training which a signal cannot end any more.

While C code holds the interpreter no thread of the process runs, so a handler in Python would put SIGTERM off for as
long as that code takes. Without Quark the signal would have ended the process at once.
"""

import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_PROCESS = str(Path(__file__).with_name("guard_process.py"))


class Guard:
    """The process as it is seen from the training. Without one (no process can be started) nothing else changes."""

    def __init__(self, process: "subprocess.Popen[bytes] | None", lifeline: int | None) -> None:
        self._process = process
        self._lifeline = lifeline

    @classmethod
    def of(cls, arriving: int, word: int | None, fatal: Iterable[int]) -> "Guard":
        """Start the process that looks at the socket ``arriving`` for this one.

        ``word``: the file that it writes into. ``fatal``: the signals that would end this process at once.
        """
        if word is None or not sys.executable or getattr(sys, "frozen", False) or not hasattr(os, "pidfd_open"):
            return cls(None, None)
        end, lifeline = os.pipe()
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", _PROCESS, *map(str, (os.getpid(), end, word)), *map(str, map(int, fatal))],
                stdin=arriving, pass_fds=(end, word),
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd="/",
            )  # fmt: skip
        except (OSError, ValueError, subprocess.SubprocessError):
            os.close(lifeline)
            return cls(None, None)
        finally:
            os.close(end)
        return cls(process, lifeline)

    def reap(self) -> None:
        """Wait for the process that started it, which ends at once: nobody who waits for all children waits for it."""
        if self._process is not None:
            self._process.wait()

    def dismiss(self) -> None:
        """It is not needed any more."""
        lifeline, self._lifeline = self._lifeline, None
        if lifeline is not None:
            with suppress(OSError):  # the program has closed all descriptors
                os.close(lifeline)

    def forget(self) -> None:
        """This is a forked child; the process belongs to its parent."""
        self.dismiss()
        if self._process is not None:
            self._process.returncode = 0  # or it would be waited for
