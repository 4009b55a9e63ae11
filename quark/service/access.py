"""Who may do what: every route names the scope that it needs, and one that names none is open to nobody."""

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from .cookies import session_of
from .keys import ServiceKey
from .lanes import KEYS, run_in
from .origin import check_origin
from .problems import ProblemError, not_there

Network = IPv4Network | IPv6Network

NO_KEY = "this needs a key that is in use: send it in the header X-Quark-API-Key, or as a bearer token"

OPEN = "open"
"""The scope of a route that needs no key, such as the one that says whether the service lives."""

MOST_ADDRESSES = 10_000


class Failures:
    """Counts refused keys by address in a minute, so that nobody can try keys by the thousand."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Seconds until this address may try again; 0 if it may now."""
        began, count = self._windows.get(address, (0.0, 0))
        left = began + 60.0 - time.monotonic()
        return left if count >= self._limit and left > 0 else 0.0

    def note(self, address: str) -> None:
        """A key from this address was refused."""
        now = time.monotonic()
        with self._lock:
            began, count = self._windows.pop(address, (now, 0))
            self._windows[address] = (now, 1) if now - began > 60.0 else (began, count + 1)
            while len(self._windows) > MOST_ADDRESSES:
                self._windows.popitem(last=False)


def key_text(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    """The key of a request, from ``X-Quark-API-Key`` or ``Authorization: Bearer``."""
    given = connection.headers.get("x-quark-api-key")
    if given:
        return given.strip()
    scheme, _, rest = connection.headers.get("authorization", "").partition(" ")
    return rest.strip() if scheme.lower() == "bearer" and rest.strip() else None


def address_of(connection: ASGIConnection[Any, Any, Any, Any], trusted: Sequence[Network]) -> str:
    """Where a request comes from: its peer, or what trusted proxies say of it; what others say counts for nothing."""
    address = connection.client.host if connection.client else "unknown"
    if not trusted:
        return address
    lines = connection.headers.getall("x-forwarded-for", [])  # a proxy may add a line of its own behind the client's
    said = [part.strip() for part in ",".join(lines).split(",") if part.strip()]
    while said and is_in(address, trusted):
        address = said.pop()
    return address


def is_in(address: str, networks: Sequence[Network]) -> bool:
    """Whether an address is in one of some networks."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in networks)


async def require_scope(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """The guard of every route; leaves the key in ``connection.state.key``.

    Raises:
        ProblemError: 401 no key or a wrong one, 403 a key that may not or a request from another site, 429 too many
            wrong keys.
    """
    text = key_text(connection)
    check_origin(connection)
    scope = handler.opt.get("scope", "admin")
    if scope == OPEN:
        return
    key = await (_key_of_text(connection, text) if text else _key_of_cookie(connection))
    if key is None:
        raise ProblemError(401, connection.app.state.no_key, headers={"WWW-Authenticate": "Bearer"})
    if not key.allows(scope):
        raise ProblemError(403, f"this needs a key with the scope {scope}; this one has {', '.join(key.scopes)}")
    connection.state.key = key


async def _key_of_text(connection: ASGIConnection[Any, Any, Any, Any], text: str) -> ServiceKey | None:
    key = connection.app.state.key_store.remembered(text)
    return key or await run_in(connection, KEYS, look_up, connection, text)


async def _key_of_cookie(connection: ASGIConnection[Any, Any, Any, Any]) -> ServiceKey | None:
    """The key of a browser that is signed in."""
    session = session_of(connection)
    if session is None:
        return None
    check_origin(connection, by_cookie=True)
    store = connection.app.state.key_store
    return store.remembered_id(session.key_id) or await run_in(connection, KEYS, store.check_id, session.key_id)


def look_up(connection: ASGIConnection[Any, Any, Any, Any], text: str) -> ServiceKey | None:
    """The key in the database. An address whose keys were refused too often is not asked about new ones for a while.

    A key that this process has seen in use works all the same: a colleague behind the same address loses nothing.
    """
    state = connection.app.state
    address = address_of(connection, state.trusted)
    wait_s = state.failures.wait_s(address)
    if wait_s and not state.key_store.was_in_use(text):
        raise ProblemError(
            429, "too many keys from this address were refused; wait before the next try",
            headers={"Retry-After": str(int(wait_s) + 1)},
        )  # fmt: skip
    key = state.key_store.check(text)
    if key is None:
        state.failures.note(address)
    return key


def check_project(key: ServiceKey, project: str) -> None:
    """Refuse a key that is limited to other projects. 404, so that it learns nothing of what there is."""
    if not key.reaches(project):
        raise not_there()
