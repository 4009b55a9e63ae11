"""`quark namespaces`: the storage namespaces of a service."""

from typing import Annotated

import typer

from .options import AsJson, Yes
from .output import console, plain, print_json, text
from .serve import Database, DataDir

app = typer.Typer(name="namespaces", no_args_is_help=True, help="List and remove the storage namespaces of a service.")


@app.command("list")
def list_namespaces(db: Database, data: DataDir = None, as_json: AsJson = False) -> None:
    """List the names that clients have stored runs under (QUARK_STORAGE_DIR, X-Quark-Storage-Dir)."""
    from ..service.config import ServiceConfig
    from ..service.namespaces import kept_namespaces

    found = kept_namespaces(ServiceConfig.of(db, data))
    if as_json:
        print_json({"namespaces": found})
    else:
        out = console()
        for name in found:
            out.print(text(name), soft_wrap=True)


@app.command("remove")
def remove(
    db: Database, name: Annotated[str, typer.Argument(metavar="NAME", help="As `quark namespaces list` shows it.")],
    data: DataDir = None, yes: Yes = False, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Remove a namespace with its runs, records and payloads for good. Stop the service first."""
    from ..service.config import ServiceConfig
    from ..service.namespaces import remove_namespace
    from .choosing import confirmed

    config = ServiceConfig.of(db, data)
    confirmed(f"Remove the namespace {plain(name)} with everything in it?", yes, as_json)
    remove_namespace(config, name)
    if as_json:
        print_json({"removed": name})
    else:
        console().print(text(f"{name} is removed"))
