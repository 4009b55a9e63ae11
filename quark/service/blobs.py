"""The payloads of artifacts: raw bytes in and out, kept once by their content."""

import fcntl
import hashlib
import os
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import anyio.to_thread
import msgspec
from litestar import Request, get, put
from litestar.response import Stream

from ..core.reader import RecordFilter
from .access import check_project
from .parameters import Digest, RecordId, RunId
from .problems import ProblemError
from .requests import ENDLESS
from .runs import namespace_of, project_of, readable_run, store_of

PIECE = 1 << 20
SLOWEST = 4096
"""Bytes a second that an upload has to make, on the whole."""

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})\Z")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})\Z")


class Held(msgspec.Struct):
    """How many bytes of a payload are held, and whether that is all of it."""

    size: int
    complete: bool


class BlobFiles:
    """The files of one namespace: ``ab/abcdef...`` when complete, ``partial/`` while they arrive."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, digest: str) -> Path:
        """Where a complete payload lies."""
        if _DIGEST.match(digest) is None:  # it may come out of a record
            raise FileNotFoundError(digest)
        return self._directory / digest[:2] / digest

    def partial(self, digest: str) -> Path:
        """Where a payload lies while it arrives."""
        return self._directory / "partial" / digest

    def held(self, digest: str) -> Held:
        """What is there of a payload."""
        for path, complete in ((self.path(digest), True), (self.partial(digest), False)):
            try:
                return Held(path.stat().st_size, complete)
            except FileNotFoundError:
                continue
        return Held(0, False)

    @contextmanager
    def arriving(self, digest: str) -> Iterator[BinaryIO]:
        """The file of a payload while it arrives, which nobody else writes meanwhile, in whatever process.

        Raises:
            ProblemError: 503, somebody else is sending the same payload.
        """
        path = self.partial(digest)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(number, "r+b", buffering=0) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                ours = os.path.samestat(os.fstat(number), os.stat(path, follow_symlinks=False))
            except (BlockingIOError, FileNotFoundError):
                ours = False
            if not ours:
                raise ProblemError(
                    503, "somebody else is sending this payload; ask again how much is held", code="busy",
                    headers={"Retry-After": "1"},
                )  # fmt: skip
            yield file

    def complete(self, digest: str, file: BinaryIO) -> None:
        """Check the digest of what has arrived, and put it in its place.

        Raises:
            ProblemError: 422, the bytes are not those of the digest; they are deleted.
        """
        file.seek(0)
        found = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        if found != digest:
            self.partial(digest).unlink()
            raise ProblemError(
                422, f"the payload has the SHA-256 {found}, not {digest}; send it again", code="wrong_digest"
            )
        os.fsync(file.fileno())
        target = self.path(digest)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.replace(self.partial(digest), target)
        directory = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def opened(self, digest: str) -> BinaryIO:
        """A complete payload, to be read.

        Raises:
            FileNotFoundError: it has not arrived.
        """
        return os.fdopen(os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb")


def _files(request: Request[Any, Any, Any]) -> BlobFiles:
    return BlobFiles(request.app.state.namespaces.files(namespace_of(request)))


def _check_writable(request: Request[Any, Any, Any], run_id: str) -> None:
    project = project_of(store_of(request), run_id)
    if project is None:
        raise ProblemError(404, f"there is no run {run_id!r}; send its records first", code="run_not_found")
    check_project(request.state.key, project)


@get("/api/v1/runs/{run_id:str}/blobs/{digest:str}", opt={"scope": "write"}, sync_to_thread=True)
def held(request: Request[Any, Any, Any], run_id: RunId, digest: Digest) -> Held:
    """How much of a payload is held already: an upload that broke off goes on from there."""
    _check_writable(request, run_id)
    return _files(request).held(digest)


@put(
    "/api/v1/runs/{run_id:str}/blobs/{digest:str}", status_code=200, opt={"scope": "write"},
    request_max_body_size=None,
)  # fmt: skip
async def upload(request: Request[Any, Any, Any], run_id: RunId, digest: Digest) -> Held:
    """Send a payload, or with ``Content-Range: bytes first-last/total`` the next part of one.

    A part that does not begin where the held ones end is refused with 409 and ``held``.
    """
    await anyio.to_thread.run_sync(_check_writable, request, run_id)
    files, limit = _files(request), request.app.state.config.max_artifact
    first, stop, total = _part(request)
    if max(total or 0, _declared(request)) > limit:
        raise ProblemError(413, f"an artifact may have {limit} bytes, this one is larger", limit=limit)
    before = files.held(digest)
    if before.complete:
        return before
    with files.arriving(digest) as file:
        before = files.held(digest)
        if before.complete:
            return before
        if first not in (0, before.size):
            raise ProblemError(409, f"the part begins at {first}, and {before.size} bytes are held", held=before.size)
        size = await _receive(request, file, first, limit if stop is None else stop)
        if total is not None and size < total:
            return Held(size, False)
        await anyio.to_thread.run_sync(files.complete, digest, file)
    return Held(size, True)


def _declared(request: Request[Any, Any, Any]) -> int:
    text = request.headers.get("content-length", "0")
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0


def _part(request: Request[Any, Any, Any]) -> tuple[int, int | None, int | None]:
    """Where the part begins and ends, and how large the whole is."""
    text = request.headers.get("content-range")
    if text is None:
        return 0, None, None
    found = _CONTENT_RANGE.match(text)
    if found is None or not int(found[1]) <= int(found[2]) < int(found[3]):
        raise ProblemError(400, f"Content-Range is 'bytes first-last/total', got {text[:80]!r}", field="Content-Range")
    return int(found[1]), int(found[2]) + 1, int(found[3])


async def _receive(request: Request[Any, Any, Any], file: BinaryIO, first: int, most: int) -> int:
    """Write what comes behind ``first``; it stays when the connection breaks, for the upload to go on from there."""
    size = first
    idle_s = request.app.state.config.body_timeout_s
    start = time.monotonic()
    setattr(request.state, ENDLESS, True)
    await anyio.to_thread.run_sync(_cut, file, first)
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            _cut(file, first)
            raise ProblemError(413, f"the part was to end at {most} bytes; it is larger", limit=most)
        if time.monotonic() - start > idle_s + (size - first) / SLOWEST:
            raise ProblemError(408, f"less than {SLOWEST} bytes arrived a second; {size - len(piece)} bytes are held")
        await anyio.to_thread.run_sync(_write, file, piece)
    return size


def _cut(file: BinaryIO, size: int) -> None:
    file.truncate(size)
    file.seek(size)


def _write(file: BinaryIO, piece: bytes) -> None:
    """All of it: an unbuffered file may take less than it is given."""
    view = memoryview(piece)
    while view:
        view = view[file.write(view) :]


@get("/api/v1/runs/{run_id:str}/artifacts/{artifact_id:str}/payload", opt={"scope": "read"}, sync_to_thread=True)
def download(request: Request[Any, Any, Any], run_id: RunId, artifact_id: RecordId) -> Stream:
    """The payload of an artifact, or with ``Range: bytes=first-last`` a part of it."""
    readable_run(request, run_id)
    found = store_of(request).records(run_id, "artifact", RecordFilter())
    artifact = next((record for record in found if record.id == artifact_id), None)
    if artifact is None:
        raise ProblemError(404, f"run {run_id} has no artifact {artifact_id!r}", code="artifact_not_found")
    try:
        file = _files(request).opened(artifact.sha256)
    except FileNotFoundError:
        raise ProblemError(404, "the payload of this artifact has not arrived", code="payload_not_found") from None
    size = os.fstat(file.fileno()).st_size
    try:
        first, last, part = _wanted(request, size)
    except ProblemError:
        file.close()
        raise
    headers = {
        "Content-Length": str(last - first + 1), "Accept-Ranges": "bytes", "ETag": f'"{artifact.sha256}"',
        "X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment",
    }  # fmt: skip
    if part:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return Stream(
        _pieces(file, first, last),
        status_code=206 if part else 200,
        headers=headers,
        media_type="application/octet-stream",
    )


def _wanted(request: Request[Any, Any, Any], size: int) -> tuple[int, int, bool]:
    """First and last byte, and whether that is a part; a range that cannot be read asks for everything."""
    found = _RANGE.match(request.headers.get("range", ""))
    if found is None or not (found[1] or found[2]):
        return 0, size - 1, False
    if found[1]:
        first, last = int(found[1]), min(int(found[2] or size - 1), size - 1)
    else:
        first, last = max(size - int(found[2]), 0), size - 1
    if first > last:
        raise ProblemError(416, f"the payload has {size} bytes", headers={"Content-Range": f"bytes */{size}"})
    return first, last, True


async def _pieces(file: BinaryIO, first: int, last: int) -> AsyncIterator[bytes]:
    with file:
        file.seek(first)
        left = last - first + 1
        while left > 0 and (piece := await anyio.to_thread.run_sync(file.read, min(PIECE, left))):
            left -= len(piece)
            yield piece
