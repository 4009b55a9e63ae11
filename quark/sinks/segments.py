"""The names of a series of files: ``run.jsonl`` first, then ``run.1.jsonl``, ``run.2.jsonl`` and so on."""

import os
import re
from pathlib import Path

from .appendfile import lock

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def named(base: Path, part: str, *, apart: bool = False) -> Path:
    """``base`` with a part before its suffix; ``apart`` keeps a part of digits from looking like a number."""
    word = _UNSAFE.sub("-", part)[:100]
    if apart and word.isdigit():
        word = f"w{word}"
    return base.with_name(f"{base.stem}.{word}{base.suffix}")


def segment_path(base: Path, number: int) -> Path:
    """The file with a number; 0 is ``base`` itself."""
    return base if number == 0 else base.with_name(f"{base.stem}.{number}{base.suffix}")


def segments(base: Path) -> list[tuple[int, Path]]:
    """The files of a series that exist, by number, the oldest first."""
    pattern = re.compile(rf"{re.escape(base.stem)}\.([1-9]\d*){re.escape(base.suffix)}\Z")
    try:
        names = os.listdir(base.parent)
    except FileNotFoundError:
        return []
    found = [(int(match.group(1)), base.with_name(name)) for name in names if (match := pattern.match(name))]
    if base.name in names:
        found.append((0, base))
    return sorted(found)


def newest(base: Path) -> tuple[int, Path]:
    """The file to append to with its number: the highest, or ``base`` where there is none yet."""
    existing = segments(base)
    return existing[-1] if existing else (0, base)


def is_being_rolled(base: Path, path: Path) -> bool:
    """Whether the owner of the file before ``path`` still holds it: it has just made ``path`` and goes on there."""
    earlier = [other for _, other in segments(base) if other != path]
    if not earlier:
        return False
    try:
        descriptor = os.open(earlier[-1], os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # deleted by its owner, which keeps few files
        return False
    try:
        return not lock(descriptor)
    finally:
        os.close(descriptor)


def keep_newest(base: Path, count: int) -> None:
    """Delete the oldest files of a series until ``count`` are left."""
    for _, path in segments(base)[:-count]:
        path.unlink(missing_ok=True)
