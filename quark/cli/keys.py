"""`quark keys`: who may use a service."""

from typing import Annotated

import typer

from .options import AsJson
from .output import console, print_json, text
from .serve import Database, DataDir

app = typer.Typer(name="keys", no_args_is_help=True, help="Make, list and revoke the keys of a service.")


def _opened(db: str, data: DataDir):  # type: ignore[no-untyped-def]
    from ..service.config import ServiceConfig
    from ..service.keys import KeyStore

    config = ServiceConfig.of(db, data)
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return KeyStore(config.keys_url)


@app.command("create")
def create(
    db: Database,
    name: Annotated[str, typer.Option("--name", metavar="NAME", show_default=False, help="Who will use it.")],
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="read, write or admin; read and write if omitted.")
    ] = None,
    project: Annotated[list[str] | None, typer.Option("--project", help="Only this project; may be repeated.")] = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is printed this once, and kept as a digest only."""
    keys = _opened(db, data)
    try:
        made, key = keys.create(name, scope or ("read", "write"), project or None)
    finally:
        keys.close()
    if as_json:
        print_json({"key": made, "id": key.id, "name": key.name, "scopes": list(key.scopes), "projects": key.projects})
    else:
        print(made)


@app.command("list")
def list_keys(db: Database, data: DataDir = None, as_json: AsJson = False) -> None:
    """List the keys: who has them, what they may do, when they were last used."""
    keys = _opened(db, data)
    try:
        found = keys.all()
    finally:
        keys.close()
    if as_json:
        print_json({"keys": [
            {
                "id": key.id, "name": key.name, "scopes": list(key.scopes), "projects": key.projects,
                "created_at": key.created_at, "last_used_at": key.last_used_at, "revoked_at": key.revoked_at,
            }
            for key in found
        ]})  # fmt: skip
        return
    out = console()
    for key in found:
        limits = "all projects" if key.projects is None else ", ".join(key.projects)
        state = f"revoked {key.revoked_at}" if key.revoked_at else f"last used {key.last_used_at or 'never'}"
        out.print(text(f"{key.id}  {key.name}  {'+'.join(key.scopes)}  {limits}  {state}"), soft_wrap=True)


@app.command("revoke")
def revoke(
    db: Database, key_id: Annotated[str, typer.Argument(metavar="ID", help="As `quark keys list` shows it.")],
    data: DataDir = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Make a key useless, within seconds and for good."""
    from ..errors import SessionStoreError

    keys = _opened(db, data)
    try:
        done = keys.revoke(key_id)
    finally:
        keys.close()
    if not done:
        raise SessionStoreError(
            f"no key in use has the id {key_id!r}; list them with: quark keys list", code="key_not_found"
        )
    if as_json:
        print_json({"revoked": key_id})
    else:
        console().print(text(f"{key_id} is revoked"))
