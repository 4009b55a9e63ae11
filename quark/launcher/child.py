"""The process of a command: started with its outputs in hand, signalled, and ended in the end."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from ..errors import QuarkError
from .streams import Stream

FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
ENDING = frozenset((signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT))
LEFT_OPEN_S = 2.0
"""How long an output is read on behind the end of the command: a grandchild may keep it open for ever."""


class NotStartedError(QuarkError):
    """A command could not be started; ``shell_code`` is what a shell would exit with."""

    def __init__(self, command: str, error: OSError) -> None:
        super().__init__(f"{command!r} could not be started ({error.strerror or error}); is it installed, and in PATH?")
        self.shell_code = 127 if isinstance(error, FileNotFoundError) else 126


class Child:
    """A running command.

    At a terminal it shares our process group, so that it may read from it, and Ctrl-C reaches it without us.
    Elsewhere it leads a group of its own, so that its own children can be ended with it.

    Raises:
        NotStartedError: the command cannot be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], streams: Sequence[Stream]) -> None:
        self._streams = streams
        self.at_terminal = os.isatty(sys.stdin.fileno()) if sys.stdin is not None else False
        out, err = (stream.given for stream in streams)
        try:
            self._process = subprocess.Popen(
                list(command), env=dict(environment), stdout=out, stderr=err, start_new_session=not self.at_terminal
            )
        except OSError as error:
            for stream in streams:
                stream.discard()
            raise NotStartedError(command[0], error) from error
        for stream in streams:
            stream.start()

    def wait(self, timeout_s: float) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def send(self, number: int) -> None:
        """Send a signal to the command alone: what becomes of its children is its own business."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End the command, and its group where it leads one, at once."""
        if self.at_terminal:
            self._process.kill()
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has ended by itself

    def drain(self) -> None:
        """Read its outputs to their ends."""
        for stream in self._streams:
            stream.finish(LEFT_OPEN_S)

    def resize(self) -> None:
        """Our terminal has another size."""
        for stream in self._streams:
            stream.resize()
