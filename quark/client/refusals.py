"""What a service answers instead of what was asked for, as exceptions that say what to do and when."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import orjson

from ..core.retry_after import retry_after_s
from ..errors import InvalidRunStateError, RunNotFoundError, SessionStoreError

LONGEST_WAIT_S = 60.0
_TRANSIENT = frozenset((408, 425, 429, 500, 502, 503, 504, 507))
_BY_CODE = {"run_not_found": RunNotFoundError, "invalid_run_state": InvalidRunStateError}
_RUN = re.compile(r"/runs/([^/]+)")
_REMEDIES = {
    401: "; set QUARK_USER_KEY to a key of this service, the records wait until then",
    403: "; use a key that may do this, the records wait until then",
    407: "; the proxy wants to know who asks: put the user into the proxy's address, or name the service in NO_PROXY",
}


class ServiceUnavailableError(SessionStoreError):
    """The service could not be reached or asks to be asked later; ``retry_after_s`` says when."""

    def __init__(self, message: str, *, status: int | None = None, retry_after_s: float = 0.0) -> None:
        super().__init__(message, status=status, code="unavailable")
        self.retry_after_s = retry_after_s


class RefusedError(SessionStoreError):
    """The service does not take what was sent; ``field`` and ``index`` say what of it, ``detail`` all that was told.

    ``retry_after_s`` is long where only a person can change the answer: another key, another address.
    """

    def __init__(self, message: str, *, status: int, code: str, detail: Mapping[str, Any]) -> None:
        super().__init__(message, status=status, code=code)
        self.detail = dict(detail)
        self.field: str | None = detail.get("field")
        self.index: int | None = detail.get("index")
        self.retry_after_s = LONGEST_WAIT_S if status in (401, 403, 404, 407, 410) else 0.0


def refusal(status: int, headers: Mapping[str, str], body: bytes, url: str, path: str = "") -> SessionStoreError:
    """The exception for an answer with a status of 300 or more to a request for ``path``."""
    try:
        detail = orjson.loads(body)["error"]
        message, code = str(detail["message"]), str(detail["code"])
    except (ValueError, KeyError, TypeError):
        detail, message, code = {}, f"no Quark service answers there (status {status})", "not_quark"
        if 300 <= status < 400:
            message = f"it points elsewhere (status {status}), which is not followed; set QUARK_PERSISTENCE_URL to it"
    told = f"the Quark service at {url} said {status}: {printable(message)}{_REMEDIES.get(status, '')}"
    if status in _TRANSIENT:
        pause_s = retry_after_s(headers.get("retry-after"), LONGEST_WAIT_S)
        return ServiceUnavailableError(told, status=status, retry_after_s=pause_s)
    if code == "run_not_found" and (asked := _RUN.match(path)):  # the service names no id: it tells no two runs apart
        known = printable(unquote(asked[1]))
        message = f"no run has the id {known!r} there, or this key does not reach it; list them with: quark runs"
    if code in _BY_CODE:
        return _BY_CODE[code](printable(message), status=status, code=code)
    return RefusedError(told, status=status, code=code, detail=detail if isinstance(detail, dict) else {})


def json_of(body: bytes, url: str) -> Any:
    """An answer as JSON.

    Raises:
        ServiceUnavailableError: it is something else, as of a captive portal or a connection that was cut.
    """
    try:
        return orjson.loads(body)
    except ValueError as error:
        raise ServiceUnavailableError(
            f"what answered at {url} sent no JSON ({printable(str(error))}); is QUARK_PERSISTENCE_URL right?"
        ) from error


def printable(text: str) -> str:
    """Text of a stranger for a terminal: no control characters, not endless."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:500]
