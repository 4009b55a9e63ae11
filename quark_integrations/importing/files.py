"""Files of a source: only regular ones are read, whole ones up to a limit, and directories up to a depth."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import quark

MOST_BYTES = 64 << 20
"""Bytes of a file that is read as a whole."""

MOST_DIRECTORIES = 100_000
DEEPEST = 12


def opened(path: Path) -> IO[bytes]:
    """A regular file, open for reading; a pipe or a device, which might never end, is refused.

    Raises:
        SchemaValidationError: it is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise quark.SchemaValidationError(f"{path} is no regular file; name a file or a directory of the source")
    return os.fdopen(descriptor, "rb")


def content(path: Path) -> bytes:
    """A file as a whole.

    Raises:
        SchemaValidationError: it is no regular file, or larger than 64 MB.
    """
    with opened(path) as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise quark.SchemaValidationError(f"{path} is larger than {MOST_BYTES:,} bytes, which such a file never is")
    return data


def located(source: str) -> Path:
    """A path that is there, absolute.

    Raises:
        SchemaValidationError: there is nothing.
    """
    path = Path(source).expanduser().resolve()
    if not path.exists():
        raise quark.SchemaValidationError(f"there is no file or directory {source}; name what is to be imported")
    return path


def found(directory: Path, matches: str) -> Iterator[Path]:
    """The files below a directory whose names match a pattern, in order; links to directories are not followed.

    Raises:
        SchemaValidationError: there are more than 100,000 directories.
    """
    for seen, (place, names, files) in enumerate(os.walk(directory)):
        if seen >= MOST_DIRECTORIES:
            raise quark.SchemaValidationError(
                f"{directory} holds more than {MOST_DIRECTORIES:,} directories; name the one that holds the runs"
            )
        here = Path(place)
        names[:] = sorted(names) if len(here.relative_to(directory).parts) < DEEPEST else []
        yield from (here / name for name in sorted(files) if Path(name).match(matches))


def modified_ns(path: Path) -> int:
    """When a file was last written: the best that is known of a source that has no times."""
    return path.stat().st_mtime_ns
