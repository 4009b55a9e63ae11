"""The pool of connections through which a store is read."""

import sqlite3
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import QueuePool


def reading_engine(connect: Callable[[], sqlite3.Connection]) -> sa.Engine:
    """An engine over connections that cannot write, each use of which is one transaction, so one state of the store."""

    def connect_to_read() -> sqlite3.Connection:
        connection = connect()
        connection.execute("PRAGMA query_only=ON")
        return connection

    engine = sa.create_engine("sqlite://", creator=connect_to_read, poolclass=QueuePool, pool_size=4, max_overflow=28)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN")
