"""Serves the application: one process or several, with limits on what a connection may cost, and an orderly end."""

import logging
import os
from pathlib import Path

from ..settings import setting
from .app import create_app
from .config import ServiceConfig

MOST_HEADER = 64 << 10
LOG_LINE = '{"time":"%(asctime)s","level":"%(levelname)s","message":"%(message)s"}'
_DB, _DATA = "QUARK_SERVICE_DB", "QUARK_SERVICE_DATA"


def app_from_environment() -> object:
    """The application as a worker process makes it: what to serve comes from the process that started it."""
    data = setting(_DATA)
    return create_app(ServiceConfig.of(setting(_DB) or "", Path(data) if data else None))


def serve(config: ServiceConfig, *, host: str, port: int, workers: int = 1, connections: int = 1000) -> None:
    """Serve until SIGTERM or SIGINT; requests that are being served then have ``drain_s`` to finish.

    Args:
        host, port: where to listen.
        workers: processes.
        connections: requests that one process serves at once; further ones are answered with 503.
    """
    import uvicorn

    logging.basicConfig(
        level=logging.INFO, format='{"time":"%(asctime)s","level":"%(levelname)s","message":"%(message)s"}'
    )
    os.environ[_DB], os.environ[_DATA] = config.db, str(config.data_dir)
    uvicorn.run(
        "quark.service.server:app_from_environment" if workers > 1 else create_app(config), factory=workers > 1,
        host=host, port=port, workers=workers, limit_concurrency=connections, timeout_keep_alive=30,
        timeout_graceful_shutdown=int(config.drain_s), h11_max_incomplete_event_size=MOST_HEADER, access_log=False,
        server_header=False, log_config=None,
    )  # fmt: skip
