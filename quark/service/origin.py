"""Which sites a request may come from: a browser sends along what any page asks it to, and says which page that was."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection

from .problems import ProblemError

_HARMLESS = frozenset(("GET", "HEAD", "OPTIONS"))


def host_name(header: str) -> str:
    """The name in a Host header, without its port."""
    host = header.strip().lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def is_allowed_host(header: str, allowed: Sequence[str]) -> bool:
    """Whether a server that answers to these names only is meant. No names: it answers to any.

    A page of a stranger whose own name leads to this machine (DNS rebinding) cannot send another Host than that name.
    """
    return not allowed or host_name(header) in allowed


def check_origin(connection: ASGIConnection[Any, Any, Any, Any], *, by_cookie: bool = False) -> None:
    """Refuse what another site has a browser send, as far as it may change anything.

    Args:
        by_cookie: whether a cookie signs the request in, which a browser sends along by itself; then a request that
            says of no origin is refused as well.

    Raises:
        ProblemError: 403, code ``cross_origin``.
    """
    if connection.scope["method"] in _HARMLESS:  # type: ignore[typeddict-item]
        return
    origin = connection.headers.get("origin")
    if origin is None and not by_cookie:
        return
    host = connection.headers.get("host", "").strip().lower()
    if origin is None or not _is_same(origin, host):
        raise ProblemError(
            403, "this request comes from another site than the service's own pages, or does not say where it comes "
            "from; programs send a key in X-Quark-API-Key instead of a cookie", code="cross_origin",
        )  # fmt: skip


def _is_same(origin: str, host: str) -> bool:
    """Whether an origin is the host that was asked; a proxy may have ended the encryption, so its scheme is not."""
    try:
        parts = urlsplit(origin.strip().lower())
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(host) and parts.netloc == host
