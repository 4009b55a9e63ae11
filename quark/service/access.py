"""Who may do what: every route names the scope that it needs, and one that names none is open to nobody."""

import time
from collections import OrderedDict
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from .keys import KeyStore, ServiceKey
from .problems import ProblemError

OPEN = "open"
"""The scope of a route that needs no key, such as the one that says whether the service lives."""

MOST_ADDRESSES = 10_000


class Failures:
    """Counts refused keys by address in a minute, so that nobody can try keys by the thousand."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Seconds until this address may try again; 0 if it may now."""
        began, count = self._windows.get(address, (0.0, 0))
        left = began + 60.0 - time.monotonic()
        return left if count >= self._limit and left > 0 else 0.0

    def note(self, address: str) -> None:
        """A key from this address was refused."""
        now = time.monotonic()
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


def require_scope(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """The guard of every route; leaves the key in ``connection.state.key``.

    Raises:
        ProblemError: 401 no key or a wrong one, 403 a key that may not, 429 too many wrong ones.
    """
    scope = handler.opt.get("scope", "admin")
    if scope == OPEN:
        return
    state = connection.app.state
    address = connection.client.host if connection.client else "unknown"
    failures: Failures = state.failures
    wait_s = failures.wait_s(address)
    if wait_s:
        raise ProblemError(
            429, "too many keys were refused; wait before the next try", headers={"Retry-After": str(int(wait_s) + 1)}
        )
    text = key_text(connection)
    keys: KeyStore = state.key_store
    key = keys.check(text) if text else None
    if key is None:
        if text:
            failures.note(address)
        raise ProblemError(
            401, "this needs a key that is in use: send it as X-Quark-API-Key or as Authorization: Bearer",
            headers={"WWW-Authenticate": "Bearer"},
        )  # fmt: skip
    if not key.allows(scope):
        raise ProblemError(403, f"this needs a key with the scope {scope}; this one has {', '.join(key.scopes)}")
    connection.state.key = key


def check_project(key: ServiceKey, project: str) -> None:
    """Refuse a key that is limited to other projects. 404, so that it learns nothing of what there is."""
    if not key.reaches(project):
        raise ProblemError(404, "there is no such run or project for this key", code="run_not_found")
