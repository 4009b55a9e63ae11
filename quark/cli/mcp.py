"""`quark mcp`: a server for agents, which ask about runs through it."""

import typer

from .options import ServiceUrl, StorageDir


def mcp(storage_dir: StorageDir = None, url: ServiceUrl = None) -> None:
    """Answer the questions of an agent about runs, over the Model Context Protocol on standard input and output.

    Its tools only read, and their answers are small. An agent's client starts this command; see docs/agents.md.
    """
    import sys

    from ..mcp.server import server_of
    from .choosing import opened
    from .version import own_version

    server = server_of(lambda: opened(storage_dir, url), own_version())
    opened(storage_dir, url).close()  # a place without runs is an error now, where a person sees it
    if sys.stdin.isatty():
        print("quark mcp: waiting for a client on standard input; Ctrl-C ends it", file=sys.stderr)
    try:
        server.run("stdio")
    except KeyboardInterrupt:
        raise typer.Exit from None
