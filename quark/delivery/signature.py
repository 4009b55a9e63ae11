"""Proves that this user's own process wrote a journal's description: a MAC under a key that only this user can read.

What a description says (sinks, addresses, paths) is carried out by other processes, so a stranger's must not be.
"""

import hmac
import os
import secrets
import stat
from pathlib import Path
from typing import Any

import orjson

KEY_FILE = "journal-key"
KEY_BYTES = 32
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def state_directory() -> Path | None:
    """Where this user's key is kept: ``$XDG_STATE_HOME/quark`` or ``~/.local/state/quark``; None without a home."""
    base = os.environ.get("XDG_STATE_HOME", "")
    path = Path(base if os.path.isabs(base) else os.path.expanduser("~/.local/state")) / "quark"
    return path if path.is_absolute() else None


def sign(directory: Path, content: dict[str, Any]) -> str | None:
    """The signature of what is written down about the journal in ``directory``; None where no key can be kept."""
    key = _key(make=True)
    return None if key is None else _mac(key, directory, content)


def is_signed(directory: Path, content: dict[str, Any], signature: object) -> bool:
    """Whether this user's key signed the content, for this very directory."""
    key = _key(make=False) if isinstance(signature, str) and signature.isascii() else None
    return key is not None and hmac.compare_digest(_mac(key, directory, content), str(signature))


def key_problem() -> str | None:
    """Why there is no key to sign with, in words for ``quark doctor``; None if there is one."""
    if _key(make=True) is not None:
        return None
    place = state_directory()
    if place is None:
        return "there is no home directory to keep a key in"
    key = place / KEY_FILE
    if os.path.lexists(key):
        return f"{key} is not a file of yours with {KEY_BYTES} bytes that nobody else may read or write"
    return f"no private key can be kept in {place}: it is not a directory of yours that you alone may write"


def _mac(key: bytes, directory: Path, content: dict[str, Any]) -> str:
    text = orjson.dumps([os.path.realpath(directory), content], option=orjson.OPT_SORT_KEYS)
    return hmac.digest(key, text, "sha256").hex()


def _key(*, make: bool) -> bytes | None:
    place = state_directory()
    if place is None:
        return None
    try:
        if make:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(place, _DIRECTORY)
        try:
            if not _is_mine(folder, stat.S_IWGRP | stat.S_IWOTH):
                return None
            try:
                return _read(folder)
            except FileNotFoundError:
                return _made(folder) if make else None
        finally:
            os.close(folder)
    except OSError:  # no home, or one that cannot be written: journals stay unsigned
        return None


def _read(folder: int) -> bytes | None:
    file = os.open(KEY_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        key = os.read(file, KEY_BYTES + 1)
        return key if len(key) == KEY_BYTES and _is_mine(file, 0o077) else None
    finally:
        os.close(file)


def _made(folder: int) -> bytes | None:
    """A new key; of several processes that make one at once all use the same."""
    name = f".{KEY_FILE}.{secrets.token_hex(8)}"
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        os.write(file, secrets.token_bytes(KEY_BYTES))
        os.fsync(file)
        os.link(name, KEY_FILE, src_dir_fd=folder, dst_dir_fd=folder)
    except FileExistsError:
        pass
    finally:
        os.close(file)
        os.unlink(name, dir_fd=folder)
    return _read(folder)


def _is_mine(descriptor: int, forbidden: int) -> bool:
    found = os.fstat(descriptor)
    return found.st_uid == os.geteuid() and not found.st_mode & forbidden
