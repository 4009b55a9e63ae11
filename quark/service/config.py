"""What a service is started with: its database, its data directory, and the limits that it holds everybody to."""

from dataclasses import dataclass, field
from pathlib import Path

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
        failed_keys_per_minute: refused keys from one address, after which it has to wait.
        drain_s: how long a stopping service lets requests finish.
        lost_after_s: how long a run that sends heartbeats may read stale before it is closed as lost.
    """

    db: str
    data_dir: Path
    max_body: int = 16 * MIB
    max_inflated: int = 64 * MIB
    max_artifact: int = 5 * 1024 * MIB
    body_timeout_s: float = 30.0
    failed_keys_per_minute: int = 10
    drain_s: float = 10.0
    lost_after_s: float = field(default_factory=lambda: setting("QUARK_SERVICE_LOST_AFTER"))

    @classmethod
    def of(cls, db: str, data_dir: Path | None = None, **limits: float) -> "ServiceConfig":
        """The configuration for a database URL.

        Raises:
            ConfigurationError: it is no URL of a database that can be used, or PostgreSQL without ``data_dir``.
        """
        scheme, mark, rest = db.partition("://")
        if mark and scheme == "sqlite" and rest.startswith("/") and rest[1:]:
            path = Path(rest[1:]).expanduser().resolve()
            return cls(f"sqlite:///{path}", data_dir or path.parent, **limits)  # type: ignore[arg-type]
        if mark and scheme in ("postgresql", "postgres"):
            if data_dir is None:
                raise ConfigurationError(
                    "a service over PostgreSQL keeps artifacts in files; name their directory: data_dir"
                )
            return cls(f"postgresql://{rest}", data_dir, **limits)  # type: ignore[arg-type]
        raise ConfigurationError(f"db must be sqlite:///path or postgresql://..., got {scheme + mark!r}...")

    @property
    def keys_url(self) -> str:
        """The database of the keys."""
        return f"sqlite:///{self.data_dir / 'service.db'}" if self.is_sqlite else self.db

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file."""
        return self.db.startswith("sqlite")
