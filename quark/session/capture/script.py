"""The program's own text: the script that Python was started with, or the cells of a notebook."""

import os
import re
import stat
import sys

from .lines import redacted_lines

MAX_BYTES = 1 << 20
CUT = "# [cut here: the file is longer]"

_NOT_IN_KEY = re.compile(r"[^A-Za-z0-9._-]+")


def script_path() -> str | None:
    """The absolute path of the script that runs; None for ``-c``, standard input, a prompt and notebooks."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    if not isinstance(path, str) or path.startswith("<"):
        return None
    return os.path.abspath(path)


def script_text(path: str) -> str | None:
    """The text of a script without secrets, cut at 1 MiB; None if it is no text of the user's.

    A program that was installed, such as pytest, is known by its version and not copied.
    """
    if _is_installed(path):
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would wait for its writer
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return None
        content = file.read(MAX_BYTES + 1)
    if b"\0" in content:  # a zip application
        return None
    lines = content[:MAX_BYTES].decode("utf-8", "replace").split("\n")
    if len(content) > MAX_BYTES:
        lines = [*lines[:-1], CUT, ""]
    return "\n".join(redacted_lines(lines))


def script_key(path: str) -> str:
    """The name of a script as the last part of an artifact's key."""
    return _NOT_IN_KEY.sub("-", os.path.basename(path)).lstrip("._-")[-200:] or "script"


def notebook_text() -> str | None:
    """The cells that the notebook or IPython has run so far, without secrets; None elsewhere.

    Beyond 1 MiB the last cells are kept.
    """
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    cells = None if shell is None else shell.user_ns.get("In")
    if not isinstance(cells, list):
        return None
    kept: list[str] = []
    size = 0
    for number, cell in reversed(list(enumerate(cells))):
        if not isinstance(cell, str) or not cell.strip():
            continue
        text = "\n".join([f"# %% [{number}]", *redacted_lines(cell.split("\n")), ""])
        size += len(text)
        if size > MAX_BYTES:
            break
        kept.append(text)
    return "\n".join(reversed(kept)) or None


def _is_installed(path: str) -> bool:
    import sysconfig

    real = os.path.realpath(path)
    if {"site-packages", "dist-packages"} & set(real.split(os.sep)):
        return True
    places = [os.path.realpath(place) for name in ("stdlib", "scripts") if (place := sysconfig.get_path(name))]
    return any(real.startswith(place + os.sep) for place in places)
