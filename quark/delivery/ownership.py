"""Whose a directory is. What another user made, or what is a link, may be read as data and is never followed."""

import os
import stat
import tempfile
from pathlib import Path

from ..settings import setting

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def refusal(path: Path) -> str | None:
    """Why a path is no file or directory of this user; None if it is, or is missing, or QUARK_SAFE_DIRS names it."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    reason = None
    if stat.S_ISLNK(found.st_mode):
        reason = f"{path} is a link to another place"
    elif not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        reason = f"{path} is neither a file nor a directory"  # to open a pipe may wait for ever
    elif found.st_uid != os.geteuid():
        reason = f"{path} belongs to {_user(found.st_uid)}"
    return None if reason is None or _is_declared_safe(path) else reason


def is_own_directory(path: Path) -> bool:
    """Whether ``path`` is a directory of this user, or a link to one that Quark put aside, as into shared memory."""
    try:
        if path.is_symlink() and not _is_declared_safe(path):
            return _is_put_aside(path)
        return path.is_dir() and refusal(path) is None
    except OSError:
        return False


def _is_put_aside(link: Path) -> bool:
    """Whether a link leads into a private directory of this user, as ``private_directory`` makes them."""
    target = Path(os.readlink(link))
    return target.parent in private_directories(target.parent.parent) and target.is_dir() and refusal(target) is None


def private_directory(parent: Path) -> Path:
    """This user's directory in one that all users share, such as /tmp: one that is there and private, else a new one.

    Raises:
        OSError: it cannot be made.
    """
    for found in private_directories(parent):
        return found
    try:
        made = parent / _name()
        made.mkdir(mode=0o700)
        return made
    except FileExistsError:  # somebody else's, or open to others
        return Path(tempfile.mkdtemp(prefix=f"{_name()}-", dir=parent))


def private_directories(parent: Path) -> list[Path]:
    """What ``private_directory`` made in ``parent``: this user's, closed to all others, no links."""
    return [path for path in (parent / _name(), *sorted(parent.glob(f"{_name()}-*"))) if _is_private(path)]


def make_directory(path: Path) -> None:
    """A directory for this user alone, with its parents up to the first that is there."""
    if not path.parent.is_dir():
        make_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)


def _is_private(path: Path) -> bool:
    try:
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & OTHERS_WRITE:
            return False
        if found.st_mode & 0o077:  # an earlier release let others read the names
            path.chmod(0o700)
    except OSError:
        return False
    return True


def _name() -> str:
    return f"quark-{os.geteuid()}"


def _user(uid: int) -> str:
    import pwd

    try:
        return f"the user {pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"another user (uid {uid})"


def _is_declared_safe(path: Path) -> bool:
    """Whether the user named the directory, or one above it, in QUARK_SAFE_DIRS."""
    named = [entry for entry in (setting("QUARK_SAFE_DIRS") or "").split(os.pathsep) if entry]
    place = os.path.abspath(path)
    return "*" in named or any(
        Path(place).is_relative_to(os.path.realpath(os.path.expanduser(entry))) for entry in named
    )
