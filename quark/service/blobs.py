"""The payloads of artifacts: raw bytes in and out, kept once by their content."""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import msgspec
from litestar import Request, get, put
from litestar.response import Stream

from ..core.reader import RecordFilter
from .access import check_project
from .parameters import Digest, RecordId, RunId
from .problems import ProblemError
from .runs import project_of, readable_run, store_of

PIECE = 1 << 20
_RANGE = re.compile(r"bytes=(\d+)-(\d*)\Z")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)\Z")


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

    def complete(self, digest: str) -> None:
        """Check the digest of what has arrived, and put it in its place.

        Raises:
            ProblemError: 422, the bytes are not those of the digest; they are deleted.
        """
        partial = self.partial(digest)
        with partial.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        if found != digest:
            partial.unlink()
            raise ProblemError(
                422, f"the payload has the SHA-256 {found}, not {digest}; send it again", code="wrong_digest"
            )
        target = self.path(digest)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.replace(partial, target)


def _files(request: Request[Any, Any, Any]) -> BlobFiles:
    return BlobFiles(request.app.state.namespaces.files(request.headers.get("x-quark-storage-dir")))


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


@put("/api/v1/runs/{run_id:str}/blobs/{digest:str}", status_code=200, opt={"scope": "write"})
async def upload(request: Request[Any, Any, Any], run_id: RunId, digest: Digest) -> Held:
    """Send a payload, or with ``Content-Range: bytes first-last/total`` the next part of one.

    A part that does not begin where the held ones end is refused with 409 and ``held``.
    """
    await anyio.to_thread.run_sync(_check_writable, request, run_id)
    files, limit = _files(request), request.app.state.config.max_artifact
    before = files.held(digest)
    if before.complete:
        return before
    first, total = _part(request)
    if total is not None and total > limit:
        raise ProblemError(413, f"an artifact may have {limit} bytes, this one has {total}", limit=limit)
    if first not in (0, before.size):
        raise ProblemError(409, f"the part begins at {first}, and {before.size} bytes are held", held=before.size)
    size = await _receive(request, files.partial(digest), first, limit)
    if total is not None and size < total:
        return Held(size, False)
    await anyio.to_thread.run_sync(files.complete, digest)
    return Held(size, True)


def _part(request: Request[Any, Any, Any]) -> tuple[int, int | None]:
    text = request.headers.get("content-range")
    if text is None:
        return 0, None
    found = _CONTENT_RANGE.match(text)
    if found is None or not int(found[1]) <= int(found[2]) < int(found[3]):
        raise ProblemError(400, f"Content-Range is 'bytes first-last/total', got {text[:80]!r}", field="Content-Range")
    return int(found[1]), int(found[3])


async def _receive(request: Request[Any, Any, Any], path: Path, first: int, limit: int) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    size = first
    idle_s = request.app.state.config.body_timeout_s
    with path.open("r+b" if first else "wb") as file:
        file.seek(first)
        file.truncate()
        stream = request.stream().__aiter__()
        while True:
            try:
                piece = await asyncio.wait_for(anext(stream), idle_s)
            except StopAsyncIteration:
                return size
            except TimeoutError:
                raise ProblemError(408, f"nothing arrived for {idle_s:g} s; {size} bytes are held") from None
            size += len(piece)
            if size > limit:
                raise ProblemError(413, f"an artifact may have {limit} bytes; this one is larger", limit=limit)
            await anyio.to_thread.run_sync(file.write, piece)


@get("/api/v1/runs/{run_id:str}/artifacts/{artifact_id:str}/payload", opt={"scope": "read"}, sync_to_thread=True)
def download(request: Request[Any, Any, Any], run_id: RunId, artifact_id: RecordId) -> Stream:
    """The payload of an artifact, or with ``Range: bytes=first-last`` a part of it."""
    readable_run(request, run_id)
    found = store_of(request).records(run_id, "artifact", RecordFilter())
    artifact = next((record for record in found if record.id == artifact_id), None)
    if artifact is None:
        raise ProblemError(404, f"run {run_id} has no artifact {artifact_id!r}", code="artifact_not_found")
    path = _files(request).path(artifact.sha256)
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise ProblemError(404, "the payload of this artifact has not arrived", code="payload_not_found") from None
    first, last, part = _wanted(request, size)
    headers = {
        "Content-Length": str(last - first + 1), "Accept-Ranges": "bytes", "ETag": f'"{artifact.sha256}"',
        "X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment",
    }  # fmt: skip
    if part:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return Stream(
        _pieces(path, first, last),
        status_code=206 if part else 200,
        headers=headers,
        media_type="application/octet-stream",
    )


def _wanted(request: Request[Any, Any, Any], size: int) -> tuple[int, int, bool]:
    text = request.headers.get("range")
    found = _RANGE.match(text) if text else None
    if found is None:
        return 0, size - 1, False
    first, last = int(found[1]), min(int(found[2] or size - 1), size - 1)
    if first > last:
        raise ProblemError(416, f"the payload has {size} bytes", headers={"Content-Range": f"bytes */{size}"})
    return first, last, True


async def _pieces(path: Path, first: int, last: int) -> AsyncIterator[bytes]:
    pieces = _read(path, first, last)
    while piece := await anyio.to_thread.run_sync(next, pieces, b""):
        yield piece


def _read(path: Path, first: int, last: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(first)
        left = last - first + 1
        while left > 0 and (piece := file.read(min(PIECE, left))):
            left -= len(piece)
            yield piece
