"""`quark blueprint`: what the configurations of a project's runs must look like."""

import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from .options import AsJson, ServiceUrl, StorageDir
from .output import console, print_json, text

app = typer.Typer(
    name="blueprint", no_args_is_help=True,
    help="Show, set and remove the JSON Schema that the configurations of a project's runs must match.",
)  # fmt: skip
Project = Annotated[str, typer.Argument(metavar="PROJECT", help="Name of the project.")]


@app.command("show")
def show_blueprint(
    project: Project, storage_dir: StorageDir = None, url: ServiceUrl = None, as_json: AsJson = False
) -> None:
    """Print a project's blueprint; with --json {"project": ..., "blueprint": ...}, where null means none."""
    from .choosing import opened

    with opened(storage_dir, url) as store:
        found = store.blueprint(project)
    if as_json:
        print_json({"project": project, "blueprint": found})
    elif found is None:
        console().print(text(f"{project} has no blueprint; any configuration is taken"))
    else:
        print_json(found)


@app.command("set")
def set_blueprint(
    project: Project,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The JSON Schema; - is standard input.")],
    storage_dir: StorageDir = None,
    url: ServiceUrl = None,
    as_json: AsJson = False,
) -> None:
    """Set a project's blueprint: from now on a run with another configuration is refused before it begins."""
    try:
        schema = orjson.loads(sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes())
    except ValueError as error:
        raise typer.BadParameter(f"{file} is no JSON ({error}); a blueprint is a JSON Schema") from error
    _set(project, schema, storage_dir, url)
    if as_json:
        print_json({"project": project, "blueprint": schema})
    else:
        console().print(text(f"the configurations of {project} are held against {file} from now on"))


@app.command("remove")
def remove_blueprint(
    project: Project, storage_dir: StorageDir = None, url: ServiceUrl = None, as_json: AsJson = False
) -> None:
    """Remove a project's blueprint: any configuration is taken again."""
    _set(project, None, storage_dir, url)
    if as_json:
        print_json({"project": project, "blueprint": None})
    else:
        console().print(text(f"{project} has no blueprint any more"))


def _set(project: str, schema: Any, storage_dir: Path | None, url: str | None) -> None:
    """In the service that is named, else where the project's runs would be recorded; a folder's store may be new."""
    from ..reading import connect
    from ..session.blueprints import set_blueprint as set_at_home

    if url is None:
        set_at_home(project, schema, storage_dir=storage_dir)
        return
    with connect(url, storage_dir=storage_dir) as store:
        store.set_blueprint(project, schema)
