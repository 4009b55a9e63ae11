"""Keys as they are pressed: the terminal gives them one by one, and gets its old settings back."""

import os
import select
import sys
from types import TracebackType
from typing import Any

NAMES = {
    b"[A": "up", b"[B": "down", b"[C": "right", b"[D": "left",
    b"OA": "up", b"OB": "down", b"OC": "right", b"OD": "left",
    b"[5~": "page up", b"[6~": "page down",
}  # fmt: skip
ESCAPE = b"\x1b"
REST_S = 0.05
"""How long the rest of a sequence may take; what comes later is a key of its own."""


class Keyboard:
    """The keys of standard input, where that is a terminal; otherwise there are none."""

    def __init__(self) -> None:
        self._fd: int | None = None
        self._before: Any = None

    def __enter__(self) -> "Keyboard":
        if sys.stdin is not None and sys.stdin.isatty():
            import termios
            import tty

            self._fd = fd = sys.stdin.fileno()
            self._before = termios.tcgetattr(fd)
            tty.setcbreak(fd)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd is not None:
            import termios

            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    def keys(self, timeout_s: float) -> list[str]:
        """The keys that were pressed, after at most so many seconds: characters, or words such as ``escape``."""
        if self._fd is None:
            import time

            time.sleep(timeout_s)
            return []
        if not _ready(self._fd, timeout_s):
            return []
        read = os.read(self._fd, 1024)
        while read.endswith(ESCAPE) and _ready(self._fd, REST_S):
            read += os.read(self._fd, 1024)
        return split_keys(read)


def _ready(fd: int, timeout_s: float) -> bool:
    return bool(select.select([fd], [], [], timeout_s)[0])


def split_keys(read: bytes) -> list[str]:
    """What a terminal sent as keys; a sequence that is not known is no key."""
    keys: list[str] = []
    while read:
        if read[:1] != ESCAPE:
            text, _, rest = read.partition(ESCAPE)
            keys += text.decode(errors="ignore")
            read = ESCAPE + rest if _ else b""
            continue
        end = _end_of_sequence(read)
        keys += ["escape"] if end == 1 else [NAMES[read[1:end]]] if read[1:end] in NAMES else []
        read = read[end:]
    return keys


def _end_of_sequence(read: bytes) -> int:
    if read[1:2] == b"O":
        return 3
    if read[1:2] != b"[":
        return 1
    return next((at + 1 for at in range(2, len(read)) if 0x40 <= read[at] <= 0x7E), len(read))
