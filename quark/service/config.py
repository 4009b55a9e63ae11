"""What a service is started with: its database, its data directory, and the limits that it holds everybody to."""

from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from ..settings import setting

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """Sizes are bytes, times are seconds.

    Attributes:
        db: ``sqlite:///path`` or ``postgresql://...``.
        data_dir: where artifacts lie; with SQLite the stores as well. Beside the SQLite file unless given; replicas
            over one PostgreSQL share it.
        max_body: size of a request as it arrives.
        max_inflated: size of a request after decompression.
        max_artifact: size of one artifact.
        body_timeout_s: a request's body must have arrived after so long.
        max_memory: what the bodies and answers of all requests of a process may take together.
        max_namespaces: storage namespaces that clients may make.
        max_namespaces_per_key: storage namespaces that one key may make.
        failed_keys_per_minute: refused keys from one address, after which further wrong ones are answered with 429.
        allowed_hosts: names that the Host header of a request may have, such as ``quark.example.org``; any if empty.
        trusted_proxies: addresses and networks whose X-Forwarded-For is believed, such as ``10.0.0.0/8``.
        notice_s: how long a stopping service says so (503 to all new requests) before it stops listening.
        drain_s: how long it then lets requests finish.
        lost_after_s: how long a run that sends heartbeats may read stale before it is closed as lost.
    """

    db: str = field(repr=False)
    data_dir: Path
    max_body: int = 16 * MIB
    max_inflated: int = 32 * MIB
    max_artifact: int = 5 * 1024 * MIB
    body_timeout_s: float = 30.0
    max_memory: int = 256 * MIB
    max_namespaces: int = 1000
    max_namespaces_per_key: int = 100
    failed_keys_per_minute: int = 10
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    notice_s: float = 1.0
    drain_s: float = 10.0
    lost_after_s: float = field(default_factory=lambda: setting("QUARK_SERVICE_LOST_AFTER"))

    def __post_init__(self) -> None:
        for network in self.trusted_proxies:
            try:
                ip_network(network)
            except ValueError as error:
                raise ConfigurationError(
                    f"a trusted proxy is an address or a network such as 10.0.0.0/8, got {network!r} ({error})"
                ) from error

    @classmethod
    def of(cls, db: str, data_dir: Path | None = None, **limits: Any) -> "ServiceConfig":
        """The configuration for a database URL.

        Raises:
            ConfigurationError: it is no URL of a database that can be used, or PostgreSQL without ``data_dir``.
        """
        scheme, mark, rest = db.partition("://")
        if mark and scheme == "sqlite" and rest.startswith("/") and rest[1:]:
            path = Path(rest[1:]).expanduser().resolve()
            return cls(f"sqlite:///{path}", data_dir or path.parent, **limits)
        if mark and scheme in ("postgresql", "postgres"):
            if data_dir is None:
                raise ConfigurationError(
                    "a service over PostgreSQL keeps artifacts in files; name their directory: data_dir"
                )
            return cls(f"postgresql://{rest}", data_dir, **limits)
        # Whatever else it is may hold a password: it is not shown.
        shape = f"a URL of {scheme}" if mark and scheme.isalnum() else "a text without '://'"
        raise ConfigurationError(f"db must be sqlite:///path or postgresql://user@host/database, got {shape}")

    @property
    def keys_url(self) -> str:
        """The database of the keys."""
        return f"sqlite:///{self.data_dir / 'service.db'}" if self.is_sqlite else self.db

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file."""
        return self.db.startswith("sqlite")
