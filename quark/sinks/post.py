"""One message by HTTP to an address that no log line, error or redirect ever shows."""

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Any

import orjson

from ..core.retry_after import retry_after_s
from ..errors import QuarkError
from .address import Address, is_numeric, resolve

_CHATTY = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy")
LONGEST_PAUSE_S = 3600.0


class WebhookError(QuarkError, OSError):
    """A message was not taken; ``retry_after_s`` is how long the receiver asks to be left alone, in seconds."""

    __module__ = "quark"

    def __init__(self, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def post_json(address: Address, message: dict[str, Any], timeout_s: float) -> int:
    """Post a message; the status code of the answer, whose body is not read.

    Raises:
        WebhookError: there was no answer.
        ConfigurationError: the host leads where nothing may be posted.
    """
    import httpx

    proxy = _proxy(address)
    try:
        hosts = [address.host] if proxy and not is_numeric(address.host) else resolve(address)
    except (OSError, UnicodeError) as error:
        raise WebhookError(f"the webhook's host could not be found ({type(error).__name__})") from None
    failure = "no address"
    for host in hosts:
        try:
            return _post_to(host, address, orjson.dumps(message), timeout_s, proxy)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            failure = type(error).__name__
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            failure = type(error).__name__
            break
    # from nowhere: the text and the chain of what the client raised can hold the address
    raise WebhookError(f"the webhook did not answer ({failure})")


def _post_to(host: str, address: Address, content: bytes, timeout_s: float, proxy: str | None) -> int:
    import httpx

    headers = {"Host": address.host_header, "Content-Type": "application/json", "User-Agent": "quark"}
    verify = httpx.create_ssl_context() if address.scheme == "https" else False
    with (
        _unlogged(),
        httpx.Client(trust_env=False, follow_redirects=False, timeout=timeout_s, proxy=proxy, verify=verify) as client,
        client.stream(
            "POST", address.at(host), content=content, headers=headers, extensions={"sni_hostname": address.host}
        ) as response,
    ):
        status = response.status_code
        if status in (429, 503):
            pause_s = retry_after_s(response.headers.get("Retry-After"), LONGEST_PAUSE_S)
            raise WebhookError(f"the webhook answered {status} and wants a pause", retry_after_s=pause_s)
        return status


def _proxy(address: Address) -> str | None:
    """The proxy that the environment names for this address; it looks the host up itself."""
    from urllib.request import getproxies, proxy_bypass  # slow to import, and most runs post nothing

    if address.scheme == "http" or proxy_bypass(address.host):
        return None
    return getproxies().get(address.scheme)


@contextlib.contextmanager
def _unlogged() -> Iterator[None]:
    """Keep the HTTP client, which logs every URL, quiet in this thread."""
    own = threading.get_ident()

    def quiet(record: logging.LogRecord) -> bool:
        return threading.get_ident() != own

    loggers = [logging.getLogger(name) for name in _CHATTY]
    for logger in loggers:
        logger.addFilter(quiet)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(quiet)
