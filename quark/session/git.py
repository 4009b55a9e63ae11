"""Commit, branch, remote and unsaved changes of a working directory, read from the files of its repository.

Git itself is not run: it takes longer than a start may, and a repository's configuration can make it run anything.
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..records.grammar import clean_text
from ..redaction import redact_text
from .git_index import is_dirty

MAX_SYMBOLIC_REFS = 5
"""A reference may name another one; Git follows as many."""

MAX_FILE = 32 << 20
"""Bytes of a file of the repository, which may come from anybody's archive; packed references seldom have a tenth."""

_COMMIT = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_SECTION = re.compile(rb'\[\s*([\w.-]+)(?:\s+"((?:[^"\\]|\\.)*)")?\s*\]')


class Repository(NamedTuple):
    """A repository by its directories, and what is checked out there.

    Attributes:
        tree: the working tree.
        git: where HEAD and the index of this working tree are.
        common: where objects and configuration are; the same as ``git`` but in a linked working tree.
    """

    tree: bytes
    git: bytes
    common: bytes
    commit: str
    branch: bytes | None


def git_state(start: Path | None = None) -> dict[str, Any] | None:
    """What a repository says of ``start`` (the working directory): commit, and where known branch, remote, dirty.

    ``dirty`` is True when a tracked file differs from what is staged, or something is staged that is not committed;
    it is left out where a quick look cannot tell.

    Returns:
        None outside a repository and before its first commit.
    """
    found = find_repository(start)
    return None if found is None else _state_of(found)


def find_repository(start: Path | None = None) -> Repository | None:
    """The repository around ``start`` (the working directory); None outside of one and before its first commit."""
    try:
        directory = os.fsencode((start or Path.cwd()).resolve())
        while True:
            git = os.path.join(directory, b".git")
            if os.path.lexists(git) and (found := _repository(directory, _git_directory(git))):
                return found
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


def _repository(tree: bytes, git: bytes) -> Repository | None:
    common = os.path.normpath(os.path.join(git, _read(os.path.join(git, b"commondir")).strip()))
    commit, branch = _head(git, common)
    return None if commit is None else Repository(tree, git, common, commit.decode(), branch)


def _state_of(repository: Repository) -> dict[str, Any]:
    state: dict[str, Any] = {}
    if repository.branch is not None:
        state["branch"] = redact_text(_text(repository.branch))
    state["commit"] = repository.commit
    remote = _remote(repository.common, repository.branch)
    if remote is not None:
        state["remote"] = redact_text(_text(remote))
    dirty = is_dirty(repository.tree, _read(os.path.join(repository.git, b"index")))
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


def _remote(common: bytes, branch: bytes | None) -> bytes | None:
    """The address of the branch's own remote, else of ``origin``, else of the first one."""
    addresses: dict[bytes, bytes] = {}
    wanted = b"origin"
    for section, label, name, value in settings_of(common):
        if section == b"remote" and name == b"url":
            addresses.setdefault(label, value)
        elif section == b"branch" and name == b"remote" and label == branch:
            wanted = value
    return addresses.get(wanted) or addresses.get(b"origin") or next(iter(addresses.values()), None)


def settings_of(common: bytes) -> Iterator[tuple[bytes, bytes, bytes, bytes]]:
    """Section, label, name and value of each setting in a repository's own configuration; includes are not followed."""
    section = label = b""
    for line in _read(os.path.join(common, b"config")).splitlines():
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
