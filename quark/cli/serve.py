"""`quark serve`: the service."""

from pathlib import Path
from typing import Annotated

import typer

Database = Annotated[
    str,
    typer.Option(
        "--db", metavar="URL", envvar="QUARK_SERVICE_DB", show_default=False, show_envvar=False,
        help="sqlite:///FILE or postgresql://USER@HOST/NAME; QUARK_SERVICE_DB if omitted.",
    ),
]  # fmt: skip
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", envvar="QUARK_SERVICE_DATA", show_default=False, show_envvar=False,
        help="Directory of artifacts; beside a SQLite file. QUARK_SERVICE_DATA if omitted.",
    ),
]  # fmt: skip


def serve(
    db: Database,
    data: DataDir = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 8765,
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Processes.")] = 1,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--trusted-proxy", metavar="NETWORK", help="A proxy whose X-Forwarded-For is believed; may be repeated."
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-host",
            metavar="NAME",
            show_default=False,
            help="A name under which the service is reached, such as quark.example.org; may be repeated. Requests for "
            "other names are refused. Any name if omitted.",
        ),
    ] = None,
) -> None:
    """Serve runs of a team over HTTP, and the pages on which they are looked at.

    Make a key for everybody who uses it with `quark keys create`. Put a reverse proxy with TLS before it when it is
    reached over a network. SIGTERM ends it in order.
    """
    from ..service.config import ServiceConfig
    from ..service.server import serve as run

    networks = {"trusted_proxies": tuple(trusted_proxy or ()), "allowed_hosts": tuple(allowed_host or ())}
    config = ServiceConfig.of(db, data, **networks)
    run(config, host=host, port=port, workers=workers)
