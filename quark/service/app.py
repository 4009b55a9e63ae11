"""The service as an ASGI application: its routes, its one error shape, its description as OpenAPI 3.1."""

import functools
from ipaddress import ip_network
from typing import Any

import msgspec
from litestar import Litestar
from litestar.datastructures import State

from ..dashboard.pages import PAGES
from . import (
    administration,
    blobs,
    blueprints,
    charts,
    checkpoints,
    control,
    deletion,
    description,
    edits,
    ingest,
    life,
    meters,
    query,
    records,
    runs,
    saved,
    sessions,
    stream,
)
from .access import NO_KEY, Failures, require_scope
from .config import ServiceConfig
from .cookies import SERVICE_LASTS_S
from .cursors import cursors_of
from .keys import KeyStore
from .lanes import new_lanes
from .meters import Meters
from .namespaces import Namespaces
from .problems import answer
from .requests import around
from .room import Room
from .rounds import Rounds

ROUTES: list[Any] = [
    life.healthz, life.readyz, meters.prometheus, description.openapi,
    ingest.take, ingest.position, blobs.held, blobs.upload, blobs.download,
    runs.list_runs, runs.read_run, runs.overview, runs.list_projects,
    query.query_runs, edits.edit_run,
    records.read_records, records.read_series, records.read_chart, charts.draw, charts.draw_groups, stream.stream,
    checkpoints.list_checkpoints, checkpoints.list_unrecorded,
    control.heartbeat, control.read_control, control.stop, control.restart,
    blueprints.read_blueprint, blueprints.set_blueprint,
    saved.list_views, saved.read_view, saved.save_view, saved.delete_view,
    deletion.delete_run, deletion.list_deleted, deletion.restore_run, deletion.purge,
    sessions.sign_in, sessions.read_session, sessions.sign_out,
    administration.list_keys, administration.create_key, administration.revoke_key,
]  # fmt: skip
"""Every route of the service; the tests of access and of the description go through this list."""


MOST_JSON = 1 << 20
"""Bytes of a request's body, except where a route takes records or files, which count for themselves."""


def create_app(config: ServiceConfig) -> Litestar:
    """The service for a configuration; serve it with any ASGI server, or with ``quark serve``."""
    namespaces = Namespaces(config)
    return assembled(config, namespaces, life.rounds_of(namespaces, config))


def assembled(config: ServiceConfig, namespaces: Any, rounds: list[Rounds], **more: Any) -> Litestar:
    """The application over some stores.

    Args:
        namespaces: gives the stores by their names, as ``Namespaces`` does.
        rounds: what visits the stores beside the requests.
        more: further parts of the application's state.
    """
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = State({
        "config": config, "key_store": KeyStore(config.keys_url), "namespaces": namespaces, "rounds": rounds,
        "stopping": False, "meters": Meters(), "failures": Failures(config.failed_keys_per_minute),
        "room": Room(config.max_memory), "lanes": new_lanes(), "cursors": cursors_of(config.data_dir),
        "trusted": [ip_network(proxy) for proxy in config.trusted_proxies], "no_key": NO_KEY, "tokens": None,
        "session_s": SERVICE_LASTS_S, **more,
    })  # fmt: skip
    app = Litestar(
        [*ROUTES, *PAGES], state=state, guards=[require_scope], lifespan=[life.lifespan],
        exception_handlers={Exception: answer}, request_max_body_size=MOST_JSON, logging_config=None,
        openapi_config=description.openapi_config(life.VERSION),
    )  # fmt: skip
    state.describe = functools.cache(lambda: msgspec.json.encode(description.document(app, ROUTES)))
    app.asgi_handler = around(app.asgi_handler, state)
    return app
