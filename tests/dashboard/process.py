"""`quark ui` as people start it, in a process of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from ..children import child_environment


class Ui:
    """A running `quark ui`, and a client that is signed in.

    Args:
        directory: the storage directory.
        options: further options of the command.
        temporary: where its temporary files go.
    """

    def __init__(self, directory: Path, *options: str, temporary: Path | None = None) -> None:
        command = [sys.executable, "-m", "quark.cli", "ui", str(directory), "--no-browser", "--json", *options]
        environment = child_environment()
        environment.pop("BROWSER", None)
        if temporary is not None:
            environment["TMPDIR"] = str(temporary)
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        try:
            self.said = _first_document(self.process)
        except BaseException:
            self.process.kill()
            raise
        self.url, _, token = self.said["url"].partition("#token=")
        self.link: str = self.said["url"]
        self.token = token
        self.cookies: Any = None

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """A client that has used the link."""
        headers = {"Origin": self.url.rstrip("/")}
        with httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False) as client:
            client.post("/api/v1/session", json={"token": self.token}).raise_for_status()
            yield client

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """End it as Ctrl+C does; its exit code and what it wrote to standard error."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            _, said = self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return self.process.returncode, said

    def __enter__(self) -> "Ui":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


def _first_document(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """The JSON document that the command prints once it serves; what it said instead where there is none."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line.rstrip() == "}":
            return json.loads(text)
    _, said = process.communicate()
    raise RuntimeError(f"quark ui ended with {process.returncode}: {text}{said}")


def tree(path: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a directory with its mode and content."""
    return {
        str(entry): (entry.lstat().st_mode, entry.read_bytes() if entry.is_file() else b"")
        for entry in sorted(path.rglob("*"))
    }


def give_away(path: Path, uid: int = 23456) -> None:
    """Make another user the owner of everything below a directory."""
    for entry in (path, *path.rglob("*")):
        os.chown(entry, uid, uid, follow_symlinks=False)
