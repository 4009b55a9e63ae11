"""What a command prints: passed on byte for byte, and cut into lines for the record."""

import errno
import os
import pty
import termios
import threading
from collections.abc import Callable

PIECE = 1 << 16
LONGEST_LINE = 8 << 10
"""Bytes of a line that are recorded; the terminal gets all of it."""


class Stream:
    """One output of a command, and the place of ours that it goes on to.

    A terminal stays a terminal: where ours is one the command gets one too, so that progress bars and colours are as
    they would be without us.

    Args:
        name: stdout or stderr.
        target: the file descriptor of ours.
        on_line: called with every line, on the thread of this stream.
    """

    def __init__(self, name: str, target: int, on_line: Callable[[str, str], None]) -> None:
        self.name = name
        self._target = target
        self._on_line = on_line
        self._line = bytearray()
        self._is_terminal = os.isatty(target)
        self._source, self.given = pty.openpty() if self._is_terminal else os.pipe()
        if self._is_terminal:
            self._pass_bytes_unchanged()
            self.resize()
        self._thread = threading.Thread(target=self._pass_on, name=f"quark-{name}", daemon=True)

    def start(self) -> None:
        """The command has its end: let go of it here, and begin to pass on."""
        os.close(self.given)
        self._thread.start()

    def discard(self) -> None:
        """There is no command."""
        os.close(self.given)
        os.close(self._source)

    def finish(self, timeout_s: float) -> None:
        """Wait until all is passed on; a grandchild that keeps the output open is not waited for."""
        self._thread.join(timeout_s)

    def resize(self) -> None:
        """The terminal of the command gets the size of ours."""
        if self._is_terminal:
            size = termios.tcgetwinsize(self._target)
            termios.tcsetwinsize(self._source, size)

    def _pass_bytes_unchanged(self) -> None:
        settings = termios.tcgetattr(self.given)
        settings[1] &= ~termios.OPOST  # the real terminal does what is to be done with line ends
        termios.tcsetattr(self.given, termios.TCSANOW, settings)

    def _pass_on(self) -> None:
        wanted = True
        while piece := self._read():
            if wanted:
                wanted = self._write(piece)
            self._cut(piece)
        if self._line:
            self._told(bytes(self._line))
        os.close(self._source)

    def _read(self) -> bytes:
        try:
            return os.read(self._source, PIECE)
        except OSError as error:
            if error.errno == errno.EIO:  # the end of a terminal whose last user is gone
                return b""
            raise

    def _write(self, piece: bytes) -> bool:
        """False once nobody reads there any more, such as ``head``; the command goes on."""
        left = memoryview(piece)
        try:
            while left:
                left = left[os.write(self._target, left) :]
        except OSError:
            return False
        return True

    def _cut(self, piece: bytes) -> None:
        *lines, rest = piece.split(b"\n")
        for line in lines:
            self._told(bytes(self._line) + line)
            self._line.clear()
        self._line += rest
        if len(self._line) > 2 * LONGEST_LINE:  # a progress bar writes over one line for ever
            del self._line[:-LONGEST_LINE]

    def _told(self, line: bytes) -> None:
        shown = line.removesuffix(b"\r").rpartition(b"\r")[2][:LONGEST_LINE]
        if shown.strip():
            self._on_line(self.name, shown.decode("utf-8", "replace"))
