"""A store in a place of its own, in every database that a store can live in, for the tests of this area."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from quark.storage import SqlStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store in a file lies."""
    return tmp_path / ".quark" / "quark.db"


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest) -> Path | str:
    """Where a store lies: a path, or the URL of a database of its own."""
    return request.getfixturevalue("path" if request.param == "sqlite" else "postgres_url")


@pytest.fixture
def store(place: Path | str) -> Iterator[SqlStore]:
    """An empty store."""
    with SqlStore(place) as opened:
        yield opened
