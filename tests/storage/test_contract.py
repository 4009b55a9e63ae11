"""The store keeps what every store must keep, whichever database it lives in."""

from pathlib import Path

import pytest

from quark.storage import SqlStore
from quark.testing.store import StoreContract


class TestSqlStore(StoreContract):
    """The contract of stores, on SQLite and on PostgreSQL."""

    @pytest.fixture(autouse=True)
    def _at(self, place: Path | str) -> None:
        self.place = place

    def open_store(self, tmp_path: Path) -> SqlStore:
        return SqlStore(self.place)
