"""`quark stop`: asks a run to stop, wherever it runs."""

from typing import Annotated

import typer

from .options import AsJson, ServiceUrl, StorageDir
from .output import console, print_json, text


def stop(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, the start of one, or its name.")],
    storage_dir: StorageDir = None,
    url: ServiceUrl = None,
    grace: Annotated[
        float, typer.Option("--grace", metavar="SECONDS", help="Time to end by itself; at least 1.")
    ] = 600.0,
    as_json: AsJson = False,
) -> None:
    """Ask a run to stop after its current step.

    It hears of it with its next heartbeat and ends with the reason stop_requested. Past the grace period `quark run`
    terminates the process that it started; a run that was started otherwise goes on until its loop looks.
    """
    from .choosing import opened

    with opened(storage_dir, url) as store:
        view = store.run(run)
        control = view.stop(grace_period_s=grace)
    if as_json:
        told = {"stop_requested_at": control.stop_requested_at, "grace_period_s": control.stop_grace_s}
        print_json({"run_id": view.id, **told})
    else:
        console().print(text(f"{view.id}: asked to stop, {grace:g} s to end by itself"))
