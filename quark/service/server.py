"""Serves the application: one process or several, with limits on what a connection may cost, and an orderly end."""

import asyncio
import functools
import logging
import multiprocessing
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any

import uvicorn
from litestar import Litestar

from .app import create_app
from .config import ServiceConfig
from .connection import GuardedProtocol
from .logs import log_to_stderr
from .memory import return_freed_memory
from .meters import SHARED

logger = logging.getLogger("quark.service")

REPLACE_S = 0.5
SWITCH_S = 0.001
"""How long a thread that stores keeps the interpreter from one that reads: a chart asks for it a dozen times."""
NOT_MADE = "quark.service:create_app"
"""Stands for the application until ``Server.run`` has made it."""


class Server(uvicorn.Server):
    """One process that serves. At SIGTERM or SIGINT it says that it stops, then stops listening, then drains.

    Args:
        config: what uvicorn needs to know.
        make_app: makes the application, in the process that serves.
        notice_s: see ``ServiceConfig``.
        is_worker: whether another process supervises this one.
        on_start: called once requests are served.
    """

    def __init__(
        self, config: uvicorn.Config, make_app: Callable[[], Litestar], notice_s: float, *, is_worker: bool = False,
        on_start: Callable[[], object] = bool,
    ) -> None:  # fmt: skip
        super().__init__(config)
        self._make_app = make_app
        self._notice_s = notice_s
        self._is_worker = is_worker
        self._on_start = on_start

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal."""
        return_freed_memory()
        sys.setswitchinterval(SWITCH_S)
        self._app = self._make_app()
        self.config.app = self._app
        super().run(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal ends in order, a second one at once; a worker leaves the second one to its supervisor."""
        if not self.started:
            super().handle_exit(sig, frame)
        elif not self._app.state.stopping:
            self._app.state.stopping = True
            logger.info("stopping: new requests are answered with 503")
            stop = functools.partial(super().handle_exit, sig, frame)
            self._loop.call_soon_threadsafe(self._loop.call_later, self._notice_s, stop)
        elif not self._is_worker:
            end_now(sig)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            self._on_start()


def serve(config: ServiceConfig, *, host: str, port: int, workers: int = 1, connections: int = 1000) -> None:
    """Serve until SIGTERM or SIGINT; then see ``notice_s`` and ``drain_s`` of the configuration.

    Args:
        host, port: where to listen.
        workers: processes.
        connections: connections that one process holds at once; requests on further ones are answered with 503.
    """
    log_to_stderr()
    _allow_files()
    settings = settings_of(config, host=host, port=port, connections=connections)
    if workers > 1:
        _supervise(config, settings, workers)
        return
    server = _server(config, settings)
    server.run()
    if not server.started:
        raise SystemExit(3)


def settings_of(config: ServiceConfig, *, host: str, port: int, connections: int) -> dict[str, Any]:
    """What uvicorn is told; proxies and the log are ours, so that what a request says of itself is not believed."""
    return {
        "host": host, "port": port, "limit_concurrency": connections, "http": GuardedProtocol, "ws": "none",
        "proxy_headers": False, "timeout_keep_alive": 30, "access_log": False, "server_header": False,
        "timeout_graceful_shutdown": max(1, round(config.drain_s)), "log_config": None,
    }  # fmt: skip


def end_now(sig: int) -> None:
    """End this process as the signal does by itself; the stores are safe, as they are from SIGKILL."""
    signal.signal(sig, signal.SIG_DFL)
    signal.raise_signal(sig)


def _supervise(config: ServiceConfig, settings: dict[str, Any], workers: int) -> None:
    """Keep so many processes at work on one socket; one that dies is replaced."""
    stop = threading.Event()
    children: list[SpawnProcess] = []

    def end(sig: int, _: FrameType | None) -> None:
        if stop.is_set():
            for child in children:
                child.kill()
            end_now(sig)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    counts = os.environ[SHARED] = tempfile.mkdtemp(prefix="quark-service-")
    listening = uvicorn.Config(NOT_MADE, **settings).bind_socket()
    start = functools.partial(_start, config, settings, listening)
    try:
        children += [start() for _ in range(workers)]
        while not stop.wait(REPLACE_S):
            for place, child in enumerate(children):
                if child.exitcode is not None:
                    logger.error("a worker ended with the exit code %s; another one takes its place", child.exitcode)
                    children[place] = start()
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.join(config.notice_s + config.drain_s + 10.0)
            child.kill()
        listening.close()
        shutil.rmtree(counts, ignore_errors=True)


def _start(config: ServiceConfig, settings: dict[str, Any], listening: socket.socket) -> SpawnProcess:
    child = multiprocessing.get_context("spawn").Process(target=_work, args=(config, settings, listening))
    child.start()
    return child


def _work(config: ServiceConfig, settings: dict[str, Any], listening: socket.socket) -> None:
    """A worker; it ends when the process that started it does, even if that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    log_to_stderr()
    _server(config, settings, is_worker=True).run([listening])


def _server(config: ServiceConfig, settings: dict[str, Any], *, is_worker: bool = False) -> Server:
    make_app = functools.partial(create_app, config)
    return Server(uvicorn.Config(NOT_MADE, **settings), make_app, config.notice_s, is_worker=is_worker)


def _end_with(parent: Any) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _allow_files() -> None:
    """As many open files as the system lets us have: connections, and a handful for each namespace."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 65_536) if hard != resource.RLIM_INFINITY else 65_536
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
