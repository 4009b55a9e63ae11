"""Connections to PostgreSQL, shared by all stores of a process that are in the same database."""

import os
import threading
from dataclasses import dataclass
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import event
from sqlalchemy.pool import QueuePool

from ..errors import ConfigurationError
from ..settings import setting
from .postgres_connection import BinaryCursor, adapt_text

CONNECT_S = 10
"""How long a server may take to answer, unless the URL has a ``connect_timeout``."""

WAIT_S = 30
"""How long to wait for a free connection, or for another process that writes the same run."""

LOST_S = 60
"""After so long the server gives up a transaction whose process is silent, and with it what it had locked."""


@dataclass(slots=True)
class Pool:
    """The connections to one database, opened as they are needed and then kept.

    Attributes:
        name: the URL without its secrets.
        users: how many stores use it; the last one closes it.
        closed: whether it did: a connection that a thread still had is closed when it comes back.
    """

    key: tuple[int, str]
    engine: sa.Engine
    name: str
    users: int = 0
    closed: bool = False

    def __post_init__(self) -> None:
        event.listen(self.engine, "checkin", self._returned)

    def _returned(self, connection: Any, _: object) -> None:
        if self.closed and connection is not None:
            connection.close()


# By process, so that a forked child makes its own: two processes cannot speak over one connection.
_pools: dict[tuple[int, str], Pool] = {}
_lock = threading.Lock()


def take_pool(url: str) -> Pool:
    """The pool of a database, in which nothing may be open yet; give it back with ``leave_pool``.

    Raises:
        ConfigurationError: the URL cannot be read.
    """
    key = (os.getpid(), url)
    with _lock:
        pool = _pools.get(key)
        if pool is None:
            engine, name = _engine(url)
            pool = _pools[key] = Pool(key, engine, name)
        pool.users += 1
        return pool


def leave_pool(pool: Pool) -> None:
    """Close the pool if nobody else uses it."""
    with _lock:
        pool.users -= 1
        if pool.users > 0:
            return
        _pools.pop(pool.key, None)
    pool.closed = pool.key[0] == os.getpid()
    pool.engine.dispose(close=pool.key[0] == os.getpid())


def _engine(url: str) -> tuple[sa.Engine, str]:
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        # The driver's message would show the URL, password and all.
        raise ConfigurationError(
            "the URL of the PostgreSQL database cannot be read; write it as "
            "postgresql://user:password@host:5432/database, with %40 for an @ in the password"
        ) from None
    parts.setdefault("connect_timeout", CONNECT_S)

    def connect() -> "psycopg.Connection[Any]":
        connection: psycopg.Connection[Any] = psycopg.connect(
            **{**parts, "client_encoding": "utf8"}, autocommit=True, cursor_factory=BinaryCursor
        )  # type: ignore[call-overload]
        try:
            adapt_text(connection.adapters)
            connection.execute(
                "SELECT set_config('lock_timeout', %s, false),"
                " set_config('idle_in_transaction_session_timeout', %s, false)", (f"{WAIT_S}s", f"{LOST_S}s"),
            )  # fmt: skip
        except BaseException:
            connection.close()
            raise
        return connection

    engine = sa.create_engine(
        "postgresql+psycopg://", creator=connect, poolclass=QueuePool, pool_size=setting("QUARK_POSTGRES_CONNECTIONS"),
        max_overflow=0,
        pool_timeout=WAIT_S, pool_pre_ping=True, use_native_hstore=False,
    )  # fmt: skip
    user, host, port = (parts.get(part) for part in ("user", "host", "port"))
    place = f"{f'{user}@' if user else ''}{host or 'localhost'}{f':{port}' if port else ''}"
    return engine, f"postgresql://{place}/{parts.get('dbname') or user or ''}"
