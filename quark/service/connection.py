"""A connection that has to keep moving: half-sent headers, unread answers and endless bodies are cut off.

uvicorn has deadlines for idle connections only; whoever sends a header a minute would keep a socket for ever.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S = 10.0
"""A request's headers must have arrived after so long, counted from its first byte or from the connection."""

REST_S = 10.0
"""So long an answered client may go on sending, or leave the end of its answer unread."""

MOST_HEAD = 64 << 10
"""Bytes of headers, and again of what stands around a body: chunk sizes, chunk extensions, trailers."""

MOST_PIPELINED = 16
"""Requests that may wait on a connection while one is served."""

_PROBLEM = b'{"error":{"code":"too_large","message":"headers or trailers are larger than 64 KiB; send fewer"}}'
_TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(_PROBLEM), _PROBLEM)
)


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP connection with a deadline for headers, a limit of their size, and an end for what is left.

    Trailers count like headers and are dropped: a header that arrives after the key was checked must change nothing.
    """

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for headers."""
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = None
        self._overhead = 0
        self._began = self._in_head = self._in_message = False
        self._cut_after(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._cut_after(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, but neither headers nor trailers without end."""
        self._overhead += len(data)  # until a body goes on, see on_body
        super().data_received(data)
        if (self._in_head or self._in_message) and self._overhead > MOST_HEAD and not self.transport.is_closing():
            self._refuse()

    def on_message_begin(self) -> None:
        """The first byte of a request is here, so the others have to follow."""
        super().on_message_begin()
        self.scope["extensions"] = {"quark.abort": {"abort": self.transport.abort}}  # type: ignore[typeddict-item]
        self._began = self._in_head = self._in_message = True
        self._overhead = 0
        self._cut_after(HEAD_S)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; a trailer is dropped."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The headers are here."""
        self._in_head = False
        self._overhead = 0
        self._cut_after(None)
        if self.transport.is_closing():
            return
        if sum(len(name) + len(value) for name, value in self.headers) + len(self.url) > MOST_HEAD:
            self._refuse()
        elif len(self.pipeline) >= MOST_PIPELINED:
            self.transport.abort()
        else:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is here."""
        self._in_message = False
        self._cut_after(None)
        if self.cycle is not None:
            super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._overhead = 0
        if not self.transport.is_closing():
            super().on_body(body)

    def on_response_complete(self) -> None:
        """The answer is written: the client has to take it, and to end what it still sends."""
        super().on_response_complete()
        if self._in_message or self.transport.get_write_buffer_size():
            self._cut_after(REST_S)

    def timeout_keep_alive_handler(self) -> None:
        """An idle connection ends; one whose client does not read ends at once."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _refuse(self) -> None:
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()  # a second answer inside the first one would be read as its body
            return
        self.transport.write(_TOO_LONG)
        self.transport.close()
        self._cut_after(REST_S)

    def _cut_after(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._cut)

    def _cut(self) -> None:
        if not self._began or self._in_message or self.transport.get_write_buffer_size():
            self.transport.abort()
