"""Finds the runs that somebody means who named no directory: here, below or above the working directory."""

import logging
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from ..errors import SessionStoreError
from ..settings import setting
from .placement import Placement, resolve_storage_dir

logger = logging.getLogger("quark")

DEPTH = 3
"""Levels below the working directory that are looked through."""

MOST_DIRECTORIES = 2000
"""Directories that are looked into at most: the working directory may be a home."""

SHOWN = 5
_LEFT_OUT = frozenset(("node_modules", "site-packages", "__pycache__", "venv", "env"))


def found_placement(storage_dir: object = None) -> Placement:
    """The storage directory to read: the one that is named, else the working directory, else the one below or above.

    A directory is named by the argument or by QUARK_STORAGE_DIR, and then nothing is looked for. One that was found
    elsewhere is logged as a warning.

    Raises:
        SessionStoreError: several directories below the working directory hold runs; the message lists them.
        WrongTypeError, SchemaValidationError: as of ``resolve_storage_dir``.
    """
    wanted = Placement(resolve_storage_dir(storage_dir))
    if storage_dir is not None or setting("QUARK_STORAGE_DIR") or holds_runs(wanted.storage_dir):
        return wanted
    here = wanted.storage_dir
    below = stores_below(here)
    if len(below) > 1:
        options = ", ".join(directory_option(path).strip() for path in below[:SHOWN])
        more = f" and {len(below) - SHOWN} more" if len(below) > SHOWN else ""
        raise SessionStoreError(
            f"{len(below)} directories below {here} hold runs; choose one on the command line with {options}{more}, "
            "or as storage_dir",
            code="store_ambiguous",
        )
    found = below[0] if below else next((path for path in here.parents if _is_ours(path) and holds_runs(path)), None)
    if found is None:
        return wanted
    logger.warning(
        "quark: no runs are recorded in %s; using those in %s (%s)", here, found, directory_option(found)[1:]
    )
    return Placement(found)


def holds_runs(directory: Path) -> bool:
    """Whether runs were recorded in a directory: it has a store, or journals that were not delivered yet."""
    root = Placement(directory).store_root
    try:
        return (root / "quark.db").is_file() or any((root / "journal").iterdir())
    except OSError:
        return False


def stores_below(directory: Path) -> list[Path]:
    """The directories of this user below one that hold runs, the nearest first, then by name."""
    return [path for path in _walk(directory) if _is_ours(path) and holds_runs(path)]


def _walk(directory: Path) -> Iterator[Path]:
    level, seen = [directory], 0
    for _ in range(DEPTH):
        following: list[Path] = []
        for parent in level:
            seen += 1
            if seen > MOST_DIRECTORIES:
                return
            following += _directories(parent)
        yield from following
        level = following


def _directories(parent: Path) -> list[Path]:
    """The directories in one, without links, hidden ones and those of packages."""
    try:
        with os.scandir(parent) as entries:
            names = [
                entry.name for entry in entries
                if not entry.name.startswith(".") and entry.name not in _LEFT_OUT
                and entry.is_dir(follow_symlinks=False)
            ]  # fmt: skip
    except OSError:
        return []
    return [parent / name for name in sorted(names)]


def _is_ours(directory: Path) -> bool:
    """Whether Quark's directory there is this user's: nobody else puts a store in our way."""
    try:
        return Placement(directory).store_root.stat().st_uid == os.geteuid()
    except OSError:
        return False


def directory_option(directory: Path) -> str:
    """What names a storage directory on the command line, `` -d quark-runs``; empty for the working directory."""
    try:
        here = Path.cwd()
    except OSError:
        return f" -d {shlex.quote(str(directory))}"
    if directory == here:
        return ""
    shown = directory.relative_to(here) if directory.is_relative_to(here) else directory
    return f" -d {shlex.quote(str(shown))}"
