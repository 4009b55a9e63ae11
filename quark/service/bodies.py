"""Reads the body of a request within limits of size and time, unpacked as it comes."""

import re
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

from litestar import Request

from .config import ServiceConfig
from .problems import ProblemError

_GZIP_PIECE, _ZSTD_PIECE = 4096, 256
"""Bytes that are unpacked at once: they become 4 and 8 MiB at most, which are counted before the next ones follow."""

Take = Callable[[int], None]
"""Takes so many bytes of the memory of all requests, or raises ProblemError."""


async def read_body(request: Request[Any, Any, Any], config: ServiceConfig) -> bytes:
    """The whole body as it was sent, within limits of size; its room is taken until the request ends.

    Raises:
        ProblemError: 413 too large; 503 no room for it now.
    """
    declared = request.headers.get("content-length", "0")
    if re.fullmatch(r"[0-9]{1,18}", declared) is None or int(declared) > config.max_body:
        raise _too_large(config.max_body)
    room = request.app.state.room
    made, size = BytesIO(), 0  # hands its buffer out without a copy
    async for piece in request.stream():
        size += len(piece)
        if size > config.max_body:
            raise _too_large(config.max_body)
        room.take(request.scope, len(piece), body=True)
        made.write(piece)
    return made.getvalue()


def unpacked(body: bytes, encoding: str, limit: int, take: Take) -> bytes:
    """A body without its gzip or zstd.

    Args:
        take: called with the size of each unpacked piece before the next one is unpacked.

    Raises:
        ProblemError: 413 too large when unpacked; 415 another encoding; 400 damaged; what ``take`` raises.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        if len(body) > limit:
            raise _too_large(limit)
        return body
    if encoding == "gzip":
        return _unpack("gzip", zlib.decompressobj(wbits=31), zlib.error, _GZIP_PIECE, body, limit, take)
    if encoding == "zstd":
        return _unpack_zstd(body, limit, take)
    raise ProblemError(
        415, f"bodies may be packed with gzip or zstd, got {encoding!r}", headers={"Accept-Encoding": "gzip, zstd"}
    )


def _unpack(
    name: str, decoder: Any, error: type[Exception], size_at_once: int, body: bytes, limit: int, take: Take
) -> bytes:
    """Unpack one packed stream in small pieces: a bomb is noticed while it is still small."""
    made, size = BytesIO(), 0
    try:
        for start in range(0, len(body), size_at_once):
            ended = decoder.eof
            piece = b"" if ended else decoder.decompress(body[start : start + size_at_once])
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            take(len(piece))
            made.write(piece)
            if ended or decoder.unused_data:
                raise ProblemError(400, f"the body goes on behind the end of its {name} data", code="damaged")
    except error as fault:
        raise ProblemError(400, f"the body is no {name} ({fault})", code="damaged") from fault
    if not decoder.eof:
        raise ProblemError(400, f"the body breaks off within its {name} data", code="damaged")
    return made.getvalue()


def _unpack_zstd(body: bytes, limit: int, take: Take) -> bytes:
    """Unpack a zstd stream. Its window is memory as well, however little of it is used.

    A frame that says how long it is when unpacked, as most do, is unpacked at once into so many bytes and no more.
    """
    import zstandard

    try:
        frame = zstandard.get_frame_parameters(body)
    except zstandard.ZstdError as fault:
        raise ProblemError(400, f"the body is no zstd ({fault})", code="damaged") from fault
    window, size = frame.window_size, frame.content_size
    if window > limit:
        raise ProblemError(
            413, f"the zstd data needs a window of {window} bytes, at most {limit} are allowed; use a lower level",
            limit=limit,
        )  # fmt: skip
    take(window)
    if 0 < size <= limit:
        take(size)
        try:
            return zstandard.ZstdDecompressor(max_window_size=limit).decompress(body, allow_extra_data=False)
        except zstandard.ZstdError as fault:
            raise ProblemError(400, f"the body is no zstd ({fault})", code="damaged") from fault
    decoder = zstandard.ZstdDecompressor(max_window_size=limit).decompressobj()
    return _unpack("zstd", decoder, zstandard.ZstdError, _ZSTD_PIECE, body, limit, take)


def _too_large(limit: int) -> ProblemError:
    return ProblemError(413, f"the body is larger than {limit} bytes; send less at once", limit=limit)
