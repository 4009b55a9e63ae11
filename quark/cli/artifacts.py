"""`quark artifacts`: the files of a run, listed and copied out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .files import appearing
from .options import AsJson, RunId, ServiceUrl, StorageDir
from .output import console, cut, print_json, table, text

if TYPE_CHECKING:
    from ..reading import RunView
    from ..records.artifact import ArtifactRecord

app = typer.Typer(name="artifacts", no_args_is_help=True, help="List the artifacts of a run, and copy one to a file.")


@app.command("list")
def list_artifacts(
    run: RunId = None, storage_dir: StorageDir = None, url: ServiceUrl = None, as_json: AsJson = False
) -> None:
    """List the artifacts of a run, in the order in which they were stored."""
    from .choosing import address, chosen, opened

    with opened(storage_dir, url) as store:
        view = chosen(store, run)
        artifacts = view.artifacts()
        names = view.recorded_names("artifact")
        named = address(store, view)
    if as_json:
        made = [artifact.to_dict() for artifact in artifacts]
        print_json({"run_id": view.id, "artifacts": made, "names": dict(names)})
    elif not artifacts:
        console().print(text(f"{view.name or view.id} has no artifacts"))
    else:
        rows = table("artifact", "type", "step", "bytes", "id", right=("step", "bytes"), flexible=("artifact",))
        for artifact in artifacts:
            rows.add_row(
                cut(names.get(artifact.artifact_key, artifact.artifact_key)),
                text(names.get(artifact.artifact_type, artifact.artifact_type)),
                text("" if artifact.step is None else artifact.step), text(f"{artifact.size_bytes:,}"),
                text(artifact.id, "dim"),
            )  # fmt: skip
        console().print(rows)
        console().print(text(f"copy one to a file with: quark artifacts get {named} ARTIFACT", "dim"), soft_wrap=True)


@app.command("get")
def get(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, the start of one, or its name.")],
    artifact: Annotated[
        str, typer.Argument(metavar="ARTIFACT", help="Its name or its id; of several of a name the latest.")
    ],
    storage_dir: StorageDir = None,
    url: ServiceUrl = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", show_default=False,
            help="Where to write it; the last part of its name if omitted, - is standard output.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Copy an artifact to a file, after its SHA-256 was compared."""
    from .choosing import chosen, opened

    to_stdout = out is not None and str(out) == "-"
    if to_stdout and as_json:
        raise typer.BadParameter("give --out FILE: standard output is needed for the answer")
    with opened(storage_dir, url) as store:
        view = chosen(store, run)
        record = _found(view, artifact)
        content = view.load_bytes(record)
    if to_stdout:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    path = out if out is not None else Path(record.artifact_name)
    if path.is_dir():
        path = path / record.artifact_name
    if path.exists() and not force:
        raise typer.BadParameter(f"{path} is there already; choose another --out, or add --force to replace it")
    with appearing(path) as file:
        file.write(content)
    if as_json:
        print_json({"run_id": view.id, "artifact": record.to_dict(), "path": str(path.resolve())})
    else:
        console().print(
            text(f"{record.artifact_key}: {len(content):,} bytes written to {path}", limit=4000), soft_wrap=True
        )


def _found(view: "RunView", artifact: str) -> "ArtifactRecord":
    """The artifact of this id, or the latest one of this key or of this last part of a key."""
    import difflib

    from ..errors import RunNotFoundError
    from ..records.naming import metric_key

    records = view.artifacts()
    for names in (lambda one: one.id, lambda one: one.artifact_key, lambda one: one.artifact_name):
        matching = [record for record in records if names(record) in (artifact, metric_key(artifact))]
        if matching:
            return matching[-1]
    recorded = view.recorded_names("artifact")
    keys = sorted({recorded.get(record.artifact_key, record.artifact_key) for record in records})
    near = difflib.get_close_matches(artifact, keys, n=3)
    hint = f"did you mean {', '.join(near)}?" if near else f"it has {', '.join(keys[:10]) or 'none'}"
    raise RunNotFoundError(f"run {view.id} has no artifact {artifact!r}; {hint}", code="artifact_not_found")
