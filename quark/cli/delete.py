"""`quark delete`: hides runs until they are purged; `quark restore` brings one back."""

from typing import Annotated

import typer

from .options import AsJson, ServiceUrl, StorageDir, Yes
from .output import console, print_json, text


def delete(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids of runs, the starts of ids, or names.")],
    storage_dir: StorageDir = None,
    url: ServiceUrl = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Hide runs that have ended: they are in no list any more.

    `quark runs --deleted` lists them, `quark restore` brings a run back, `quark purge` removes it for good.
    """
    from ..errors import InvalidRunStateError
    from .choosing import confirmed, opened

    with opened(storage_dir, url) as store:
        views = list({view.id: view for view in map(store.run, runs)}.values())
        for view in views:
            if view.status == "running":
                raise InvalidRunStateError(f"run {view.id} is running; stop it before it is deleted")
        named = ", ".join(f"{view.id} ({view.name})" if view.name else view.id for view in views)
        confirmed(f"Delete {named} from {store.location}?", yes, as_json)
        for view in views:
            view.delete()
            if not as_json:
                console().print(
                    text(f"{view.id} is deleted; it comes back with: quark restore {view.id}{store.options}"),
                    soft_wrap=True,
                )
    if as_json:
        print_json({"deleted": [view.id for view in views]})


def restore(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of a deleted run, the start of one, or its name.")],
    storage_dir: StorageDir = None,
    url: ServiceUrl = None,
    as_json: AsJson = False,
) -> None:
    """Bring a deleted run back. `quark runs --deleted` lists those that there are."""
    from .choosing import opened

    with opened(storage_dir, url) as store:
        view = store.restore(run)
    if as_json:
        print_json({"restored": view.id})
    else:
        console().print(text(f"{view.id} is back: {view.name}" if view.name else f"{view.id} is back"), soft_wrap=True)
