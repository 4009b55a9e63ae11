"""What happens around every request: it gets an id, is timed, counted and logged, and has to keep moving."""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from ..dashboard.policy import DATA_HEADERS
from .origin import is_allowed_host
from .problems import ProblemError, answer_bytes

logger = logging.getLogger("quark.service.requests")

PIECE = 256 << 10
"""Bytes of an answer that are handed on at once: the rest waits until the client has read them."""

PIECE_S = 30.0
"""A client that has not read a piece after so long is gone: 9 KiB a second are asked for."""

CLIENT_GONE = 499
"""Counted and logged of a request whose client went away before its body was there, as nginx does: no fault of ours."""

_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}\Z")
_ALWAYS_SERVED = frozenset(("/healthz", "/readyz", "/metrics"))
_FOR_MACHINES = frozenset(("/healthz", "/readyz"))
ENDLESS = "endless_body"
"""The request's state says so where a body may take longer than ``body_timeout_s``; each part has that long then."""
HEAD_ONLY = "head_only"
"""The request's state says so where the body of the answer will not be sent."""


_DATA_HEADERS = [(name.lower().encode(), value.encode()) for name, value in DATA_HEADERS.items()]


class ClientGoneError(Exception):
    """Nobody reads the answer."""


def around(app: ASGIApp, state: Any) -> ASGIApp:
    """``app`` with everything that happens around a request; outermost, so that refused ones are counted too."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        request = _Request(scope, receive, send, state.config.body_timeout_s)
        if scope["method"] == "HEAD":  # type: ignore[typeddict-item]
            scope.setdefault("state", {})[HEAD_ONLY] = True
            scope = {**scope, "method": "GET"}  # type: ignore[assignment]
        with state.meters.open_requests.track_inprogress():
            try:
                if state.stopping and scope["path"] not in _ALWAYS_SERVED:
                    await request.refuse(ProblemError(503, "the service is stopping", headers={"Retry-After": "1"}))
                elif not _is_for_us(scope, state.config.allowed_hosts):
                    await request.refuse(_wrong_host())
                elif not _is_plain(scope):
                    await request.refuse(ProblemError(404, "there is nothing at this path"))
                else:
                    await app(scope, request.receive, request.send)
            except Exception:
                if not request.gone:  # the application may wrap ClientGoneError in an error of its own
                    raise
            finally:
                state.room.leave(scope)
                request.note(state.meters, str(scope.get("path_template") or "other"))

    return serve


def _is_for_us(scope: Any, allowed: Sequence[str]) -> bool:
    """Whether the Host header has an allowed name; what watches over the service asks for its address."""
    if not allowed or scope["path"] in _FOR_MACHINES:
        return True
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return is_allowed_host(host.decode("latin-1"), allowed)


def _wrong_host() -> ProblemError:
    return ProblemError(
        421, "the Host header names a host that this server does not answer to; open the address that it printed, or "
        "start it with --allowed-host", code="wrong_host",
    )  # fmt: skip


def _is_plain(scope: Any) -> bool:
    """Whether a path is written in its one way, so that a proxy's rule for ``/metrics`` covers all of it."""
    path: str = scope["path"]
    raw = scope.get("raw_path") or path.encode()
    if path in _ALWAYS_SERVED and raw.partition(b"?")[0] != path.encode():
        return False
    if path.startswith(("/p/", "/v/")):  # behind which names stand, slashes and all
        return True
    return "//" not in path and (path == "/" or not path.endswith("/"))


class _Request:
    """One request on its way.

    Attributes:
        gone: the client went away before its body was there, or did not read its answer and was cut off.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, body_s: float) -> None:
        self.gone = False
        self._scope = scope
        self._receive = receive
        self._send = send
        self._body_s = body_s
        self._start = time.perf_counter()
        self._body_until: float | None = None
        self._status = 0
        self._whole = False
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        self._id = given.decode() if _ID.match(given) else secrets.token_hex(8)

    async def receive(self) -> Any:
        """The next part of the body; a client whose body does not arrive in time is refused."""
        if self._whole:  # what comes now is the end of the connection, however late
            return await self._receive()
        now = asyncio.get_running_loop().time()
        if self._body_until is None or (self._scope.get("state") or {}).get(ENDLESS):
            self._body_until = now + self._body_s
        try:
            async with asyncio.timeout_at(self._body_until):
                message = await self._receive()
        except TimeoutError:
            raise ProblemError(408, f"the body did not arrive within {self._body_s:g} s") from None
        self._whole = not message.get("more_body", False)
        self.gone = message["type"] == "http.disconnect"
        return message

    async def send(self, message: Message) -> None:
        """A part of the answer, in pieces: whoever reads slowly costs little memory, and not for ever."""
        if message["type"] == "http.response.start":
            self._status = CLIENT_GONE if self.gone else message["status"]
            headers = [*message["headers"], (b"x-request-id", self._id.encode())]
            known = {name for name, _ in headers}
            headers += [header for header in _DATA_HEADERS if header[0] not in known]
            await self._pass_on({**message, "headers": headers})
            return
        if self._scope["method"] == "HEAD":  # type: ignore[typeddict-item]
            message = {**message, "body": b""}  # type: ignore[assignment, misc]
        body = message.get("body", b"")
        if len(body) > PIECE:
            view, more = memoryview(body), message.get("more_body", False)
            for at in range(0, len(body), PIECE):
                last = at + PIECE >= len(body)
                piece = bytes(view[at : at + PIECE])
                await self._pass_on({"type": "http.response.body", "body": piece, "more_body": more or not last})
        else:
            await self._pass_on(message)

    async def refuse(self, problem: ProblemError) -> None:
        """Answer with a problem, without the application."""
        body = answer_bytes(problem)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
        headers.append((b"connection", b"close"))
        await self.send({"type": "http.response.start", "status": problem.status, "headers": headers})  # type: ignore[typeddict-item]
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    def _abort(self) -> None:
        """Cut the connection, what it has not read included."""
        self.gone = True
        extensions: dict[str, Any] = self._scope.get("extensions") or {}
        abort: Callable[[], None] | None = extensions.get("quark.abort", {}).get("abort")
        if abort is not None:
            abort()

    def note(self, meters: Any, route: str) -> None:
        """Count the request, and write its line: which route it was, never what it held."""
        seconds = time.perf_counter() - self._start
        method = self._scope["method"] if len(self._scope["method"]) < 10 else "other"  # type: ignore[typeddict-item]
        meters.served(route, method, self._status, seconds)
        if logger.isEnabledFor(logging.INFO):
            key = (self._scope.get("state") or {}).get("key")
            logger.info("request", extra={"quark": {
                "id": self._id, "method": method, "route": route, "status": self._status,
                "ms": round(seconds * 1e3, 2), "key": getattr(key, "id", None),
            }})  # fmt: skip

    async def _pass_on(self, message: Any) -> None:
        try:
            async with asyncio.timeout(PIECE_S):
                await self._send(message)
        except TimeoutError:
            self._abort()
            await asyncio.sleep(0)  # until the server knows that the connection is gone, so that it logs no error
            raise ClientGoneError from None
