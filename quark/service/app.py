"""The service as an ASGI application: its routes, its one error shape, its description as OpenAPI 3.1."""

from typing import Any

from litestar import Litestar
from litestar.datastructures import State
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from . import administration, blobs, control, ingest, life, meters, records, runs
from .access import Failures, require_scope
from .config import ServiceConfig
from .keys import KeyStore
from .meters import Meters, metered
from .namespaces import Namespaces
from .problems import answer

ROUTES: list[Any] = [
    life.healthz, life.readyz, meters.prometheus,
    ingest.take, ingest.position, blobs.held, blobs.upload, blobs.download,
    runs.list_runs, runs.read_run, runs.overview, runs.list_projects,
    records.read_records, records.read_series, records.read_chart,
    control.heartbeat, control.read_control, control.stop, control.restart,
    administration.list_keys, administration.create_key, administration.revoke_key,
]  # fmt: skip
"""Every route of the service; the tests of access and of the description go through this list."""


def create_app(config: ServiceConfig) -> Litestar:
    """The service for a configuration; serve it with any ASGI server, or with ``quark serve``."""
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    keys = KeyStore(config.keys_url)
    state = State({
        "config": config, "key_store": keys, "namespaces": Namespaces(config), "stopping": False, "meters": Meters(),
        "failures": Failures(config.failed_keys_per_minute),
    })  # fmt: skip
    return Litestar(
        ROUTES, state=state, guards=[require_scope], middleware=[metered], lifespan=[life.lifespan],
        exception_handlers={Exception: answer}, request_max_body_size=None, logging_config=None,
        openapi_config=OpenAPIConfig(
            title="Quark service", version=life.VERSION, path="/schema",
            render_plugins=[JsonRenderPlugin(path="/openapi.json")],
        ),
    )  # fmt: skip
