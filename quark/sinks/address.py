"""The address that messages are posted to: what is allowed there, and how it is kept out of every text."""

import ipaddress
import socket
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ..errors import ConfigurationError

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_CLOUD = frozenset(map(ipaddress.ip_address, (
    "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254",
)))  # fmt: skip
"""Addresses outside the link-local range at which clouds give out the machine's credentials."""

IP = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Address:
    """A web address in parts; its repr holds none of them, for the path is a secret."""

    scheme: str = field(repr=False)
    host: str = field(repr=False)
    port: int = field(repr=False)
    target: str = field(repr=False)

    @property
    def host_header(self) -> str:
        """Host and port as the receiver is addressed."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"

    def at(self, host: str) -> str:
        """The URL with ``host`` in the place of the host."""
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{self.port}{self.target}"


def parse_address(url: str, what: str) -> Address:
    """An address that may be posted to: https, or http on this machine.

    Raises:
        ConfigurationError: it may not; the message says why and does not hold the address.
    """
    remedy = "give one like https://hooks.example.com/..."
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
    except (ValueError, AttributeError):
        raise ConfigurationError(f"{what} cannot be read as a URL; {remedy}") from None
    if parts.scheme not in ("https", "http") or not host:
        raise ConfigurationError(f"{what} must be an https URL with a host; {remedy}")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(f"{what} must not hold a user name or password; put the secret into its path")
    if any(letter <= " " or letter == "\x7f" for letter in url.strip()):
        raise ConfigurationError(f"{what} holds spaces or control characters; {remedy}")
    literal = _literal(host)
    if parts.scheme == "http" and not (host == "localhost" or (literal is not None and literal.is_loopback)):
        raise ConfigurationError(f"{what} must be https, http is allowed on this machine only; {remedy}")
    if literal is not None and (reason := refusal(literal)):
        raise ConfigurationError(f"{what} {reason}; {remedy}")
    query = f"?{parts.query}" if parts.query else ""
    return Address(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), (parts.path or "/") + query)


def resolve(address: Address) -> list[str]:
    """The IP addresses to connect to; the name is not looked up again, so no second answer can change them.

    Raises:
        OSError: the name has no address.
        ConfigurationError: one of its addresses may not be posted to.
    """
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    known = list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))
    for ip in known:
        if reason := refusal(ip):
            raise ConfigurationError(f"the webhook's host {reason}; give another one")
        if address.scheme == "http" and not _unwrapped(ip).is_loopback:
            raise ConfigurationError("the webhook's host is not this machine, so http is refused; use https")
    return [str(ip) for ip in known]


def refusal(ip: IP) -> str | None:
    """Why nothing is posted to this address; None if it may be."""
    plain = _unwrapped(ip)
    if plain.is_link_local or plain in _CLOUD:
        return "is a link-local or metadata address, which is refused"
    if plain.is_multicast or plain.is_unspecified:
        return "is no address of a single machine, which is refused"
    return None


def _unwrapped(ip: IP) -> IP:
    """The IPv4 address inside an IPv6 one, where there is one."""
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        return inner or ip
    return ip


def _literal(host: str) -> IP | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
