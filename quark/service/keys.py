"""The keys of a service: made once, shown once, kept as digests, limited in what they may do."""

import errno
import hmac
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError
from sqlalchemy.schema import CreateTable

from ..errors import SchemaValidationError, SessionStoreError
from ..records.base import format_timestamp
from ..records.grammar import shown
from ..storage.filesystem import make_private

SCOPES = ("read", "write", "admin")
REMEMBERED_S = 5.0
"""For so long a key is taken for what it was: a revoked one is refused after this at the latest."""

USE_NOTED_S = 60.0

_metadata = sa.MetaData()
_keys = sa.Table(
    "service_keys", _metadata,
    sa.Column("id", sa.Text, primary_key=True), sa.Column("name", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False), sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("projects", sa.Text), sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("last_used_at", sa.BigInteger), sa.Column("revoked_at", sa.BigInteger),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """A key as it is listed; the key itself is nowhere.

    Attributes:
        id: the part of the key that may be shown, between ``qk_`` and the next ``_``.
        scopes: of read, write and admin; admin may do everything.
        projects: the projects that it is limited to; None for all. A limited key is never an administrator's: keys,
            purges and namespaces belong to all projects.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    projects: tuple[str, ...] | None
    created_at: str
    last_used_at: str | None = None
    revoked_at: str | None = None

    def allows(self, scope: str) -> bool:
        """Whether the key may do what needs ``scope``; who may write may read."""
        if "admin" in self.scopes:  # older releases made such keys with projects: those read and write there
            return self.projects is None or scope != "admin"
        return scope in self.scopes or (scope == "read" and "write" in self.scopes)

    def reaches(self, project: str) -> bool:
        """Whether the key may touch a project."""
        return self.projects is None or project in self.projects


@dataclass(slots=True)
class _Remembered:
    digest: str
    key: ServiceKey
    until: float
    noted: float = field(default=0.0)


class KeyStore:
    """The keys in a database; any number of processes may use it at once.

    Args:
        url: the service's database, as SQLAlchemy takes it: ``sqlite:///path`` or ``postgresql+psycopg://...``.
    """

    def __init__(self, url: str) -> None:
        scheme, _, path = url.partition(":///")
        if scheme == "sqlite":
            _make_private(Path(path))
        self._engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1), pool_pre_ping=True)
        with _faults_named():
            self._make_table()
        self._known: dict[str, _Remembered] = {}
        self._lock = threading.Lock()

    def create(
        self, name: str, scopes: Iterable[str] = ("read", "write"), projects: Iterable[str] | None = None
    ) -> tuple[str, ServiceKey]:
        """Make a key; the text is returned this once and cannot be had again.

        Raises:
            SchemaValidationError: no name, a scope that does not exist, no names of projects, or admin with projects.
        """
        scopes = tuple(dict.fromkeys(scopes))
        if not name or len(name) > 200 or not name.isprintable():
            raise SchemaValidationError(
                f"name must have 1 to 200 printable characters, got {shown(name)}; say who will use the key"
            )
        if not scopes or not set(scopes) <= set(SCOPES):
            raise SchemaValidationError(f"scopes must be some of {', '.join(SCOPES)}, got {shown(scopes)}")
        limited = None if projects is None else _checked_projects(projects)
        if limited is not None and "admin" in scopes:
            raise SchemaValidationError(
                "a key with the scope admin reaches all projects, so it cannot be limited to some; "
                "leave out the projects, or use the scopes read and write"
            )
        now = time.time_ns()
        key_id = secrets.token_hex(4)
        text = f"qk_{key_id}_{secrets.token_urlsafe(32)}"
        with _faults_named(), self._engine.begin() as connection:
            connection.execute(_keys.insert().values(
                id=key_id, name=name, digest=_digest(text), scopes=" ".join(scopes),
                projects=None if limited is None else msgspec.json.encode(limited).decode(), created_at=now,
            ))  # fmt: skip
        return text, ServiceKey(key_id, name, scopes, limited, format_timestamp(now))

    def all(self) -> list[ServiceKey]:
        """All keys, revoked ones too, the oldest first."""
        with _faults_named(), self._engine.connect() as connection:
            return [_read(row) for row in connection.execute(sa.select(_keys).order_by(_keys.c.created_at, _keys.c.id))]

    def revoke(self, key_id: str) -> bool:
        """Make a key useless from now on; False if there is none of this id that was still of use."""
        with _faults_named(), self._engine.begin() as connection:
            done = connection.execute(
                _keys.update()
                .where(_keys.c.id == key_id, _keys.c.revoked_at.is_(None))
                .values(revoked_at=time.time_ns())
            )
        with self._lock:
            self._known.pop(key_id, None)
        return done.rowcount > 0

    def check(self, text: str) -> ServiceKey | None:
        """The key that ``text`` is; None if it is none or was revoked. How long it takes tells nothing of the text.

        Raises:
            SessionStoreError: code ``unavailable``, the database does not answer.
        """
        now = time.monotonic()
        with _faults_named():
            known = self._look_up(_id_of(text), now)
            if not hmac.compare_digest(known.digest if known else _NOBODY, _digest(text)) or known is None:
                return None
            self._note_use(known, now)
        return known.key

    def remembered(self, text: str) -> ServiceKey | None:
        """The key that ``text`` is, if that was found out a moment ago; None says nothing. Asks no database."""
        known = self._known.get(_id_of(text))
        now = time.monotonic()
        if known is None or known.until < now or now - known.noted > USE_NOTED_S:
            return None
        return known.key if hmac.compare_digest(known.digest, _digest(text)) else None

    def check_id(self, key_id: str) -> ServiceKey | None:
        """The key with this id; None if there is none or it was revoked. Its use is noted as by ``check``.

        Raises:
            SessionStoreError: code ``unavailable``, the database does not answer.
        """
        now = time.monotonic()
        with _faults_named():
            known = self._look_up(key_id, now)
            if known is not None:
                self._note_use(known, now)
        return known and known.key

    def remembered_id(self, key_id: str) -> ServiceKey | None:
        """The key with this id, if it was looked up a moment ago; None says nothing. Asks no database."""
        known = self._known.get(key_id)
        now = time.monotonic()
        return None if known is None or known.until < now or now - known.noted > USE_NOTED_S else known.key

    def was_in_use(self, text: str) -> bool:
        """Whether ``text`` was a key when this process last looked, however long ago. Asks no database."""
        known = self._known.get(_id_of(text))
        return known is not None and hmac.compare_digest(known.digest, _digest(text))

    def answers(self) -> None:
        """Ask the database for anything.

        Raises:
            SessionStoreError: code ``unavailable``, it does not answer.
        """
        with _faults_named(), self._engine.connect() as connection:
            connection.execute(sa.select(_keys.c.id).limit(1)).all()

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _make_table(self) -> None:
        for left in (1, 0):
            try:
                with self._engine.begin() as connection:
                    connection.execute(CreateTable(_keys, if_not_exists=True))
                return
            except (IntegrityError, ProgrammingError):  # another process makes it at this moment
                if not left:
                    raise

    def _note_use(self, known: _Remembered, now: float) -> None:
        if now - known.noted > USE_NOTED_S:
            known.noted = now
            with self._engine.begin() as connection:
                used = _keys.update().where(_keys.c.id == known.key.id).values(last_used_at=time.time_ns())
                connection.execute(used)

    def _look_up(self, key_id: str, now: float) -> _Remembered | None:
        with self._engine.connect() as connection:
            row = connection.execute(
                sa.select(_keys).where(_keys.c.id == key_id, _keys.c.revoked_at.is_(None))
            ).one_or_none()
        with self._lock:
            before = self._known.pop(key_id, None)
            if row is None:
                return None
            noted = before.noted if before else float("-inf")
            known = self._known[key_id] = _Remembered(row.digest, _read(row), now + REMEMBERED_S, noted)
        return known


@contextmanager
def _faults_named() -> Iterator[None]:
    """Turn a database's complaints into SessionStoreError; their text may name hosts and files."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or type(error).__name__  # never the statement: it holds the key's digest
        full = "is full" in str(cause) or getattr(cause, "sqlstate", None) == "53100"
        raise SessionStoreError(
            f"the database of the keys cannot be used: {str(cause).strip()}",
            code="disk_full" if full else "unavailable",
        ) from None


def _checked_projects(projects: Iterable[str]) -> tuple[str, ...]:
    names = () if isinstance(projects, str) else tuple(dict.fromkeys(projects))
    if not names or not all(isinstance(name, str) and name.strip() and len(name) <= 200 for name in names):
        raise SchemaValidationError(
            f"projects must be a list of at least one name of 1 to 200 characters, got {shown(projects)}; "
            "leave it out for a key for all projects"
        )
    return names


def _make_private(path: Path) -> None:
    try:
        make_private(path)
    except OSError as error:
        code = "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "cannot_open"
        raise SessionStoreError(f"the database of the keys {path} cannot be used: {error}", code=code) from error


def _id_of(text: str) -> str:
    parts = text.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == "qk" and len(parts[1]) == 8 and parts[1].isalnum() else ""


def _digest(text: str) -> str:
    """A key holds 256 random bits: a plain digest cannot be turned back, and costs next to nothing to check."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


_NOBODY = _digest("")


def _read(row: sa.Row) -> ServiceKey:
    moments = {
        name: None if (moment := getattr(row, name)) is None else format_timestamp(moment)
        for name in ("last_used_at", "revoked_at")
    }
    key = ServiceKey(
        row.id, row.name, tuple(row.scopes.split()),
        None if row.projects is None else tuple(msgspec.json.decode(row.projects)), format_timestamp(row.created_at),
    )  # fmt: skip
    return replace(key, **moments)
