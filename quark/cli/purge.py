"""`quark purge`: removes for good what was deleted."""

from typing import Annotated

import typer

from .options import AsJson, ServiceUrl, StorageDir, Yes
from .output import console, print_json, text


def purge(
    storage_dir: StorageDir = None,
    url: ServiceUrl = None,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="SPAN", help="Deleted at least so long ago, such as 12h or 7d.")
    ] = "30d",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove deleted runs for good, their files included.

    In a service this needs a key with the scope admin, and files of artifacts stay, for runs share them.
    """
    from .choosing import confirmed, opened, span_s

    seconds = span_s(older_than, "--older-than")
    with opened(storage_dir, url) as store:
        question = f"Remove for good what was deleted from {store.location} at least {older_than.strip()} ago?"
        confirmed(question, yes, as_json)
        purged = store.purge(older_than_s=seconds)
    if as_json:
        print_json({"purged": purged})
    else:
        console().print(text("nothing to purge" if not purged else f"purged: {', '.join(purged)}", limit=10_000))
