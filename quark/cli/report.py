"""`quark report`: a run, or several that are compared, as one HTML file to send."""

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import MissingDependencyError, QuarkError, require_all
from .options import AsJson, ServiceUrl, StorageDir
from .output import console, print_json, text

if TYPE_CHECKING:
    from ..reading import RunView, Store
    from ..service.report import Report

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "microsoft-edge")
MOST_RUNS = 20


def report(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Ids of runs, the starts of some, or their names.")
    ],
    storage_dir: StorageDir = None,
    url: ServiceUrl = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The file to write.")] = Path("report.html"),
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Write a PDF beside it too, by an installed Chromium or Chrome.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a run, or up to 20 that are compared, as one HTML file that anybody can open.

    It is the page of the runs with their data in it: it needs neither Quark nor a network, and is below 2 MB for a run
    of a million points. What was left out for that is said at its foot.
    """
    require_all(("cryptography", "httptools", "litestar", "prometheus_client", "uvicorn", "zstandard"), "ui")
    from ..dashboard.document import document

    wanted = list(dict.fromkeys(runs))
    if len(wanted) > MOST_RUNS:
        raise typer.BadParameter(f"a report compares up to {MOST_RUNS} runs, got {len(wanted)}")
    views, made = _collected(wanted, storage_dir, url)
    names = [view.name or view.id for view in views]
    content = document(made.data, title=f"{', '.join(names)} - Quark", notes=_notes(made))
    out.write_bytes(content)
    written = [out, *([_printed(out)] if pdf else [])]
    if as_json:
        about = {"runs": [view.id for view in views], "files": [str(path) for path in written]}
        print_json({**about, "size_bytes": len(content), "left_out": made.left_out})
        return
    for path in written:
        console().print(text(f"{path}: {path.stat().st_size / 1e6:.1f} MB", "", 4000), soft_wrap=True)
    for each in made.left_out:
        console().print(text(f"left out: {each}", "yellow"), soft_wrap=True)


def _collected(wanted: list[str], storage_dir: Path | None, url: str | None) -> "tuple[list[RunView], Report]":
    from ..client.connection import Connection, namespace_of, service_is_configured
    from ..reading.opening import open_embedded
    from ..service.report import EmbeddedApi, collected
    from .choosing import opened

    with opened(storage_dir, url) as store:
        views = _found(store, wanted)
    ids = [view.id for view in views]
    if url is not None or service_is_configured():
        connection = Connection(url, namespace=namespace_of(storage_dir))
        try:
            return views, collected(lambda method, path, body=None: _ask(connection, method, path, body), ids)
        finally:
            connection.close()
    api = EmbeddedApi(open_embedded(storage_dir, sync=False))
    try:
        return views, collected(api, ids)
    finally:
        api.close()


def _found(store: "Store", wanted: list[str]) -> "list[RunView]":
    return list({view.id: view for view in map(store.run, wanted)}.values())


def _ask(connection: Any, method: str, path: str, body: Any) -> Any:
    from ..client.refusals import json_of

    if method == "POST":  # of the routes that are asked none changes anything
        return connection.write(method, path, body)
    return json_of(connection.send(method, path), connection.url)


def _notes(made: "Report") -> list[str]:
    """What stands at the foot of a report."""
    from datetime import UTC, datetime
    from importlib.metadata import version

    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    missing = f"Left out, to keep the file small: {'; '.join(made.left_out)}." if made.left_out else ""
    return [f"Written by Quark {version('quark-tracker')} at {now}.", *([missing] if missing else [])]


def _printed(page: Path) -> Path:
    """The page as a PDF beside it."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise MissingDependencyError(
            f"--pdf needs Chromium or Chrome, and none of {', '.join(BROWSERS)} is on the path; install one, or open "
            f"{page} in any browser and print it"
        )
    made = page.with_suffix(".pdf")
    with TemporaryDirectory(prefix="quark-report-") as profile:
        command = [
            browser, "--headless", "--disable-gpu", "--no-pdf-header-footer", f"--user-data-dir={profile}",
            "--window-size=1280,6000", "--virtual-time-budget=10000", f"--print-to-pdf={made.resolve()}",
            *(["--no-sandbox"] if os.geteuid() == 0 else []), page.resolve().as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=120)
    if done.returncode or not made.exists():
        raise QuarkError(f"{browser} could not print {page} (exit code {done.returncode}): {done.stderr[-300:]}")
    return made
