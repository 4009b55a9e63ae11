"""Users and passwords in URLs, whatever their scheme; the secrets in their queries are assignments like others."""

import re

from .formats import HIDDEN
from .lazy import lazy_pattern

_START = lazy_pattern(r":(?:\\?/){1,2}")
_AUTHORITY = lazy_pattern(r"""[^\s/?#"'<>`\\,|]*+""")
_SCHEME = lazy_pattern(r"[A-Za-z][A-Za-z0-9+.\-]*\Z")
_PORT = lazy_pattern(r"\d*(?:[/?#\\]|\Z)")
_BROKEN = lazy_pattern(r"""[^\s"'<>`]*+""")
_WEB = ("http", "https", "ws", "wss", "ftp", "ftps", "grpc", "grpcs", "dav", "davs")
_FAR = 300
"""A password that itself holds a slash or a comma is looked for this far."""
_LONG_USER = 20
"""A user name of so many characters is a token, with any scheme."""
_CONTAINERS = ("abfs", "abfss", "wasb", "wasbs")


def without_users(text: str) -> str:
    """A text whose URLs have lost their passwords, and their user names where these may be tokens."""
    made: list[str] = []
    place = 0
    while start := _START.search(text, place):
        end = _end_of_user(text, start)
        if end is None:
            made.append(text[place : start.end()])
            place = start.end()
            continue
        made += (text[place : start.end()], HIDDEN)
        place = end
    return "".join(made) + text[place:]


def _end_of_user(text: str, start: re.Match[str]) -> int | None:
    """Where the ``@`` stands after a user that is to be hidden; None if there is none."""
    begin = start.end()
    if text.startswith(f"{HIDDEN}@", begin):
        return None
    authority = _AUTHORITY.match(text, begin).end()  # type: ignore[union-attr]  # it matches nothing at least
    at = text.rfind("@", begin, authority)
    if at < 0:
        return _end_of_broken_user(text, begin, authority)
    user, _, password = text[begin:at].partition(":")
    if password:
        return at
    return at if start.group().count("/") == 2 and _is_token(user, _scheme(text, start.start())) else None


def _end_of_broken_user(text: str, begin: int, authority: int) -> int | None:
    """A password with a character that would have to be escaped: ``://user:pa/ss@host``."""
    colon = text.find(":", begin, authority)
    at = text.find("@", authority, authority + _FAR)
    if colon < 0 or at < 0 or _PORT.match(text, colon + 1, authority + 1):
        return None
    return at if _BROKEN.match(text, authority, at).end() == at else None  # type: ignore[union-attr]  # as above


def _scheme(text: str, end: int) -> str:
    found = _SCHEME.search(text, max(0, end - 20), end)
    return found.group().lower() if found else ""


def _is_token(user: str, scheme: str) -> bool:
    """Whether a user name without a password may be a secret: the web's are, ``ssh://git@`` is none."""
    if scheme in _CONTAINERS or user in ("", "git"):
        return False
    return scheme.rpartition("+")[2] in _WEB or len(user) >= _LONG_USER
