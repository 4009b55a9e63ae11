"""The cookie of a browser that is signed in.

It names the key and the time until which it is good, sealed as cursors are: it holds neither the key nor anything that
only one process knows, so that every worker and replica understands it. A revoked key ends the sessions begun with it.
"""

import time
from dataclasses import dataclass
from typing import Any

from litestar.connection import ASGIConnection

from .cursors import Cursors
from .problems import ProblemError

SERVICE_LASTS_S = 30 * 86400
"""So long a browser stays signed in to a service, in seconds."""

PAGE_LASTS_S = 2 * 86400
"""So long it stays signed in to a `quark ui`: each start leaves a cookie of its own, and they must not pile up."""

_ABOUT = "session"


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser: the id of the key that it signed in with, and until when (seconds since 1970)."""

    key_id: str
    until: int


def cookie_name(cursors: Cursors) -> str:
    """The name of a service's cookie. Cookies know no ports: services on one machine are told apart by their names."""
    return f"quark_{cursors.seal(b'', 'cookie').hex()[:12]}"


def sealed(cursors: Cursors, session: Session) -> str:
    """The value of the cookie of a session."""
    return cursors.seal(f"{session.key_id} {session.until}".encode(), _ABOUT).hex()


def session_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Session | None:
    """The session that a request's cookie stands for; None without one that is good."""
    cursors = connection.app.state.cursors
    value = connection.cookies.get(cookie_name(cursors))
    if not value:
        return None
    try:
        key_id, until = cursors.open(bytes.fromhex(value), _ABOUT).decode().split()
    except (ValueError, ProblemError):
        return None
    return Session(key_id, int(until)) if int(until) > time.time() else None
