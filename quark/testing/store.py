"""What every store must keep, as tests that a store of your own inherits."""

import threading
from pathlib import Path

import pytest

from .appending import AppendContract
from .batches import make_batch, metric_lines
from .listing import ListContract
from .opened import OTHER, RUN, WritableStore, batch_of
from .querying import QueryContract


class StoreContract(AppendContract, QueryContract, ListContract):
    """Inherit in a test class, say how the store is opened, and run pytest.

    ::

        class TestMyStore(StoreContract):
            def open_store(self, tmp_path):
                return MyStore(tmp_path / "store")
    """

    def test_reading_while_writing(self, store: WritableStore) -> None:
        """A reader in another thread sees whole batches only, and never fewer than before."""
        seen: list[int] = []
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                seen.append(len(store.series(RUN, "train/loss")))

        reader = threading.Thread(target=read)
        reader.start()
        try:
            for number in range(40):
                store.append(batch_of(metric_lines(25, first_step=25 * number), 1 + 25 * number))
                if number % 10 == 9:
                    store.seal(RUN)
        finally:
            done.set()
            reader.join()
        assert seen == sorted(seen) and all(count % 25 == 0 for count in seen)
        assert len(store.series(RUN, "train/loss")) == 1000

    def test_two_stores_on_the_same_data(self, store: WritableStore, tmp_path: Path) -> None:
        """What one of them has written the other one reads, and both may write."""
        with self.opened(tmp_path) as second:
            store.append(batch_of(metric_lines(2)))
            second.append(make_batch(OTHER, metric_lines(2, first_step=2)))
            store.append(batch_of(metric_lines(2, first_step=4), 3))
            assert sorted(second.series(RUN, "train/loss").steps.tolist()) == [0, 1, 2, 3, 4, 5]
            assert sorted(store.series(RUN, "train/loss").steps.tolist()) == [0, 1, 2, 3, 4, 5]

    def test_close_twice(self, tmp_path: Path) -> None:
        """``close`` may come again; a closed store says so."""
        store = self.open_store(tmp_path)
        store.close()
        store.close()
        with pytest.raises(Exception, match="closed"):
            store.run(RUN)
