"""The payloads of artifacts over HTTP: raw bytes in and out, whole or in parts."""

import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, BinaryIO

from anyio import CancelScope
from litestar import Request, get, put
from litestar.response import Stream

from ..core.reader import RecordFilter
from ..storage.belonging import RunRow
from .lanes import FILES, in_lane, run_in
from .parameters import Digest, RecordId, RunId
from .payloads import BlobFiles, Held, owners_of
from .problems import ProblemError
from .requests import ENDLESS, HEAD_ONLY
from .runs import found_run, namespace_of

PIECE = 64 << 10
"""Bytes of a payload that are read at once."""

IN_FLIGHT = 4 * PIECE
"""What a transfer holds at once: a piece as it is read, as it is handed on, and in the buffers of its connection."""

SLOWEST = 4096
"""Bytes a second that an upload has to make, on the whole."""

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})\Z")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})\Z")


def _files(request: Request[Any, Any, Any], row: RunRow) -> BlobFiles:
    return BlobFiles(request.app.state.namespaces.files(namespace_of(request)), owners_of(row))


def _found_files(request: Request[Any, Any, Any], run_id: str) -> BlobFiles:
    return _files(request, found_run(request, run_id)[1])


@get("/api/v1/runs/{run_id:str}/blobs/{digest:str}", opt={"scope": "write"})
@in_lane(FILES)
def held(request: Request[Any, Any, Any], run_id: RunId, digest: Digest) -> Held:
    """How much of a payload is held already: an upload that broke off goes on from there."""
    return _found_files(request, run_id).held(digest)


@put(
    "/api/v1/runs/{run_id:str}/blobs/{digest:str}", status_code=200, opt={"scope": "write"},
    request_max_body_size=None,
)  # fmt: skip
async def upload(request: Request[Any, Any, Any], run_id: RunId, digest: Digest) -> Held:
    """Send a payload, or with ``Content-Range: bytes first-last/total`` the next part of one.

    A part that does not begin where the held ones end is refused with 409 and ``held``. What other projects have sent
    counts for nothing here: a payload is had by whoever has sent it whole.
    """
    request.app.state.room.take(request.scope, IN_FLIGHT)
    files = await run_in(request, FILES, _found_files, request, run_id)
    limit = request.app.state.config.max_artifact
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise ProblemError(
            415, f"a payload is sent as it is, got one packed with {encoding[:80]!r}; leave out Content-Encoding"
        )
    first, stop, total = _part(request)
    if max(total or 0, _declared(request)) > limit:
        raise ProblemError(413, f"an artifact may have {limit} bytes, this one is larger", limit=limit)
    file = await run_in(request, FILES, _begun, files, digest, first)
    if isinstance(file, Held):
        return file
    async with _closing(request, file):
        size = await _receive(request, file, first, limit if stop is None else stop)
        if total is not None and size < total:
            return Held(size, False)
        await run_in(request, FILES, files.complete, digest, file)
    return Held(size, True)


def _begun(files: BlobFiles, digest: str, first: int) -> BinaryIO | Held:
    """The file that an upload is written to from ``first`` on; or what is held, if that is all of it."""
    before = files.held(digest)
    if before.complete:
        return before
    file = files.arriving(digest)
    try:
        before = files.held(digest)  # another one may have ended meanwhile
        if not before.complete and first not in (0, before.size):
            raise ProblemError(409, f"the part begins at {first}, and {before.size} bytes are held", held=before.size)
        if not before.complete:
            _cut(file, first)
            return file
    except BaseException:
        file.close()
        raise
    file.close()
    return before


@asynccontextmanager
async def _closing(request: Request[Any, Any, Any], file: BinaryIO) -> AsyncIterator[None]:
    """Close a file in the end, in the lane of files: a disk may be slow."""
    try:
        yield
    finally:
        with CancelScope(shield=True):
            await run_in(request, FILES, file.close)


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
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            await run_in(request, FILES, _cut, file, first)
            raise ProblemError(413, f"the part was to end at {most} bytes; it is larger", limit=most)
        if time.monotonic() - start > idle_s + (size - first) / SLOWEST:
            raise ProblemError(408, f"less than {SLOWEST} bytes arrived a second; {size - len(piece)} bytes are held")
        await run_in(request, FILES, _write, file, piece)
    return size


def _cut(file: BinaryIO, size: int) -> None:
    file.truncate(size)
    file.seek(size)


def _write(file: BinaryIO, piece: bytes) -> None:
    """All of it: an unbuffered file may take less than it is given."""
    view = memoryview(piece)
    while view:
        view = view[file.write(view) :]


@get("/api/v1/runs/{run_id:str}/artifacts/{artifact_id:str}/payload", opt={"scope": "read"})
@in_lane(FILES)
def download(request: Request[Any, Any, Any], run_id: RunId, artifact_id: RecordId) -> Stream:
    """The payload of an artifact, or with ``Range: bytes=first-last`` a part of it."""
    store, row = found_run(request, run_id)
    found = store.records(row.id, "artifact", RecordFilter(where={"id": artifact_id}, limit=1))
    artifact = next(found, None)
    if artifact is None:
        raise ProblemError(404, f"the run has no artifact {artifact_id!r}", code="artifact_not_found")
    try:
        file = request.app.state.namespaces.payload(namespace_of(request), row, artifact)
    except FileNotFoundError:
        raise ProblemError(404, "the payload of this artifact has not arrived", code="payload_not_found") from None
    size = os.fstat(file.fileno()).st_size
    try:
        first, last, part = _wanted(request, size)
        request.app.state.room.take(request.scope, IN_FLIGHT)
        file.seek(first)
    except BaseException:
        file.close()
        raise
    headers = {
        "Content-Length": str(last - first + 1), "Accept-Ranges": "bytes", "ETag": f'"{artifact.sha256}"',
        "X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment",
    }  # fmt: skip
    if part:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    if request.scope["state"].get(HEAD_ONLY):
        first = last + 1  # there is nothing to be read
    return Stream(
        _pieces(request, file, first, last),
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


async def _pieces(request: Request[Any, Any, Any], file: BinaryIO, first: int, last: int) -> AsyncIterator[bytes]:
    async with _closing(request, file):
        left = last - first + 1
        while left > 0 and (piece := await run_in(request, FILES, file.read, min(PIECE, left))):
            left -= len(piece)
            yield piece
