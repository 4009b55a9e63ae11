"""A store in a directory of its own, for every test of this area."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from quark.storage import SqlStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store lies."""
    return tmp_path / ".quark" / "quark.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqlStore]:
    """An empty store."""
    with SqlStore(path) as opened:
        yield opened
