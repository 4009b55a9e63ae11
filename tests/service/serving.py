"""The service on a real socket: in a thread of this process, or as `quark serve` in processes of its own."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from quark.core.batch import RecordBatch
from quark.service import ServiceConfig
from quark.service.app import create_app
from quark.service.keys import KeyStore
from quark.service.server import settings_of
from tests.ports import free_port

PATIENT = """
import pathlib, sys
from quark.service import ServiceConfig
from quark.service.server import serve
config = ServiceConfig.of(sys.argv[1], pathlib.Path(sys.argv[2]), notice_s=float(sys.argv[4]))
serve(config, host="127.0.0.1", port=int(sys.argv[3]))
"""


class Threaded:
    """The service as it is served, in a thread, so that a test can shorten its deadlines."""

    def __init__(self, config: ServiceConfig) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.app = create_app(config)
        self.key = self.app.state.key_store.create("test", ["admin"])[0]
        self._client = httpx.Client(base_url=self.url, headers={"X-Quark-API-Key": self.key}, timeout=60)
        settings = {**settings_of(config, host="127.0.0.1", port=self.port, connections=1000), "loop": "asyncio"}
        self.server = uvicorn.Server(uvicorn.Config(self.app, **settings))
        self._thread = threading.Thread(target=lambda: asyncio.run(self.server.serve()))
        self._thread.start()
        deadline = time.monotonic() + 60
        while not self.server.started and time.monotonic() < deadline:
            time.sleep(0.01)

    def connect(self) -> socket.socket:
        """A socket to the service."""
        made = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def ask(self, path: str) -> httpx.Response:
        """A request with the key of everything."""
        return self._client.get(path)

    def write(self, batch: RecordBatch) -> int:
        """Send a batch; the status of the answer."""
        path = f"/api/v1/runs/{batch.origin.run_id}/writers/{batch.origin.writer_id}/records"
        query = {"first": batch.first, "stop": batch.stop}
        return self._client.post(path, params=query, content=batch.data).status_code

    def close(self) -> None:
        """End it."""
        self._client.close()
        self.server.should_exit = True
        self._thread.join(60)


class Processes:
    """`quark serve` as users start it.

    Args:
        notice_s: see ``ServiceConfig``, for a test that has to see what happens within it on a busy machine.
    """

    def __init__(self, db: str, data: Path, *options: str, notice_s: float | None = None) -> None:
        data.mkdir(parents=True, exist_ok=True)
        keys = KeyStore(ServiceConfig.of(db, data).keys_url)
        self.key = keys.create("test", ["admin"])[0]
        keys.close()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data / f"log-{self.port}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("QUARK_")}
        environment.update(QUARK_SERVICE_DB=db, QUARK_SERVICE_DATA=str(data))
        command = [sys.executable, "-m", "quark.cli", "serve", "--port", str(self.port), *options]
        if notice_s is not None:
            command = [sys.executable, "-c", PATIENT, db, str(data), str(self.port), str(notice_s)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.05)
        self.kill()
        raise RuntimeError(self.log.read_text())

    def client(self, **more: Any) -> httpx.Client:
        """A client with the key of everything."""
        return httpx.Client(base_url=self.url, headers={"X-Quark-API-Key": self.key}, timeout=30, **more)

    def stop(self) -> None:
        """End it in order."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait(30)
