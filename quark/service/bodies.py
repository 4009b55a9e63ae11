"""Reads the body of a request within limits of size and time, unpacked as it comes."""

import re
import zlib
from collections.abc import Callable
from typing import Any

from litestar import Request

from .config import ServiceConfig
from .problems import ProblemError

_PIECE = 4096
"""Bytes that are unpacked at once: what they can become is looked at before the next ones are."""


async def read_body(request: Request[Any, Any, Any], config: ServiceConfig) -> bytes:
    """The whole body as it was sent, within limits of size; its room is taken until the request ends.

    Raises:
        ProblemError: 413 too large; 503 no room for it now.
    """
    declared = request.headers.get("content-length", "0")
    if re.fullmatch(r"[0-9]{1,18}", declared) is None or int(declared) > config.max_body:
        raise _too_large(config.max_body)
    room = request.app.state.room
    made = bytearray()
    async for piece in request.stream():
        if len(made) + len(piece) > config.max_body:
            raise _too_large(config.max_body)
        room.take(request.scope, len(piece))
        made += piece
    return bytes(made)


def unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """A body without its gzip or zstd.

    Raises:
        ProblemError: 413 too large when unpacked; 415 another encoding; 400 damaged.
    """
    unpack = _unpacker(encoding.strip().lower())
    made = bytearray()
    unpack(body, made, limit)
    return bytes(made)


Unpack = Callable[[bytes, bytearray, int], None]


def _unpacker(encoding: str) -> Unpack:
    if encoding in ("", "identity"):
        return _plain
    if encoding == "gzip":
        return _Packed("gzip", zlib.decompressobj(wbits=31), zlib.error)
    if encoding == "zstd":
        return _zstd()
    raise ProblemError(
        415, f"bodies may be packed with gzip or zstd, got {encoding!r}", headers={"Accept-Encoding": "gzip, zstd"}
    )


def _plain(piece: bytes, made: bytearray, limit: int) -> None:
    made += piece
    if len(made) > limit:
        raise _too_large(limit)


class _Packed:
    """One packed stream, unpacked in small pieces: a bomb is noticed while it is still small."""

    def __init__(self, name: str, decoder: Any, error: type[Exception]) -> None:
        self._name = name
        self._decoder = decoder
        self._error = error

    def __call__(self, piece: bytes, made: bytearray, limit: int) -> None:
        try:
            for at in range(0, len(piece), _PIECE):
                ended = self._decoder.eof
                made += b"" if ended else self._decoder.decompress(piece[at : at + _PIECE])
                if len(made) > limit:
                    raise _too_large(limit)
                if ended or self._decoder.unused_data:
                    raise ProblemError(400, f"the body goes on behind the end of its {self._name} data", code="damaged")
        except self._error as error:
            raise ProblemError(400, f"the body is no {self._name} ({error})", code="damaged") from error
        if not self._decoder.eof:
            raise ProblemError(400, f"the body breaks off within its {self._name} data", code="damaged")


def _zstd() -> _Packed:
    import zstandard

    return _Packed("zstd", zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj(), zstandard.ZstdError)


def _too_large(limit: int) -> ProblemError:
    return ProblemError(413, f"the body is larger than {limit} bytes; send less at once", limit=limit)
