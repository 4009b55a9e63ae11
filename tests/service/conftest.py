"""A service in this process, and keys for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from quark.service import ServiceConfig, create_app


class Served:
    """A service and a client of it that holds a key for everything."""

    def __init__(self, client: TestClient[Any]) -> None:
        self.client = client
        self.app = client.app
        self.key = self.new_key(["admin"])

    def new_key(self, scopes: list[str], projects: list[str] | None = None) -> str:
        """The text of a new key."""
        return self.app.state.key_store.create("test", scopes, projects)[0]

    def ask(self, method: str, path: str, *, key: str | None = None, **more: Any) -> Any:
        """A request with the key of everything, or with another."""
        headers = {"X-Quark-API-Key": key or self.key, **more.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **more)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A service over SQLite."""
    with TestClient(create_app(ServiceConfig.of(f"sqlite:///{tmp_path}/served/quark.db"))) as client:
        yield Served(client)
