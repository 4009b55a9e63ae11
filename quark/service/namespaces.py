"""The stores of a service: one for each storage namespace, which a client names and never places."""

import os
import shutil
import threading
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..errors import ConfigurationError, SessionStoreError
from ..records.artifact import ArtifactRecord
from ..storage.database import digest
from ..storage.filesystem import identity_of
from .config import ServiceConfig
from .payloads import PARTIAL_S, BlobFiles, assign_owners, drop_partials, owners_of
from .problems import ProblemError

if TYPE_CHECKING:
    from ..storage import SqlStore
    from ..storage.belonging import RunRow

DEFAULT = "default"
EMPTY = "~empty"
"""Stands in for namespaces that are not there: who only reads makes none, and is told what an empty one would say.

No client can name it: names do not begin with ``~``.
"""

MOST_OPEN = 200
"""Stores that a process keeps open, each of half a megabyte, unless more of them have runs that are watched."""

LEAVES_AFTER_S = 60.0
"""How long a store that is let go of stays open for the requests that have it."""

LONGEST = 1024
BLOBS = "blobs"
NAME = "name"
"""The file in the directory of a namespace that says which one it is: the directory's own name is a digest."""

MAKER = "maker"
"""The file beside it with the id of the key that first stored something there."""


def namespace_label(text: str | None) -> str:
    """The label of a namespace: a digest of its canonical name, so that no name can reach outside."""
    return digest(canonical_name(text))


def canonical_name(text: str | None) -> str:
    """A namespace's name as it is compared: NFC, without repeated slashes and one at its end.

    Raises:
        ProblemError: 400, the name is no name: a way upwards, a home directory, a share, control characters, too long.
    """
    name = unicodedata.normalize("NFC", (text or "").strip()) or DEFAULT
    parts = [part for part in name.split("/") if part]
    if (
        len(name.encode("utf-8", "replace")) > LONGEST
        or any(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") for letter in name)
        or any(part in (".", "..") for part in parts)
        or name.startswith(("~", "\\\\"))
        or not parts
    ):
        raise ProblemError(
            400, f"X-Quark-Storage-Dir names a storage namespace: up to {LONGEST} bytes, no '..', no '~' at its start, "
            "no control characters", code="bad_namespace", field="X-Quark-Storage-Dir",
        )  # fmt: skip
    return ("/" if name.startswith("/") else "") + "/".join(parts)


class Namespaces:
    """Opens the store of a namespace when it is first asked for, and keeps it open."""

    def __init__(self, config: ServiceConfig, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._directory = config.data_dir / "namespaces"
        self._open: OrderedDict[str, SqlStore] = OrderedDict()  # the one that was asked for last at the end
        self._places: dict[str, tuple[int, int]] = {}  # which directory each of them was opened in
        self._leaving: list[tuple[float, SqlStore]] = []
        self._lock = threading.Lock()
        self._monotonic = monotonic

    def store(self, text: str | None, *, maker: str | None = None) -> "SqlStore":
        """The store of a namespace. One that is new is made for ``maker``; without it an empty one stands in.

        Args:
            maker: the id of the key for which something is to be stored.

        Raises:
            ProblemError: 400 no name of a namespace; 403 there are as many namespaces as there may be.
        """
        name = canonical_name(text)
        store = self._open.get(name)
        if store is None or self._is_removed(name):
            with self._lock:
                if self._is_removed(name) and name in self._open:
                    self._leaving.append((self._monotonic(), self._open.pop(name)))
                store = self._open.get(name)
                if store is None:
                    name = self._to_open(name, maker)
                    store = self._open.get(name) or self._make(name, maker)
                    self._open[name] = store
        with suppress(KeyError):  # it has just been let go, and serves this request all the same
            self._open.move_to_end(name)
        return store

    def _is_removed(self, name: str) -> bool:
        """Whether an open namespace was removed by the command, and perhaps made again by another process."""
        opened = self._places.get(name)
        return opened is not None and opened != identity_of(self._directory / digest(name))

    def exists(self, text: str | None) -> bool:
        """Whether something was stored in a namespace; the default one is always there."""
        name = canonical_name(text)
        return self._is_there(name)

    def files(self, text: str | None) -> Path:
        """The directory of a namespace's artifacts."""
        return self._directory / namespace_label(text) / BLOBS

    def payload(self, text: str | None, row: "RunRow", artifact: ArtifactRecord) -> BinaryIO:
        """The payload of a run's artifact, to be read; FileNotFoundError if it has not arrived."""
        return BlobFiles(self.files(text), owners_of(row)).opened(artifact.sha256)

    def drop_partials(self, older_than_s: float = PARTIAL_S) -> int:
        """Delete the uploads of all namespaces that broke off so long ago; returns how many."""
        return sum(drop_partials(path, older_than_s) for path in self._directory.glob(f"*/{BLOBS}"))

    def every(self) -> "list[SqlStore]":
        """The stores that are open in this process."""
        return list(self._open.values())

    def closed(self) -> list[str]:
        """The names of the namespaces that are there and not open in this process."""
        names = []
        for path in self._directory.glob(f"*/{NAME}"):
            try:
                name = path.read_text("utf-8")
            except (OSError, UnicodeDecodeError):
                continue  # it is read when it is written again, with the next use of the namespace
            if name not in self._open and name and digest(name) == path.parent.name:
                names.append(name)
        return names

    def keep_open_if(self, name: str, wanted: "Callable[[SqlStore], bool]") -> None:
        """Look into a namespace that is there; it stays open if it is wanted so. Nobody waits for the look."""
        if name in self._open:
            return
        store, kept = self._make(name), None
        try:
            if wanted(store):
                with self._lock:
                    kept = self._open.setdefault(name, store)
        finally:
            if kept is not store:
                store.close()

    def close_idle(self, is_needed: "Callable[[SqlStore], bool]") -> None:
        """Of more open stores than there may be, let go of those that were not asked for the longest.

        A store is closed a while later: a request may still have it.
        """
        now = self._monotonic()
        excess = len(self._open) - MOST_OPEN
        for name, store in list(self._open.items()) if excess > 0 else ():
            if excess > 0 and not is_needed(store):
                excess -= 1
                with self._lock:
                    self._leaving.append((now, self._open.pop(name)))
        while self._leaving and now - self._leaving[0][0] > LEAVES_AFTER_S:
            self._leaving.pop(0)[1].close()

    def close(self) -> None:
        """Close all stores."""
        with self._lock:
            for store in (*self._open.values(), *(store for _, store in self._leaving)):
                store.close()
            self._open.clear()
            self._leaving.clear()

    def _is_there(self, name: str) -> bool:
        if name == DEFAULT:
            return True
        known = self._directory / digest(name)
        return known.is_dir() and not known.is_symlink()

    def _to_open(self, name: str, maker: str | None) -> str:
        if self._is_there(name):
            return name
        if maker is None:
            return EMPTY
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = [directory for directory in self._directory.iterdir() if directory.name != digest(EMPTY)]
        if len(made) >= self._config.max_namespaces:
            raise ProblemError(
                403, f"the service has {self._config.max_namespaces} namespaces, the most that it may; "
                "remove one with: quark namespaces remove",
            )  # fmt: skip
        most = self._config.max_namespaces_per_key
        if sum(_text_of(directory / MAKER) == maker for directory in made) >= most:
            raise ProblemError(403, f"this key has made {most} namespaces, the most that one may")
        return name

    def _make(self, name: str, maker: str | None = None) -> "SqlStore":
        from ..storage import SqlStore

        directory = self._directory / digest(name)
        if directory.is_symlink():
            raise SessionStoreError(f"{directory} is a link; a namespace is a directory", code="damaged")
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in directory.glob("*"):
            if file.is_symlink():
                raise SessionStoreError(f"{file} is a link; a namespace holds files and directories", code="damaged")
        _keep(directory / NAME, name)
        if maker is not None and name != DEFAULT:  # the default one is nobody's
            _keep(directory / MAKER, maker)
        if self._config.is_sqlite:
            store = SqlStore(directory / "quark.db")
        else:
            store = SqlStore(self._config.db, namespace=name)
        try:
            assign_owners(store, directory / BLOBS)
            self._places[name] = identity_of(directory) or (0, 0)
        except BaseException:
            store.close()
            raise
        return store


def _keep(path: Path, text: str) -> None:
    """Written whole or not at all, and once: of two processes that make a namespace each writes what it knows."""
    if not path.exists():
        made = path.with_name(f"{path.name}.{os.getpid()}")
        made.write_text(text, "utf-8")
        made.replace(path)


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def kept_namespaces(config: ServiceConfig) -> list[str]:
    """The names of all namespaces of a service, sorted."""
    found = ((path.parent.name, _text_of(path)) for path in (config.data_dir / "namespaces").glob(f"*/{NAME}"))
    return sorted(name for label, name in found if name and name != EMPTY and digest(name) == label)


def remove_namespace(config: ServiceConfig, text: str) -> None:
    """Remove a namespace with its runs, records and payloads, for good.

    Raises:
        ConfigurationError: there is none of this name.
    """
    name = canonical_name(text)
    if name not in kept_namespaces(config):
        raise ConfigurationError(f"there is no namespace {name!r}; list them with: quark namespaces list")
    if not config.is_sqlite:
        from ..storage.postgres import drop_namespace

        drop_namespace(config.db, name)
    shutil.rmtree(config.data_dir / "namespaces" / digest(name))
