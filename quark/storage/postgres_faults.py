"""What PostgreSQL's complaints mean to a store's user, as errors of Quark's own tree."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from ..errors import QuarkError, SchemaValidationError, SessionStoreError

_CAUSES = {
    "53100": ("disk_full", "free some space on the server; what was not stored comes again"),
    "53300": ("busy", "the server has no connection left; raise max_connections, or close some"),
    "42P01": ("unavailable", "its tables were removed while it was open; open it again"),
    "3F000": ("unavailable", "its tables were removed while it was open; open it again"),
    "53": ("busy", "the server lacks memory or another resource; try again"),
    "40": ("busy", "two transactions stood in each other's way; try again"),
    "55P03": ("busy", "another process writes the same run; try again"),
    "25006": ("read_only", "the server takes no writes, perhaps it is a standby; use the primary"),
    "28": ("cannot_open", "check user and password"),
    "3D": ("cannot_open", "make the database with: createdb"),
    "42501": ("read_only", "grant the user CREATE on the database and its schemas"),
    "58": ("disk_error", "see the server's log"),
    "XX": ("damaged", "see the server's log, and restore a backup if need be"),
    "08": ("unavailable", "the server went away; try again"),
    "57": ("unavailable", "the server is stopping or starting; try again"),
    "25P03": ("unavailable", "the process was silent in a transaction for too long; try again"),
}
"""By the longest beginning of the error's SQLSTATE."""


@contextmanager
def faults_named(where: str) -> Iterator[None]:
    """Turn the driver's and the pool's errors into SessionStoreError, with the database and what to do."""
    try:
        yield
    except psycopg.Error as error:
        raise _named(where, error) from error
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise _named(where, error.orig) from error
        raise
    except PoolTimeoutError as error:
        raise SessionStoreError(
            f"the store {where} had no connection free: {error}; try again, or let fewer threads use it", code="busy"
        ) from error


def _named(where: str, error: psycopg.Error) -> QuarkError:
    state = error.sqlstate or ""
    if isinstance(error, psycopg.DataError):  # a value that PostgreSQL has no place for, such as text with a NUL
        return SchemaValidationError(f"the database takes no such value: {str(error).strip().splitlines()[0]}")
    cause = max((known for known in _CAUSES if state.startswith(known)), key=len, default=None)
    if cause is not None:
        code, remedy = _CAUSES[cause]
    elif isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)) and not state:
        code, remedy = "unavailable", "check that the server runs and can be reached; try again"
    else:
        code, remedy = "database", "see the cause above"
    return SessionStoreError(
        f"the store {where} refused: {str(error).strip()} ({state or type(error).__name__}); {remedy}", code=code
    )
