"""A small process that ends a training which a signal cannot end any more.

While C code holds the interpreter no thread of the process runs, so a handler in Python would put SIGTERM off for as
long as that code takes. Without Quark the signal would have ended the process at once.

As a script: ``guard.py PID LIFELINE WORD SIGNAL...``, with the socket of the arriving signals as its input. It looks
at the socket without reading it. That nobody else reads one of the named signals for a while is how it knows that the
process is stuck; other signals, such as Ctrl-C, wait in Python without Quark too. LIFELINE is a pipe that is closed
when it is not needed any more, WORD the file in which it says what it did.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

STUCK_S = 2.0
LOOK_S = 0.05


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
                [sys.executable, "-I", "-S", __file__, *map(str, (os.getpid(), end, word)), *map(str, map(int, fatal))],
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


def main() -> None:
    """Kill the process whose number is the first argument once a signal that should end it stays unread."""
    target, lifeline, word = os.pidfd_open(int(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
    fatal = bytes(map(int, sys.argv[4:]))
    if os.fork():
        os._exit(0)  # the training has no child that it did not start
    arriving = socket.socket(fileno=0)
    poll = select.poll()
    for descriptor in (target, lifeline, 0):
        poll.register(descriptor, select.POLLIN)
    unread_since = None
    while {descriptor for descriptor, _ in poll.poll()} == {0}:
        if not set(_waiting(arriving)) & set(fatal):
            unread_since = None
        elif unread_since is None:
            unread_since = time.monotonic()
        elif time.monotonic() - unread_since > STUCK_S:
            os.write(word, b"a signal came while the interpreter was held by C code; ended by SIGKILL\n")
            signal.pidfd_send_signal(target, signal.SIGKILL)
            return
        time.sleep(LOOK_S)


def _waiting(arriving: socket.socket) -> bytes:
    """The numbers of the signals that the training has not looked at yet; they stay where they are."""
    try:
        return arriving.recv(4096, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return b""


if __name__ == "__main__":
    main()
