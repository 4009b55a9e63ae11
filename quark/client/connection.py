"""One service as it is reached: address, key, namespace; answers as JSON, refusals as exceptions."""

import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from ..errors import ConfigurationError, SessionStoreError
from ..records.grammar import shown
from ..redaction import shown_url
from ..settings import setting
from .refusals import RefusedError, ServiceUnavailableError, json_of, refusal

if TYPE_CHECKING:
    import httpx

AUTH_MODES = ("header", "bearer")
DEFAULT_NAMESPACE = "default"
TRIES = 4
MOST_ANSWER = 256 << 20
"""Bytes of one answer that are taken; a service that sends more is not ours."""

SLOWEST = 64 << 10
"""Bytes a second that an answer has to bring once its time is over: a trickle holds no thread for ever."""


def service_is_configured() -> bool:
    """Whether runs live in a service: its address or a key for it is set."""
    return bool(os.environ.get("QUARK_PERSISTENCE_URL", "").strip() or os.environ.get("QUARK_USER_KEY", "").strip())


def is_configured_service(url: str) -> bool:
    """Whether an address is that of the service which this user's environment names, and where the key may travel."""
    try:
        return service_is_configured() and _checked_url(url) == _checked_url(setting("QUARK_PERSISTENCE_URL"))
    except ConfigurationError:
        return False


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
        tries: how often a request that may be repeated is sent at most.
        namespace: the storage namespace.
        project: the project whose runs are meant; with a key for all projects it tells runs with one id apart.
        transport, clock, rng: for tests: an httpx transport, the clock, the source of randomness.

    Raises:
        ConfigurationError: an address, mode or time that cannot be used.
    """

    def __init__(
        self, url: str | None = None, *, user_key: str | None = None, auth_mode: str | None = None,
        timeout_s: float | None = None, namespace: str = DEFAULT_NAMESPACE, project: str = "",
        tries: int = TRIES, transport: Any = None, clock: Any = time, rng: random.Random | None = None,
    ) -> None:  # fmt: skip
        self.url = _checked_url(url or setting("QUARK_PERSISTENCE_URL"))
        self.namespace = namespace
        self.project = project
        self._tries = tries
        self._key = user_key if user_key is not None else setting("QUARK_USER_KEY")
        self._mode = auth_mode or setting("QUARK_PERSISTENCE_AUTH_MODE")
        if self._mode not in AUTH_MODES:
            raise ConfigurationError(f"auth_mode must be one of {', '.join(AUTH_MODES)}, got {shown(self._mode)}")
        self._timeout_s = setting("QUARK_PERSISTENCE_TIMEOUT_SECONDS") if timeout_s is None else timeout_s
        if not 0 < self._timeout_s < 1e6:
            raise ConfigurationError(f"timeout_s must be above 0 seconds, got {shown(timeout_s)}")
        self._transport = transport
        self.clock = clock
        self.rng = rng or random.Random()
        self._opening = threading.Lock()
        self._client: httpx.Client | None = None

    def __repr__(self) -> str:
        return f"Connection({self.url!r}, namespace={self.namespace!r})"

    def twin(self) -> "Connection":
        """The same service, with connections of its own."""
        return Connection(
            self.url, user_key=self._key, auth_mode=self._mode, timeout_s=self._timeout_s, namespace=self.namespace,
            project=self.project, tries=self._tries, transport=self._transport, clock=self.clock, rng=self.rng,
        )  # fmt: skip

    def close(self) -> None:
        """Close what is open; a later request opens it again."""
        with self._opening:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def get(self, path: str, **query: Any) -> Any:
        """The JSON answer of a GET; tried again for as long as that may help, a few times.

        Raises:
            ServiceUnavailableError: it cannot be reached, or does not want to be asked now.
            RunNotFoundError, InvalidRunStateError, SessionStoreError: it refuses, with its status and code.
        """
        return json_of(self._patiently(lambda: self.send("GET", path, query)), self.url)

    def bytes_of(self, path: str, **query: Any) -> bytes:
        """The raw answer of a GET."""
        return self._patiently(lambda: self.send("GET", path, query))

    def write(self, method: str, path: str, content: Any = None, **query: Any) -> Any:
        """The JSON answer of a request that may be repeated without harm."""
        body = None if content is None else orjson.dumps(content)
        return self.send_patiently(method, path, body, {"Content-Type": "application/json"}, **query)

    def send_patiently(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], **query: Any
    ) -> Any:  # fmt: skip
        """``write`` with a body of any bytes."""
        found = self._patiently(lambda: self.send(method, path, query, body, headers))
        return json_of(found, self.url) if found else None

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
                found = self._body(response)
        except httpx.HTTPError as error:
            raise ServiceUnavailableError(
                f"the Quark service at {self.url} could not be asked ({type(error).__name__}: {error}); is it running, "
                "and is QUARK_PERSISTENCE_URL right?"
            ) from error
        if response.status_code < 300:
            return found
        raise refusal(response.status_code, response.headers, found, self.url, path)

    def _patiently(self, ask: Callable[[], bytes]) -> bytes:
        begun = self.clock.monotonic()
        for left in range(self._tries - 1, -1, -1):
            try:
                return ask()
            except ServiceUnavailableError as error:
                if not left or self.clock.monotonic() - begun > self._timeout_s:
                    raise
                ceiling = 0.2 * 2 ** (self._tries - left)
                self.clock.sleep(max(min(error.retry_after_s, 5.0), self.rng.uniform(0, ceiling)))
        raise AssertionError  # pragma: no cover  the loop returns or raises

    def _body(self, response: "httpx.Response") -> bytes:
        made = bytearray()
        begun = self.clock.monotonic()
        for piece in response.iter_bytes():
            made += piece
            if len(made) > MOST_ANSWER:
                raise SessionStoreError(
                    f"the answer of {response.url} is larger than {MOST_ANSWER} bytes; is it a Quark service?"
                )
            if self.clock.monotonic() - begun > self._timeout_s + len(made) / SLOWEST:
                raise ServiceUnavailableError(
                    f"the answer of the Quark service at {self.url} did not arrive within {self._timeout_s:g} s; raise "
                    "QUARK_PERSISTENCE_TIMEOUT_SECONDS if it is only slow"
                )
        return bytes(made)

    def _opened(self) -> "httpx.Client":
        with self._opening:
            if self._client is None:
                import httpx

                encrypted = self.url.startswith("https:")  # to read the certificates of the system takes long
                self._client = httpx.Client(
                    verify=encrypted, base_url=self.url, follow_redirects=False,
                    timeout=httpx.Timeout(self._timeout_s, connect=min(5.0, self._timeout_s)),
                    transport=self._transport, trust_env=not _is_here(self.url),
                    limits=httpx.Limits(max_keepalive_connections=4, keepalive_expiry=20.0),
                )  # fmt: skip
            return self._client

    def _headers(self) -> dict[str, str]:
        made = {"X-Quark-Storage-Dir": self.namespace.encode("utf-8").decode("latin-1")}
        if self.project:
            made["X-Quark-Project"] = quote(self.project)
        if self._key and self._mode == "bearer":
            made["Authorization"] = f"Bearer {self._key}"
        elif self._key:
            made["X-Quark-API-Key"] = self._key
        return made


class Several(tuple[str, ...]):
    """Values of a query that is sent once for each."""


def _query(value: Any) -> str | list[str]:
    if isinstance(value, Several):
        return list(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return orjson.dumps(value).decode() if isinstance(value, (dict, list)) else str(value)


def _checked_url(url: str) -> str:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url.strip())
        port = f":{parts.port}" if parts.port else ""
    except ValueError:  # its text may hold the password
        raise ConfigurationError(f"the address of a service is http(s)://host[:port], got {shown_url(url)}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise ConfigurationError(
            f"the address of a service is http(s)://host[:port] without a password, got {shown_url(url)}"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


def _is_here(url: str) -> bool:
    """Whether an address is of this machine: no proxy of the environment leads there."""
    from urllib.parse import urlsplit

    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


__all__ = [
    "Connection", "RefusedError", "ServiceUnavailableError", "is_configured_service", "namespace_of",
    "service_is_configured",
]  # fmt: skip
