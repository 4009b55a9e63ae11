"""A real service in a process of its own, on a free port of this machine."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import httpx
import pytest

from quark.service.keys import KeyStore
from tests.children import child_environment
from tests.ports import free_port


class Service:
    """A service that can be started, stopped, killed and started again over the same data."""

    settings: ClassVar[dict[str, str]] = {}

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.db = f"sqlite:///{directory}/quark.db"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        keys = KeyStore(f"sqlite:///{directory}/service.db")
        self.key = keys.create("test")[0]
        keys.close()
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        command = [sys.executable, "-m", "quark.cli", "serve", "--db", self.db, "--port", str(self.port)]
        environment = child_environment()
        environment.update(self.settings)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=1).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.05)
        raise RuntimeError(f"the service did not start: {self._log.read_text()}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal; its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(30)


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service that is not started yet, and the variables that point runs at it."""
    made = Service(tmp_path / "service")
    monkeypatch.setenv("QUARK_PERSISTENCE_URL", made.url)
    monkeypatch.setenv("QUARK_USER_KEY", made.key)
    monkeypatch.chdir(tmp_path)
    try:
        yield made
    finally:
        made.stop(signal.SIGKILL)
