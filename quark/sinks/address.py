"""The address that messages are posted to: what is allowed there, and how it is kept out of every text."""

import ipaddress
import re
import socket
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ..errors import ConfigurationError

_ENDS_WITH_IPV4 = [ipaddress.ip_network(network) for network in ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96")]
"""NAT64, IPv4-compatible and IPv4-translated addresses."""
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
_ISATAP = (bytes.fromhex("00005efe"), bytes.fromhex("02005efe"))
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_NUMERIC = re.compile(r"((0x[0-9a-f]*|[0-9]+)(\.|\Z))+\Z|.*:", re.IGNORECASE)
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
    if parts.scheme == "http" and not (host == "localhost" or (literal is not None and _is_this_machine(literal))):
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
        if address.scheme == "http" and not _is_this_machine(ip):
            raise ConfigurationError("the webhook's host is not this machine, so http is refused; use https")
    return [str(ip) for ip in known]


def refusal(ip: IP) -> str | None:
    """Why nothing is posted to this address; None if it may be."""
    for plain in (ip, *_embedded(ip)):
        if _is_metadata(plain):
            return "is a link-local or metadata address, which is refused"
        if plain.is_multicast or plain.is_unspecified or _is_nobodys(plain):
            return "is no address of a single machine, which is refused"
    return None


def _is_metadata(ip: IP) -> bool:
    return ip.is_link_local or ip in _CLOUD


def _is_nobodys(ip: IP) -> bool:
    return ip.is_site_local if isinstance(ip, ipaddress.IPv6Address) else ip.is_reserved or ip in _THIS_NETWORK


def _is_this_machine(ip: IP) -> bool:
    return ip.is_loopback or bool(ip.version == 6 and ip.ipv4_mapped and ip.ipv4_mapped.is_loopback)


def _embedded(ip: IP) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that a gateway, a tunnel or the system itself may take out of an IPv6 address."""
    if not isinstance(ip, ipaddress.IPv6Address) or ip.is_loopback or ip.is_unspecified:
        return []
    found = [inner for inner in (ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())) if inner is not None]
    octets = ip.packed
    if any(ip in network for network in _ENDS_WITH_IPV4) or octets[8:12] in _ISATAP:
        found.append(ipaddress.IPv4Address(octets[12:]))
    if ip in _LOCAL_NAT64:  # RFC 6052: the unknown length of the prefix says where; octet 8 is never part of it
        without = octets[:8] + octets[9:]
        places = [ipaddress.IPv4Address(without[start : start + 4]) for start in (6, 7, 8, 11)]
        found += [place for place in places if _is_metadata(place)]
    return found


def is_numeric(host: str) -> bool:
    """Whether a host is an address in figures, also in the short and hexadecimal forms: nobody has to look it up."""
    return bool(_NUMERIC.match(host))


def _literal(host: str) -> IP | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
