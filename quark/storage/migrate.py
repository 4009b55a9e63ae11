"""Brings the store of a storage directory to the schema of this release."""

import os
from pathlib import Path

from ..errors import SchemaMigrationError, SessionStoreError, WrongTypeError
from ..records.base import CURRENT_SCHEMA_VERSION, parse_timestamp
from ..records.grammar import shown


def migrate_store(storage_dir: str | os.PathLike[str], *, generated_at: str | None = None) -> int:
    """Upgrade the store below ``storage_dir``; one that is up to date, and a directory without a store, stay untouched.

    Opening a store upgrades it as well, so this is needed only to do it at a time of one's own choosing.

    Args:
        storage_dir: the directory that holds ``.quark``.
        generated_at: when the migration is made, RFC 3339; it is checked, and no migration so far records it.

    Returns:
        The current schema version of records.

    Raises:
        SchemaMigrationError: it cannot be done safely; the store is as it was.
        SchemaValidationError: ``generated_at`` is no RFC 3339 time.
    """
    if not isinstance(storage_dir, (str, os.PathLike)):
        raise WrongTypeError(f"storage_dir must be a path, got {shown(storage_dir)}")
    if generated_at is not None:
        parse_timestamp(generated_at)
    path = Path(storage_dir).expanduser().resolve() / ".quark" / "quark.db"
    if path.exists():
        from .store import SqlStore

        try:
            SqlStore(path).close()
        except SessionStoreError as error:
            raise SchemaMigrationError(f"the store {path} cannot be migrated safely: {error}") from error
    return CURRENT_SCHEMA_VERSION
