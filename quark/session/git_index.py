"""Whether a working tree has changes that are not committed, by a quick look at Git's index."""

import hashlib
import os
import stat
import struct
import time
from typing import NamedTuple

BUDGET_S = 0.02
MAX_ENTRIES = 10_000
MAX_HASHED = 1 << 20
"""A working tree that is larger, or takes longer to look through, is called neither dirty nor clean."""

_HEADER = struct.Struct(">4sII")
_ENTRY = struct.Struct(">10I20sH")
_ASSUME_UNCHANGED, _EXTENDED, _STAGE = 0x8000, 0x4000, 0x3000
_SKIP_WORKTREE = 0x4000
_SUBMODULE = 0o160000


class _Entry(NamedTuple):
    """A tracked file as it was when it was staged."""

    path: bytes
    mtime_ns: int
    mode: int
    size: int
    digest: bytes
    unmerged: bool


def is_dirty(tree: bytes, index: bytes) -> bool | None:
    """Whether tracked files differ from the index, or the index from the commit; None if that is not known.

    Files that are not tracked do not count. The index is read in versions 2 and 3, with SHA-1.
    """
    try:
        entries, extensions = _parsed(index)
    except (struct.error, ValueError, IndexError):
        return None
    deadline = time.monotonic() + BUDGET_S
    unsure = b"link" in extensions  # a split index: the other half lies elsewhere
    for entry in entries:
        if time.monotonic() > deadline:
            return None
        changed = _is_changed(os.path.join(tree, entry.path), entry)
        if changed:
            return True
        unsure = unsure or changed is None
    # Staging something takes away the copy of the commit's tree that the index holds.
    staged = extensions[b"TREE"].startswith(b"\0-1 ") if b"TREE" in extensions else None
    return None if unsure and not staged else staged


def _parsed(index: bytes) -> tuple[list[_Entry], dict[bytes, bytes]]:
    """The entries of an index, and its extensions by their signature."""
    mark, version, count = _HEADER.unpack_from(index)
    if mark != b"DIRC" or version not in (2, 3) or count > MAX_ENTRIES:
        raise ValueError("an index that is not looked through here")
    entries, place = [], _HEADER.size
    for _ in range(count):
        fields = _ENTRY.unpack_from(index, place)
        flags, name = fields[11], place + _ENTRY.size
        skipped = bool(flags & _ASSUME_UNCHANGED)
        if flags & _EXTENDED:
            skipped = skipped or bool(int.from_bytes(index[name : name + 2], "big") & _SKIP_WORKTREE)
            name += 2
        end = index.index(b"\0", name)
        if not skipped and fields[6] != _SUBMODULE:
            modified_ns = fields[2] * 1_000_000_000 + fields[3]
            unmerged = bool(flags & _STAGE)
            entries.append(_Entry(index[name:end], modified_ns, fields[6], fields[9], fields[10], unmerged))
        place += (end - place + 8) // 8 * 8
    extensions = {}
    while place + 8 <= len(index) - 20:
        size = int.from_bytes(index[place + 4 : place + 8], "big")
        extensions[index[place : place + 4]] = index[place + 8 : place + 8 + size]
        place += 8 + size
    return entries, extensions


def _is_changed(path: bytes, entry: _Entry) -> bool | None:
    """Whether a file differs from its entry: by its size, and by its content where only the time differs."""
    if entry.unmerged:
        return True
    try:
        now = os.lstat(path)
        if stat.S_IFMT(now.st_mode) != stat.S_IFMT(entry.mode) or now.st_size & 0xFFFFFFFF != entry.size:
            return True
        if now.st_mtime_ns == entry.mtime_ns or not stat.S_ISREG(now.st_mode):
            return False
        if entry.size > MAX_HASHED:
            return None
        with open(path, "rb") as file:
            content = file.read(MAX_HASHED + 1)
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return None
    header = b"blob %d\0" % len(content)
    return hashlib.sha1(header + content, usedforsecurity=False).digest() != entry.digest
