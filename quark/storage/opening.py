"""Opens the database at a path or URL."""

import os
from pathlib import Path

from ..errors import ConfigurationError, require
from ..records.paths import is_database_address
from .database import Database, digest

POSTGRES_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")


def open_database(
    path_or_url: str | os.PathLike[str], lock_path: str | os.PathLike[str] | None, namespace: str | None
) -> Database:
    """The database at a path or URL, brought up to date.

    Raises:
        ConfigurationError: a URL of a database that this release does not serve.
        MissingDependencyError: PostgreSQL's driver is not installed.
    """
    text = os.fspath(path_or_url)
    scheme = text.partition("://")[0] if "://" in text else None
    if scheme in POSTGRES_SCHEMES:
        if lock_path is not None:
            raise ConfigurationError("lock_path is for a store in a file, PostgreSQL has its own locks; leave it out")
        if text[len(scheme or "") :].startswith(":///") and "@" in text.partition("?")[0]:
            raise ConfigurationError(
                "a PostgreSQL URL has two slashes before its user: postgresql://user@host/database"
            )
        require("psycopg", "postgres")
        from .postgres import PostgresDatabase

        return PostgresDatabase("postgresql" + text.removeprefix(scheme or ""), namespace)
    from .sqlite import SqliteDatabase

    path = _path(text)
    if namespace is not None:
        path = path.with_name(f"{path.stem}-{digest(namespace)}{path.suffix}")
    return SqliteDatabase(path, None if lock_path is None else Path(lock_path))


def _path(text: str) -> Path:
    if "://" not in text and is_database_address(text):
        raise ConfigurationError(  # it may hold a password, so it is not shown
            "a store lives in a file or in PostgreSQL, got what is neither a path nor a URL; pass the file's path "
            "(./name:1 if its name has a colon), sqlite:///path, or postgresql://user@host/database"
        )
    if "://" in text:
        scheme, _, rest = text.partition("://")
        if scheme != "sqlite" or not rest.startswith("/"):
            shown = scheme if scheme.isalnum() else "..."
            raise ConfigurationError(
                f"a store lives in a file or in PostgreSQL, got the URL {shown}://...; "
                "pass the file's path, sqlite:///path, or postgresql://user@host/database"
            )
        text = rest[1:]
    return Path(os.path.realpath(os.path.expanduser(text)))
