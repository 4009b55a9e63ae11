"""A terminal for tests: a command on a pseudo-terminal, and what is on the screen at the moment."""

import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from fcntl import ioctl
from types import TracebackType

import pyte

from ..children import child_environment

WAIT_S = 60.0


class Screen:
    """``quark watch`` as a person sees it; leaving the block ends it."""

    def __init__(self, *arguments: object, columns: int = 100, lines: int = 40, term: str = "xterm-256color") -> None:
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""
        self._master, slave = pty.openpty()
        self._set_size(columns, lines)
        self.settings = termios.tcgetattr(slave)
        environment = {**child_environment(), "TERM": term}
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            environment.pop(name, None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "quark.cli", *map(str, arguments)],
            stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True,
        )  # fmt: skip
        self._slave = slave

    def __enter__(self) -> "Screen":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._slave)
        os.close(self._master)

    @property
    def lines(self) -> list[str]:
        """The lines of the screen, without spaces at their ends."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        """All of the screen."""
        return "\n".join(self.lines)

    def press(self, *keys: str) -> None:
        """Type keys, one after the other."""
        for key in keys:
            os.write(self._master, key.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the window."""
        self._screen.resize(lines, columns)
        self._set_size(columns, lines)
        self.process.send_signal(signal.SIGWINCH)

    def until(self, holds: "Callable[[str], bool] | str") -> str:
        """The text of the screen as soon as it holds a word or fulfils a condition."""
        fulfilled = holds if callable(holds) else lambda text: holds in text
        deadline = time.monotonic() + WAIT_S
        while not fulfilled(self.text):
            if time.monotonic() > deadline or not self._read():
                raise AssertionError(f"the screen does not come to what is expected; it is:\n{self.text}")
        return self.text

    def end(self) -> int:
        """The exit code, once the program has ended, with everything read that it wrote."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline and self._read():  # a terminal that nobody reads from stops the program
            pass
        return self.process.wait(1)

    def _read(self) -> bool:
        if select.select([self._master], [], [], 0.2)[0]:
            self._take(os.read(self._master, 65536))
            return True
        return self.process.poll() is None

    def _take(self, piece: bytes) -> None:
        self.raw += piece
        self._stream.feed(piece)

    def current_settings(self) -> list[object]:
        """The settings of the terminal: whether it echoes, and gives whole lines."""
        return termios.tcgetattr(self._slave)

    def _set_size(self, columns: int, lines: int) -> None:
        ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
