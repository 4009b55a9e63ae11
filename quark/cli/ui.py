"""`quark ui`: the runs of a storage directory in the browser."""

import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigurationError, require_all
from .options import AsJson, StorageDir
from .output import console, print_json, text

if TYPE_CHECKING:
    from rich.console import Console

    from ..reading.opening import Embedded

HOST = "127.0.0.1"


def ui(
    place: Annotated[
        Path | None,
        typer.Argument(
            metavar="PLACE", show_default=False, help="The same as --storage-dir: the directory that holds the runs."
        ),
    ] = None,
    storage_dir: StorageDir = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 for a free one.")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Whether to open the page in a browser.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Look at runs in a browser.

    Shows the runs that `quark runs` lists. Only this machine can reach the page, and only with the link that is
    printed, which signs in one browser. From another machine: ssh -L PORT:127.0.0.1:PORT HOST. Ctrl+C ends it.
    """
    from ..client.connection import service_is_configured

    if place is not None and storage_dir is not None and place != storage_dir:
        raise typer.BadParameter(f"PLACE and --storage-dir name two directories, {place} and {storage_dir}; name one")
    wanted = place or storage_dir
    if wanted is None and service_is_configured():
        _point_to_service(browser, as_json)
        return
    require_all(("cryptography", "httptools", "litestar", "prometheus_client", "uvicorn", "zstandard"), "ui")
    from ..reading.opening import open_embedded
    from ..service.embedded import create_page_app, serve_page
    from ..service.sessions import Tokens

    opened = open_embedded(wanted)
    try:
        listening = _listening(port)
    except BaseException:
        opened.close()
        raise
    address = f"http://{HOST}:{listening.getsockname()[1]}/"
    out = console()

    def link() -> str:
        return f"{address}#token={tokens.new()}"

    def after_use(worked: bool) -> None:
        if as_json:
            return
        said = "a browser is signed in" if worked else "a link was refused: it was used already"
        out.print(text(f"{said}; to sign in another one: {link()}", "dim"), soft_wrap=True)

    def announce() -> None:
        if as_json:
            print_json({"url": link(), "storage_dir": str(opened.placement.storage_dir), "read_only": opened.is_copy})
            sys.stdout.flush()
        else:
            _announce(out, opened, link())
        if browser:
            _open_browser(link())

    tokens = Tokens(after_use)
    _end_in_order()
    with TemporaryDirectory(prefix="quark-ui-") as private, listening, suppress(KeyboardInterrupt):
        serve_page(create_page_app(opened, Path(private), tokens), listening, announce)


def _end_in_order() -> None:
    """Have SIGTERM and a terminal that goes away remove the private directory too, as Ctrl+C does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell without job control has it ignored


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise ConfigurationError(
            f"port {port} of this machine cannot be listened on ({error.strerror}); leave --port out to use a free one"
        ) from error


def _announce(out: "Console", opened: "Embedded", link: str) -> None:
    directory = opened.placement.storage_dir
    held = len(opened.store.runs(limit=1, select=("id",)).items)
    out.print(text(f"the runs in {directory}", "bold", 4000), soft_wrap=True)
    if not held:
        out.print(text("there are none yet; they appear here as they are recorded"), soft_wrap=True)
    if opened.is_copy:
        out.print(text("the store cannot be written: a copy is shown, and nothing can be changed"), soft_wrap=True)
    out.print(text(link, "cyan", 4000), soft_wrap=True)
    out.print(text("Ctrl+C ends it", "dim"))


def _point_to_service(browser: bool, as_json: bool) -> None:
    """The service that is configured has pages of its own."""
    from ..settings import setting

    address = setting("QUARK_PERSISTENCE_URL").rstrip("/") + "/"
    if as_json:
        print_json({"url": address, "storage_dir": None, "read_only": False})
    else:
        console().print(text(f"the runs are in the service at {address} - sign in there with your key", "", 4000))
    if browser:
        _open_browser(address)


def _open_browser(url: str) -> None:
    """Open a browser that has a window of its own; one for terminals would take this terminal."""
    windows = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    if windows:
        import webbrowser

        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
