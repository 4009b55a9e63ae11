"""A store with two runs, and the application of `quark ui` over it in this process."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

import quark
from quark.reading.opening import open_embedded
from quark.service.embedded import create_page_app
from quark.service.sessions import Tokens

ADDRESS = "http://127.0.0.1:8000"


def record_runs(directory: Path) -> Path:
    """A storage directory with a completed run ``good-run`` and a failed one ``bad-run``."""
    with quark.start_run(
        project="digits", name="good", config={"lr": 0.1}, storage_dir=directory, run_id="good-run"
    ) as run:
        for step in range(20):
            run.log({"train/loss": 1.0 / (step + 1)}, step=step)
        with quark.ArtifactStore(run) as artifacts:
            artifacts.store("report", "page", "<script>alert(1)</script>")
    with pytest.raises(ZeroDivisionError), quark.start_run(project="digits", storage_dir=directory, run_id="bad-run"):
        _ = 1 / 0
    return directory


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage directory with two runs, which tests only read."""
    return record_runs(tmp_path_factory.mktemp("recorded"))


class Page:
    """The application of `quark ui`, and a client of it as a browser is one."""

    def __init__(self, client: TestClient[Any], tokens: Tokens) -> None:
        self.client = client
        self.tokens = tokens

    def sign_in(self, token: str | None = None, **more: Any) -> Any:
        """Exchange a token, a good one unless given, for the cookie."""
        return self.post("/api/v1/session", json={"token": token or self.tokens.new()}, **more)

    def get(self, path: str, **more: Any) -> Any:
        """A GET."""
        return self.client.get(path, **more)

    def post(self, path: str, *, origin: str | None = ADDRESS, **more: Any) -> Any:
        """A POST as a page sends it, with its origin."""
        headers = {**({} if origin is None else {"Origin": origin}), **more.pop("headers", {})}
        return self.client.post(path, headers=headers, **more)


@pytest.fixture(scope="session")
def served_page(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """`quark ui` on the recorded runs."""
    tokens = Tokens()
    app = create_page_app(open_embedded(recorded), tmp_path_factory.mktemp("private"), tokens)
    with TestClient(app, base_url=ADDRESS) as client:
        yield Page(client, tokens)


@pytest.fixture
def page(served_page: Page) -> Page:
    """`quark ui` on the recorded runs; nobody is signed in."""
    served_page.client.cookies.clear()
    return served_page
