"""The embedded store keeps what every store must keep."""

from pathlib import Path

from quark.storage import SqlStore
from quark.testing.store import StoreContract


class TestSqlStore(StoreContract):
    """The contract of stores, on SQLite."""

    def open_store(self, tmp_path: Path) -> SqlStore:
        return SqlStore(tmp_path / ".quark" / "quark.db")
