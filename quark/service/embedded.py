"""The application over the store of one storage directory, for the person who sits before it: `quark ui`."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import uvicorn
from litestar import Litestar

from ..errors import SchemaValidationError, SessionStoreError
from ..reading.opening import Embedded, deliver_leftovers, open_embedded
from ..records.artifact import ArtifactRecord
from ..session.placement import Placement
from ..storage.artifacts import opened_payload, verify_payload
from .app import assembled
from .config import ServiceConfig
from .cookies import PAGE_LASTS_S
from .keys import KeyStore
from .namespaces import DEFAULT, canonical_name
from .problems import ProblemError
from .rounds import Rounds
from .server import NOT_MADE, Server, settings_of
from .sessions import Tokens

if TYPE_CHECKING:
    from ..storage import SqlStore
    from ..storage.belonging import RunRow

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
LEFTOVERS_EVERY_S = 5.0
"""How often what dead processes left is delivered, so that their runs end on the page too."""

COPY_EVERY_S = 5.0
"""How often a store that cannot be written is copied again at most, if it has changed."""

CLOSE_AFTER_S = 60.0
"""How long an earlier copy stays open for the requests that read it."""

VERIFIED_BYTES = 64 << 20
"""Payloads up to this size are compared with their digest before they are sent."""

NO_LINK = "this page is open to whoever has the link that `quark ui` printed in its terminal; open that one"


class OneStore:
    """The store of a storage directory in the place of the namespaces of a service; see ``Namespaces``.

    A store that cannot be written is read as a copy, which is made anew when the store has changed.
    """

    def __init__(self, opened: Embedded) -> None:
        self.placement = opened.placement
        self._opened = opened
        self._earlier: list[tuple[float, Embedded]] = []
        self._lock = threading.Lock()
        self._state = _state_of(opened.placement)
        self._tended_at = 0.0

    def store(self, text: str | None, *, maker: str | None = None) -> "SqlStore":
        """The store; the only namespace is the default one."""
        if canonical_name(text) != DEFAULT:
            raise ProblemError(404, "one storage directory is served here; leave X-Quark-Storage-Dir out")
        return self._opened.store

    def files(self, text: str | None) -> Path:
        """Where payloads could be uploaded to: nowhere."""
        raise ProblemError(
            403, "nothing can be uploaded to `quark ui`; record into the directory, or use `quark serve`"
        )

    def payload(self, text: str | None, row: "RunRow", artifact: ArtifactRecord) -> BinaryIO:
        """The payload of a run's artifact, to be read; FileNotFoundError if it is not there."""
        run_path = self.placement.run_path(row.id)
        try:
            if artifact.size_bytes <= VERIFIED_BYTES:
                verify_payload(run_path, artifact)
            with opened_payload(run_path, artifact.payload_relative_path) as stream:
                return os.fdopen(os.dup(stream.fileno()), "rb")
        except (OSError, SchemaValidationError) as error:
            raise FileNotFoundError(artifact.payload_relative_path) from error
        except SessionStoreError as error:
            if error.code == "artifact_missing":
                raise FileNotFoundError(artifact.payload_relative_path) from error
            raise SessionStoreError(str(error), status=409, code=error.code) from error

    def every(self) -> "list[SqlStore]":
        """The store."""
        return [self._opened.store]

    def tend(self, _: object = None) -> None:
        """Deliver what dead processes left, or, where a copy is read, copy the store again if it has changed."""
        now = time.monotonic()
        self._close_earlier(now)
        if now - self._tended_at < (COPY_EVERY_S if self._opened.is_copy else LEFTOVERS_EVERY_S):
            return
        if not self._opened.is_copy:
            deliver_leftovers(self.placement)
        elif (state := _state_of(self.placement)) != self._state:
            opened = open_embedded(self.placement.storage_dir, sync=False)
            with self._lock:
                self._earlier.append((now, self._opened))
                self._opened, self._state = opened, state
        self._tended_at = time.monotonic()  # a copy that takes long is made as much later

    def _close_earlier(self, now: float) -> None:
        while self._earlier and now - self._earlier[0][0] > CLOSE_AFTER_S:
            self._earlier.pop(0)[1].close()

    def close(self) -> None:
        """Close the store."""
        for _, opened in self._earlier:
            opened.close()
        self._opened.close()


def _state_of(placement: Placement) -> tuple[tuple[int, int], ...]:
    """Changes when the store does."""
    found = []
    for path in (placement.db_path, placement.db_path.with_name(f"{placement.db_path.name}-wal")):
        try:
            about = path.stat()
        except OSError:
            continue
        found.append((about.st_size, about.st_mtime_ns))
    return tuple(found)


def create_page_app(opened: Embedded, private: Path, tokens: Tokens) -> Litestar:
    """The application of `quark ui`.

    Args:
        opened: the store; it is closed with the application.
        private: a directory of this user alone, for the key of this page.
        tokens: sign in once each.
    """
    config = ServiceConfig.of(
        f"sqlite:///{private}/unused.db", private, allowed_hosts=LOOPBACK, notice_s=0.0, drain_s=1.0
    )
    keys = KeyStore(config.keys_url)
    page_key = keys.create("quark ui", ("read", "write"))[1]
    keys.close()
    stores = OneStore(opened)
    rounds = [Rounds("quark-ui", stores.every, stores.tend, "the store %s could not be looked after (%s)")]
    about = {"page_key": page_key, "tokens": tokens, "no_key": NO_LINK, "session_s": PAGE_LASTS_S}
    return assembled(config, stores, rounds, **about)


def serve_page(app: Litestar, listening: socket.socket, on_start: Callable[[], object]) -> None:
    """Serve the application until SIGTERM or SIGINT.

    Args:
        listening: a bound socket.
        on_start: called once requests are served.
    """
    logging.getLogger("quark.service.requests").setLevel(logging.WARNING)
    config: ServiceConfig = app.state.config
    settings = settings_of(config, host="127.0.0.1", port=listening.getsockname()[1], connections=1000)
    Server(uvicorn.Config(NOT_MADE, **settings), lambda: app, config.notice_s, on_start=on_start).run([listening])
