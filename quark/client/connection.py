"""One service as it is reached: address, key, namespace; answers as JSON, refusals as exceptions."""

import os
import random
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import orjson

from ..errors import ConfigurationError, InvalidRunStateError, RunNotFoundError, SessionStoreError
from ..records.grammar import shown
from ..settings import setting

if TYPE_CHECKING:
    import httpx

AUTH_MODES = ("header", "bearer")
DEFAULT_NAMESPACE = "default"
TRIES = 4
LONGEST_WAIT_S = 60.0
MOST_ANSWER = 256 << 20
"""Bytes of one answer that are taken; a service that sends more is not ours."""

_TRANSIENT = frozenset((408, 425, 429, 500, 502, 503, 504))
_BY_CODE = {"run_not_found": RunNotFoundError, "invalid_run_state": InvalidRunStateError}


class ServiceUnavailableError(SessionStoreError):
    """The service could not be reached or asks to be asked later; ``retry_after_s`` says when."""

    def __init__(self, message: str, *, status: int | None = None, retry_after_s: float = 0.0) -> None:
        super().__init__(message, status=status, code="unavailable")
        self.retry_after_s = retry_after_s


class RefusedError(SessionStoreError):
    """The service does not take what was sent; ``field`` and ``index`` say what of it, ``detail`` all that was told."""

    def __init__(self, message: str, *, status: int, code: str, detail: Mapping[str, Any]) -> None:
        super().__init__(message, status=status, code=code)
        self.detail = dict(detail)
        self.field: str | None = detail.get("field")
        self.index: int | None = detail.get("index")


def service_is_configured() -> bool:
    """Whether runs live in a service: its address or a key for it is set."""
    return bool(os.environ.get("QUARK_PERSISTENCE_URL", "").strip() or os.environ.get("QUARK_USER_KEY", "").strip())


def namespace_of(storage_dir: object) -> str:
    """The name of the storage namespace that a ``storage_dir`` stands for at a service; nothing is read there.

    The directory as it was given, else QUARK_STORAGE_DIR, else ``default``, so that runs of several machines meet.
    """
    text = setting("QUARK_STORAGE_DIR") if storage_dir is None else os.fspath(storage_dir)  # type: ignore[arg-type]
    if not text:
        return DEFAULT_NAMESPACE
    plain = os.path.normpath(os.path.expanduser(str(text)))
    if plain == ".":
        return DEFAULT_NAMESPACE
    return os.path.abspath(plain) if plain.startswith("..") else plain


class Connection:
    """Requests to a service. Safe to use from any thread; keeps its connections open.

    Args:
        url: address of the service; QUARK_PERSISTENCE_URL if None.
        user_key: the key; QUARK_USER_KEY if None.
        auth_mode: ``header`` (X-Quark-API-Key) or ``bearer``; QUARK_PERSISTENCE_AUTH_MODE if None.
        timeout_s: seconds that a request may take; QUARK_PERSISTENCE_TIMEOUT_SECONDS if None.
        namespace: the storage namespace.
        transport, clock, rng: for tests: an httpx transport, the clock, the source of randomness.

    Raises:
        ConfigurationError: an address, mode or time that cannot be used.
    """

    def __init__(
        self, url: str | None = None, *, user_key: str | None = None, auth_mode: str | None = None,
        timeout_s: float | None = None, namespace: str = DEFAULT_NAMESPACE, transport: Any = None, clock: Any = time,
        rng: random.Random | None = None,
    ) -> None:  # fmt: skip
        self.url = _checked_url(url or setting("QUARK_PERSISTENCE_URL"))
        self.namespace = namespace
        self._key = user_key if user_key is not None else setting("QUARK_USER_KEY")
        self._mode = auth_mode or setting("QUARK_PERSISTENCE_AUTH_MODE")
        if self._mode not in AUTH_MODES:
            raise ConfigurationError(f"auth_mode must be one of {', '.join(AUTH_MODES)}, got {shown(self._mode)}")
        self._timeout_s = setting("QUARK_PERSISTENCE_TIMEOUT_SECONDS") if timeout_s is None else timeout_s
        if not 0 < self._timeout_s < 1e6:
            raise ConfigurationError(f"timeout_s must be above 0 seconds, got {shown(timeout_s)}")
        self._transport = transport
        self._clock = clock
        self._rng = rng or random.Random()
        self._client: httpx.Client | None = None

    def __repr__(self) -> str:
        return f"Connection({self.url!r}, namespace={self.namespace!r})"

    def close(self) -> None:
        """Close what is open; a later request opens it again."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def get(self, path: str, **query: Any) -> Any:
        """The JSON answer of a GET; tried again for as long as that may help, a few times.

        Raises:
            ServiceUnavailableError: it cannot be reached, or does not want to be asked now.
            RunNotFoundError, InvalidRunStateError, SessionStoreError: it refuses, with its status and code.
        """
        return orjson.loads(self._patiently(lambda: self.send("GET", path, query)))

    def bytes_of(self, path: str, **query: Any) -> bytes:
        """The raw answer of a GET."""
        return self._patiently(lambda: self.send("GET", path, query))

    def write(self, method: str, path: str, content: Any = None, **query: Any) -> Any:
        """The JSON answer of a request that may be repeated without harm."""
        body = None if content is None else orjson.dumps(content)
        found = self._patiently(lambda: self.send(method, path, query, body, {"Content-Type": "application/json"}))
        return orjson.loads(found) if found else None

    def send(
        self, method: str, path: str, query: Mapping[str, Any] | None = None, body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:  # fmt: skip
        """One request, once; the body of its answer.

        Raises:
            As ``get``.
        """
        import httpx

        wanted = {name: _query(value) for name, value in (query or {}).items() if value is not None}
        try:
            with self._opened().stream(
                method, f"/api/v1{path}", params=wanted, content=body, headers={**self._headers(), **(headers or {})}
            ) as response:
                found = _body(response)
        except httpx.HTTPError as error:
            raise ServiceUnavailableError(
                f"the Quark service at {self.url} could not be asked ({type(error).__name__}: {error}); is it running, "
                "and is QUARK_PERSISTENCE_URL right?"
            ) from error
        if response.status_code < 300:
            return found
        raise _refusal(response, found, self.url)

    def _patiently(self, ask: Callable[[], bytes]) -> bytes:
        for left in range(TRIES - 1, -1, -1):
            try:
                return ask()
            except ServiceUnavailableError as error:
                if not left:
                    raise
                ceiling = 0.2 * 2 ** (TRIES - left)
                self._clock.sleep(max(min(error.retry_after_s, 5.0), self._rng.uniform(0, ceiling)))
        raise AssertionError  # pragma: no cover  the loop returns or raises

    def _opened(self) -> "httpx.Client":
        if self._client is None:
            import httpx

            timeout = httpx.Timeout(self._timeout_s, connect=min(5.0, self._timeout_s))
            self._client = httpx.Client(
                base_url=self.url, timeout=timeout, follow_redirects=False, transport=self._transport,
                limits=httpx.Limits(max_keepalive_connections=4, keepalive_expiry=30.0),
            )  # fmt: skip
        return self._client

    def _headers(self) -> dict[str, str]:
        made = {"X-Quark-Storage-Dir": self.namespace.encode("utf-8").decode("latin-1")}
        if self._key and self._mode == "bearer":
            made["Authorization"] = f"Bearer {self._key}"
        elif self._key:
            made["X-Quark-API-Key"] = self._key
        return made


def _body(response: "httpx.Response") -> bytes:
    made = bytearray()
    for piece in response.iter_bytes():
        made += piece
        if len(made) > MOST_ANSWER:
            raise SessionStoreError(
                f"the answer of {response.url} is larger than {MOST_ANSWER} bytes; is it a Quark service?"
            )
    return bytes(made)


def _refusal(response: "httpx.Response", body: bytes, url: str) -> SessionStoreError:
    status = response.status_code
    try:
        detail = orjson.loads(body)["error"]
        message, code = str(detail["message"]), str(detail["code"])
    except (ValueError, KeyError, TypeError):
        detail, message, code = {}, f"no Quark service answers there (status {status})", "not_quark"
    told = f"the Quark service at {url} said {status}: {_printable(message)}"
    if status in _TRANSIENT:
        return ServiceUnavailableError(
            told, status=status, retry_after_s=retry_after_s(response.headers.get("retry-after"))
        )
    if code in _BY_CODE:
        return _BY_CODE[code](_printable(message), status=status, code=code)
    return RefusedError(told, status=status, code=code, detail=detail if isinstance(detail, dict) else {})


def retry_after_s(text: str | None) -> float:
    """Seconds that a ``Retry-After`` asks for, as number or date, within 0 and 60; 0 where it says nothing sensible."""
    if not text:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT_S) if seconds == seconds else 0.0


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)[:500]


def _query(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return orjson.dumps(value).decode() if isinstance(value, (dict, list)) else str(value)


def _checked_url(url: str) -> str:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url.strip())
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise ConfigurationError(
            f"the address of a service is http(s)://host[:port], got {shown(url)} ({error})"
        ) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise ConfigurationError(
            f"the address of a service is http(s)://host[:port] without a password, got {shown(url)}"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"
