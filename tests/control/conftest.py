"""A real service in a process of its own, whose runs beat quickly and are missed quickly."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

import quark
from quark.reading import Store
from quark.service.keys import KeyStore

from ..client.conftest import Service


class QuickService(Service):
    """A service that closes a run as lost a second after its third heartbeat did not come."""

    settings: ClassVar[dict[str, str]] = {"QUARK_SERVICE_LOST_AFTER": "1"}

    def new_key(self, scopes: list[str], projects: list[str] | None = None) -> str:
        """The text of a further key."""
        keys = KeyStore(self.db.replace("quark.db", "service.db"))
        try:
            return keys.create("further", scopes, projects)[0]
        finally:
            keys.close()


def wait_until(holds: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: it did not within ``timeout_s``.
    """
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError("it did not come to hold in time")
        time.sleep(0.05)


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[QuickService]:
    """A running service, and the variables that point runs at it."""
    made = QuickService(tmp_path / "service")
    monkeypatch.setenv("QUARK_PERSISTENCE_URL", made.url)
    monkeypatch.setenv("QUARK_USER_KEY", made.key)
    monkeypatch.setenv("QUARK_HEARTBEAT_INTERVAL", "0.2")
    monkeypatch.setenv("QUARK_STORAGE_DIR", str(tmp_path / "runs"))
    try:
        made.start()
        yield made
    finally:
        made.stop(signal.SIGKILL)


@pytest.fixture(params=["folder", "service"])
def where(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs live in a folder, or in a service."""
    monkeypatch.setenv("QUARK_STORAGE_DIR", str(tmp_path / "runs"))
    if request.param == "service":
        request.getfixturevalue("service")
    return request.param


def opened(where: str) -> Store:
    """The store in which the runs are."""
    return quark.connect() if where == "service" else quark.open()
