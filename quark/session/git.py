"""Commit, branch, remote and unsaved changes of a working directory, read from the files of its repository.

Git itself is not run: it takes longer than a start may, and a repository's configuration can make it run anything.
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..records.grammar import clean_text
from ..redaction import redact_text
from .git_index import is_dirty

MAX_SYMBOLIC_REFS = 5
"""A reference may name another one; Git follows as many."""

MAX_FILE = 32 << 20
"""Bytes of a file of the repository, which may come from anybody's archive; packed references seldom have a tenth."""

_COMMIT = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_SECTION = re.compile(rb'\[\s*([\w.-]+)(?:\s+"((?:[^"\\]|\\.)*)")?\s*\]')


def git_state(start: Path | None = None) -> dict[str, Any] | None:
    """What a repository says of ``start`` (the working directory): commit, and where known branch, remote, dirty.

    ``dirty`` is True when a tracked file differs from what is staged, or something is staged that is not committed;
    it is left out where a quick look cannot tell.

    Returns:
        None outside a repository and before its first commit.
    """
    try:
        directory = os.fsencode((start or Path.cwd()).resolve())
        while True:
            git = os.path.join(directory, b".git")
            if os.path.lexists(git) and (state := _state_of(directory, _git_directory(git))):
                return state
            above = os.path.dirname(directory)
            if above == directory:
                return None
            directory = above
    except (OSError, RuntimeError):  # no working directory, or a loop of links
        return None


def _git_directory(git: bytes) -> bytes:
    if not os.path.isfile(git):
        return git
    text = _read(git)  # a worktree or submodule: the file names the directory
    return os.path.normpath(os.path.join(os.path.dirname(git), text.partition(b"gitdir:")[2].strip()))


def _state_of(tree: bytes, git: bytes) -> dict[str, Any] | None:
    common = os.path.normpath(os.path.join(git, _read(os.path.join(git, b"commondir")).strip()))
    commit, branch = _head(git, common)
    if commit is None:
        return None
    state: dict[str, Any] = {}
    if branch is not None:
        state["branch"] = redact_text(_text(branch))
    state["commit"] = commit.decode()
    remote = _remote(_read(os.path.join(common, b"config")), branch)
    if remote is not None:
        state["remote"] = redact_text(_text(remote))
    dirty = is_dirty(tree, _read(os.path.join(git, b"index")))
    if dirty is not None:
        state["dirty"] = dirty
    return state


def _head(git: bytes, common: bytes) -> tuple[bytes | None, bytes | None]:
    """The commit and the branch of HEAD, through references that name other references."""
    value, branch = _read(os.path.join(git, b"HEAD")).strip(), None
    for _ in range(MAX_SYMBOLIC_REFS):
        if not value.startswith(b"ref:"):
            break
        name = value[4:].strip()
        if name.startswith(b"/") or b".." in name.split(b"/"):
            return None, None
        branch = name.removeprefix(b"refs/heads/")
        value = _reference(git, common, name)
    return (value if _COMMIT.match(value) else None), branch


def _reference(git: bytes, common: bytes, name: bytes) -> bytes:
    for root in (git, common):
        if value := _read(os.path.join(root, name)).strip():
            return value
    for line in _read(os.path.join(common, b"packed-refs")).splitlines():
        if line.endswith(b" " + name):
            return line.split(b" ", 1)[0]
    return b""


def _remote(config: bytes, branch: bytes | None) -> bytes | None:
    """The address of the branch's own remote, else of ``origin``, else of the first one."""
    addresses: dict[bytes, bytes] = {}
    wanted = b"origin"
    for section, label, name, value in _settings(config):
        if section == b"remote" and name == b"url":
            addresses.setdefault(label, value)
        elif section == b"branch" and name == b"remote" and label == branch:
            wanted = value
    return addresses.get(wanted) or addresses.get(b"origin") or next(iter(addresses.values()), None)


def _settings(config: bytes) -> Iterator[tuple[bytes, bytes, bytes, bytes]]:
    section = label = b""
    for line in config.splitlines():
        line = line.strip()
        if found := _SECTION.match(line):
            section, label = found.group(1).lower(), re.sub(rb"\\(.)", rb"\1", found.group(2) or b"")
            line = line[found.end() :].strip()
        name, equals, value = line.partition(b"=")
        if equals and not line.startswith((b"#", b";")):
            yield section, label, name.strip().lower(), value.strip().strip(b'"')


def _read(path: bytes) -> bytes:
    """The content of a regular file of at most MAX_FILE bytes, else nothing: no pipe and no device is waited for."""
    try:
        with open(path, "rb", opener=_at_once) as file:
            found = os.fstat(file.fileno())
            return file.read(MAX_FILE) if stat.S_ISREG(found.st_mode) and found.st_size <= MAX_FILE else b""
    except OSError:
        return b""


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _text(raw: bytes) -> str:
    return clean_text(raw.decode("utf-8", "replace"))
