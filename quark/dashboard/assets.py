"""The files of the pages as they are served: read once, packed once, each with its digest and its time to live."""

import functools
import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path

STATIC = Path(__file__).with_name("static")
INDEX = "index.html"

_HASHED = re.compile(r"\.[0-9A-Za-z_-]{8,}\.(js|css)\Z")
_SMALLEST = 1024
"""Bytes from which a file is worth packing."""

FOR_EVER = "public, max-age=31536000, immutable"
ASK_FIRST = "no-cache"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the pages.

    Attributes:
        packed: the content as gzip; None where that saves nothing.
        etag: changes with the content.
        cache_control: how long a browser may keep it without asking.
    """

    content: bytes
    packed: bytes | None
    media_type: str
    etag: str
    cache_control: str


@functools.cache
def assets() -> dict[str, Asset]:
    """All files of the pages by their names. Only these are served: no name leads anywhere else."""
    return {path.name: asset_of(path.name, path.read_bytes()) for path in STATIC.iterdir() if path.is_file()}


def asset_of(name: str, content: bytes) -> Asset:
    """A file as it is served. A name with a hash in it stands for one content for ever."""
    media = mimetypes.guess_type(name)[0] or "application/octet-stream"
    packed = gzip.compress(content, 9, mtime=0) if len(content) >= _SMALLEST else None
    if packed is not None and len(packed) >= len(content):
        packed = None
    return Asset(
        content, packed, media, f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        FOR_EVER if _HASHED.search(name) else ASK_FIRST,
    )  # fmt: skip
