"""`quark run`: runs a command, and sees to it that its run ends with a true status."""

from pathlib import Path
from typing import Annotated

import typer

from .options import RecordingDir

Command = Annotated[list[str], typer.Argument(metavar="COMMAND...", help="The command; put -- before it.")]


def run(
    command: Command,
    restarts: Annotated[
        int, typer.Option("--restarts", metavar="N", min=0, max=1000, help="Start it again when it fails, so often.")
    ] = 0,
    project: Annotated[
        str | None, typer.Option("--project", "-p", help="Project of the run, if the command starts none itself.")
    ] = None,
    storage_dir: RecordingDir = None,
    kill_after: Annotated[
        float,
        typer.Option(
            "--kill-after", metavar="SECONDS", min=0.1, help="From SIGTERM to SIGKILL, where a stop is forced."
        ),
    ] = 10.0,
) -> int:
    """Run a command: what it prints and how it ends become part of its run.

    Its exit code is passed on. A process that was killed still ends its run with a true status; a request to stop is
    enforced when its grace period is over; a request to start anew, and --restarts, continue the same run.
    """
    from ..settings import setting

    if setting("QUARK_DISABLE"):
        import os

        os.execvp(command[0], command)
    from ..launcher import Launcher

    where = None if storage_dir is None else Path(storage_dir)
    return Launcher(
        command, restarts=restarts, kill_after_s=kill_after, project=project, storage_dir=where
    ).run()  # fmt: skip
