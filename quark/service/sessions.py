"""Signing in with a browser: a key, or the token of a link that works once, becomes a cookie closed to scripts."""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.datastructures import Cookie
from litestar.params import JSONBody

from ..records.base import format_timestamp
from .access import OPEN, is_in, look_up
from .cookies import Session, cookie_name, sealed, session_of
from .keys import ServiceKey
from .lanes import KEYS, in_lane, run_in
from .problems import ProblemError

PATH = "/api/v1/session"


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    """What signs in: a key of the service, or the token of the link that `quark ui` has printed."""

    key: str | None = None
    token: str | None = None


class SignedIn(msgspec.Struct):
    """Who is signed in, and what the key allows. ``until`` is null for a key that was sent with the request."""

    name: str
    scopes: tuple[str, ...]
    projects: tuple[str, ...] | None
    until: str | None = None


class Tokens:
    """Tokens that sign in once each.

    Args:
        on_use: called with what happened when one was tried: True, it signed in; False, it did not.
    """

    def __init__(self, on_use: Callable[[bool], object] = bool) -> None:
        self._on_use = on_use
        self._lock = threading.Lock()
        self._open: set[bytes] = set()

    def new(self) -> str:
        """A further token."""
        text = secrets.token_urlsafe(32)
        with self._lock:
            self._open.add(_digest(text))
        return text

    def take(self, text: str) -> bool:
        """Whether a token was good; it no longer is."""
        with self._lock:
            known = _digest(text) in self._open
            self._open.discard(_digest(text))
        self._on_use(known)
        return known


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


@post(PATH, status_code=200, opt={"scope": OPEN})
async def sign_in(request: Request[Any, Any, Any], data: JSONBody[SignIn]) -> Response[SignedIn]:
    """Begin a session: the answer sets a cookie, which then stands for the key.

    It lasts 30 days at a service, and two at `quark ui`.
    """
    key = await run_in(request, KEYS, _key_of, request, data)
    lasts_s: int = request.app.state.session_s
    until = int(time.time()) + lasts_s
    cookie = _cookie(request, sealed(request.app.state.cursors, Session(key.id, until)), lasts_s)
    content = SignedIn(key.name, key.scopes, key.projects, format_timestamp(until * 10**9))
    return Response(content, cookies=[cookie], headers={"Cache-Control": "no-store"})


@get(PATH, opt={"scope": "read"}, sync_to_thread=False)
def read_session(request: Request[Any, Any, Any]) -> SignedIn:
    """Who is signed in."""
    key, session = request.state.key, session_of(request)
    until = format_timestamp(session.until * 10**9) if session and session.key_id == key.id else None
    return SignedIn(key.name, key.scopes, key.projects, until)


@delete(PATH, opt={"scope": "read"}, status_code=200)
@in_lane(KEYS)
def sign_out(request: Request[Any, Any, Any]) -> Response[dict[str, bool]]:
    """Have the browser forget its cookie. To end all sessions of a key revoke it."""
    return Response({"signed_out": True}, cookies=[_cookie(request, "", 0)])


def _key_of(request: Request[Any, Any, Any], data: SignIn) -> ServiceKey:
    state = request.app.state
    if data.token is not None and state.tokens is not None:
        if state.tokens.take(data.token):
            return state.page_key
        raise ProblemError(
            401, "this link was used already or is of an earlier `quark ui`; open the one that it printed last",
            code="token_used",
        )  # fmt: skip
    key = look_up(request, data.key.strip()) if data.key else None
    if key is None:
        raise ProblemError(401, "this is no key that is in use; ask whoever runs the service for one")
    return key


def _cookie(request: Request[Any, Any, Any], value: str, lasts_s: int) -> Cookie:
    name = cookie_name(request.app.state.cursors)
    return Cookie(
        name, value=value, path="/", max_age=lasts_s, httponly=True, samesite="strict",
        secure=_is_encrypted(request),
    )  # fmt: skip


def _is_encrypted(request: Request[Any, Any, Any]) -> bool:
    """Whether the browser asks over TLS, as far as it or a trusted proxy says so."""
    if request.scope["scheme"] == "https":
        return True
    peer = request.client.host if request.client else "unknown"
    said = request.headers.get("x-forwarded-proto", "").strip().lower()
    return said == "https" and is_in(peer, request.app.state.trusted)
