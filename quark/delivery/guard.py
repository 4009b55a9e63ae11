"""A small process that ends a training which a signal cannot end any more.

While C code holds the interpreter no thread of the process runs, so a handler in Python would put SIGTERM off for as
long as that code takes. Without Quark the signal would have ended the process at once.

As a script: ``guard.py PID LIFELINE WORD``, with the pipe of the arriving signals as its input. It never reads the
pipe. That nobody else does for a while is how it knows that the process is stuck. LIFELINE is a pipe that is closed
when it is not needed any more, WORD the file in which it says what it did.
"""

import os
import select
import signal
import subprocess
import sys
import time

STUCK_S = 2.0
LOOK_S = 0.05


class Guard:
    """The process as it is seen from the training. Without one (no process can be started) nothing else changes."""

    def __init__(self, process: "subprocess.Popen[bytes] | None", lifeline: int | None) -> None:
        self._process = process
        self._lifeline = lifeline

    @classmethod
    def of(cls, signals: int, word: int | None) -> "Guard":
        """Start the process that watches the pipe ``signals`` for this one, and writes into the file ``word``."""
        if word is None or not sys.executable or getattr(sys, "frozen", False) or not hasattr(os, "pidfd_open"):
            return cls(None, None)
        end, lifeline = os.pipe()
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(end), str(word)], stdin=signals,
                pass_fds=(end, word),
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
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None

    def forget(self) -> None:
        """This is a forked child; the process belongs to its parent."""
        self.dismiss()
        if self._process is not None:
            self._process.returncode = 0  # or it would be waited for


def main() -> None:
    """Kill the process whose number is the first argument once its signals stay unread."""
    target, lifeline, word = os.pidfd_open(int(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
    if os.fork():
        os._exit(0)  # the training has no child that it did not start
    poll = select.poll()
    for descriptor in (target, lifeline, 0):
        poll.register(descriptor, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if ready != {0}:
            return
        if _stays_unread(poll):
            os.write(word, b"a signal came while the interpreter was held by C code; ended by SIGKILL\n")
            signal.pidfd_send_signal(target, signal.SIGKILL)
            return


def _stays_unread(poll: select.poll) -> bool:
    end = time.monotonic() + STUCK_S
    while time.monotonic() < end:
        time.sleep(LOOK_S)
        if {descriptor for descriptor, _ in poll.poll(0)} != {0}:
            return False
    return True


if __name__ == "__main__":
    main()
