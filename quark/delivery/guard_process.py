"""The process beside a training that ends it when a signal cannot any more; see ``guard.py``, which starts it.

``guard_process.py PID LIFELINE WORD SIGNAL...``, with the socket of the arriving signals as its input. It looks at the
socket without reading it. That nobody else reads one of the named signals for a while is how it knows that the process
is stuck; other signals, such as Ctrl-C, wait in Python without Quark too. LIFELINE is a pipe that is closed when it is
not needed any more, WORD the file in which it says what it did.

Each run starts one and hardly any needs it, so it imports next to nothing before a signal arrives.
"""

import os
import select
import sys
import time

STUCK_S = 2.0
LOOK_S = 0.05


def main() -> None:
    """Kill the process whose number is the first argument once a signal that should end it stays unread."""
    target, lifeline, word = os.pidfd_open(int(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
    fatal = bytes(map(int, sys.argv[4:]))
    if os.fork():
        os._exit(0)  # the training has no child that it did not start
    poll = select.poll()
    for descriptor in (target, lifeline, 0):
        poll.register(descriptor, select.POLLIN)
    unread_since = None
    while {descriptor for descriptor, _ in poll.poll()} == {0}:
        if not set(_waiting()) & set(fatal):
            unread_since = None
        elif unread_since is None:
            unread_since = time.monotonic()
        elif time.monotonic() - unread_since > STUCK_S:
            os.write(word, b"a signal came while the interpreter was held by C code; ended by SIGKILL\n")
            _kill(target)
            return
        time.sleep(LOOK_S)


def _waiting() -> bytes:
    """The numbers of the signals that the training has not looked at yet; they stay where they are."""
    import socket

    try:
        with socket.socket(fileno=os.dup(0)) as arriving:
            return arriving.recv(4096, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return b""


def _kill(process: int) -> None:
    import signal

    signal.pidfd_send_signal(process, signal.SIGKILL)


if __name__ == "__main__":
    main()
