"""The program: its commands, its exit codes, and how errors are told to people and to scripts."""

import io
import os
import re
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
import typer.core

from ..core.hints import COMMAND_WORDS
from ..errors import QuarkError, printable
from . import (
    analyze,
    artifacts,
    blueprint,
    compare,
    demo,
    doctor,
    export,
    import_runs,
    keys,
    mcp,
    namespaces,
    report,
    runs,
    serve,
    show,
    stop,
    sync,
    tail,
    ui,
    version,
    watch,
)  # fmt: skip
from .delete import delete, restore
from .output import print_json
from .purge import purge
from .run import run as launch

USAGE = 2
FAILED = 1
INTERRUPTED = 130
UsageError: type[Exception] = next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "UsageError")


class Commands(typer.core.TyperGroup):
    """The commands; one that other tools have names the command that does it here."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """The command that was typed."""
        if args and args[0] not in self.commands and args[0] in COMMAND_WORDS:
            ctx.fail(f"No such command {args[0]!r}; use {COMMAND_WORDS[args[0]]}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="quark", cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)  # fmt: skip
for command, name in (
    (runs.runs, "runs"), (show.show, "show"), (tail.tail, "tail"), (export.export, "export"),
    (import_runs.import_runs, "import"), (sync.sync, "sync"),
    (stop.stop, "stop"), (serve.serve, "serve"), (doctor.doctor, "doctor"), (demo.demo, "demo"),
    (version.version, "version"), (analyze.analyze, "analyze"), (compare.compare, "compare"),
    (ui.ui, "ui"), (mcp.mcp, "mcp"), (watch.watch, "watch"), (report.report, "report"),
    (delete, "delete"), (restore, "restore"), (purge, "purge"),
):  # fmt: skip
    app.command(name)(command)
for word in ("ls", "list", "status"):
    app.command(word, hidden=True)(runs.runs)
app.command("run", context_settings={"allow_interspersed_args": False})(launch)
app.add_typer(artifacts.app, name="artifacts")
app.add_typer(keys.app, name="keys")
app.add_typer(namespaces.app, name="namespaces")
app.add_typer(blueprint.app, name="blueprint")


@app.callback()
def options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=version.print_and_exit, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Quark watches neural networks train. Try: quark demo"""


def main() -> None:
    """Run the command line of this process and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")  # an encoding may lack letters of a name
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Returns:
        0 when it did what was asked, 1 when it could not, 2 for a command line that cannot be used. With ``--json``
        standard output holds one JSON document in each of these cases.
    """
    as_json = "--json" in arguments
    try:
        code = typer.main.get_command(app).main(list(arguments), prog_name="quark", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except typer.Exit as ending:
        return ending.exit_code
    except UsageError as error:
        if not as_json:
            _show_usage(error)
        return _told("usage", error.format_message(), as_json, USAGE, shown=True)  # type: ignore[attr-defined]
    except QuarkError as error:
        return _told(code_of(error), str(error), as_json, FAILED)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        return _told("os_error", f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), as_json, FAILED)
    except (KeyboardInterrupt, typer.Abort):
        return _told("interrupted", "interrupted", as_json, INTERRUPTED)


def code_of(error: QuarkError) -> str:
    """A word for scripts: the error's own code, else its class, such as ``invalid_run_state``."""
    code = getattr(error, "code", None)
    return code or re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__.removesuffix("Error")).lower()


def _show_usage(error: Any) -> None:
    text = io.StringIO()
    error.show(text)
    sys.stderr.write(printable(text.getvalue()))


def _told(code: str, message: str, as_json: bool, exit_code: int, *, shown: bool = False) -> int:
    if as_json:
        print_json({"error": {"code": code, "message": message}})
    elif not shown:
        print(printable(f"quark: {message}"), file=sys.stderr)
    return exit_code
