"""`quark mcp` as a client starts it: a process that speaks over its standard input and output."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import quark
from quark.errors import MissingDependencyError
from quark.mcp.server import server_of

from ..children import child_environment
from ..cli.conftest import Command, command  # noqa: F401  runs a command line in this process

QUARK = [sys.executable, "-m", "quark.cli"]
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}


def test_standard_output_holds_the_protocol_alone(tmp_path: Path) -> None:
    """Warnings go to standard error: each line on standard output is an answer, and the end of input is the end."""
    quark.start_run(project="p", name="there", storage_dir=tmp_path / "below").end_run()  # that is worth a warning
    with subprocess.Popen(
        [*QUARK, "mcp"], cwd=tmp_path, env=child_environment(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None

        def send(method: str, params: Any, number: int | None = None) -> Any:
            message = {"jsonrpc": "2.0", "method": method, "params": params}
            child.stdin.write(json.dumps(message if number is None else {**message, "id": number}) + "\n")  # type: ignore[union-attr]
            child.stdin.flush()  # type: ignore[union-attr]
            return None if number is None else json.loads(child.stdout.readline())  # type: ignore[union-attr]

        try:
            assert send("initialize", HELLO, 1)["result"]["serverInfo"]["name"] == "quark"
            send("notifications/initialized", {})
            answer = send("tools/call", {"name": "list_runs", "arguments": {}}, 2)
            assert [run["name"] for run in answer["result"]["structuredContent"]["runs"]] == ["there"]
            child.stdin.close()
            assert (child.stdout.read(), child.wait(60)) == ("", 0)
            warned = child.stderr.read()
            assert "below" in warned and "Traceback" not in warned
        finally:
            child.kill()


def test_a_place_without_runs_is_an_error_at_once(command: Command, tmp_path: Path) -> None:  # noqa: F811
    """A person who sets a client up reads it; a server that can answer nothing would only look alive."""
    answer = command("mcp", "-d", tmp_path)
    assert answer.code == 1 and answer.out == "" and "no runs are recorded" in answer.err


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exact line for pip."""
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'quark-tracker\[mcp\]'"):
        server_of(quark.open)
