"""Runs the migrations on an older store; only then is Alembic imported, because that is slow."""

import threading
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from ..errors import SchemaMigrationError

# It keeps what it is doing in a global, and threads may open different stores at once.
_alembic = threading.Lock()


def upgrade(path: Path, version: str) -> None:
    """Bring the store to the newest schema in one transaction; the caller holds the store's lock.

    Raises:
        SchemaMigrationError: a migration failed; the store is as it was.
    """
    from alembic.util.exc import CommandError

    engine = sa.create_engine(f"sqlite:///{path}", poolclass=NullPool)
    event.listen(engine, "connect", _autocommit)
    event.listen(engine, "begin", _begin)
    try:
        with engine.begin() as connection:
            run_migrations(connection)
    except (SQLAlchemyError, CommandError) as error:
        raise SchemaMigrationError(
            f"the store {path} could not be brought from schema {version} to the newest one: {error}; "
            "it is as it was, go on with the release that wrote it"
        ) from error
    finally:
        engine.dispose()


def run_migrations(connection: sa.Connection, target: str = "head") -> None:
    """All migrations up to ``target`` in the transaction of ``connection``."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    with _alembic:
        command.upgrade(config, target)


def _autocommit(connection: object, _: object) -> None:
    """Leave transactions to SQLAlchemy: the driver would commit before a change of tables."""
    connection.isolation_level = None  # type: ignore[attr-defined]


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
