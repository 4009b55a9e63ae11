"""Options that several commands share, each said once."""

from pathlib import Path
from typing import Annotated

import typer

StorageDir = Annotated[
    Path | None,
    typer.Option(
        "--storage-dir", "-d", metavar="DIR", show_default=False,
        help="Directory that runs are recorded in; else QUARK_STORAGE_DIR, else the working directory. "
        "Where that holds none: the only one below it that does, or the nearest one above.",
    ),
]  # fmt: skip
RecordingDir = Annotated[
    Path | None,
    typer.Option(
        "--storage-dir", "-d", metavar="DIR", show_default=False,
        help="Directory to record in; else QUARK_STORAGE_DIR, else the working directory.",
    ),
]  # fmt: skip
ServiceUrl = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", show_default=False,
        help="Address of a Quark service; else QUARK_PERSISTENCE_URL. Its key comes from QUARK_USER_KEY.",
    ),
]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
RunId = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN", show_default=False, help="Id of a run, the start of one, or its name; the latest run if omitted."
    ),
]
