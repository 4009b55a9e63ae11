"""StoreSink: opens the store on its worker, moves rows and position together, packs metrics between batches."""

import pytest

from quark.errors import ClosedError, ConfigurationError
from quark.records.base import Origin
from quark.sinks.store import StoreSink
from quark.testing import make_batch, make_manifest, metric_lines

ORIGIN = Origin("run-1", "writer-a")


class RecordedStore:
    """A store that keeps what was asked of it."""

    made: list["RecordedStore"]

    def __init__(self, path):
        self.path = path
        self.calls = []
        type(self).made.append(self)

    def append(self, batch):
        self.calls.append(("append", batch.first))
        return batch.stop

    def position(self, run_id, writer_id):
        return 7 if (run_id, writer_id) == ("run-1", "writer-a") else 0

    def seal(self):
        self.calls.append(("seal",))

    def close(self):
        self.calls.append(("close",))


@pytest.fixture
def made(monkeypatch):
    """The stores that sinks have opened."""
    RecordedStore.made = []
    monkeypatch.setattr("quark.storage.SqlStore", RecordedStore, raising=False)
    return RecordedStore.made


def test_the_store_is_opened_by_the_worker(made, tmp_path):
    """Making the sink touches no file; the store is opened at the start, once."""
    sink = StoreSink(tmp_path / "quark.db")
    assert made == []
    sink.on_start(make_manifest(ORIGIN))
    sink.write(make_batch(ORIGIN, metric_lines(1)))
    assert [store.path for store in made] == [tmp_path / "quark.db"]


def test_the_store_tells_the_position(made, tmp_path):
    """The position is the store's own; before the run is known there is none."""
    sink = StoreSink(tmp_path / "quark.db")
    assert sink.position("writer-a") is None
    sink.on_start(make_manifest(ORIGIN))
    assert (sink.position("writer-a"), sink.position("writer-b")) == (7, 0)


def test_metrics_are_packed_between_batches(made, tmp_path):
    """Packing is looked at once per interval, never inside a batch."""
    now = [0.0]
    sink = StoreSink(tmp_path / "quark.db", seal_every_s=10, monotonic=lambda: now[0])
    sink.on_start(make_manifest(ORIGIN))
    for first, at in enumerate((1.0, 9.0, 10.0, 11.0, 20.0)):
        now[0] = at
        sink.write(make_batch(ORIGIN, metric_lines(1), first))
    assert [call[0] for call in made[0].calls] == ["append"] * 3 + ["seal"] + ["append"] * 2 + ["seal"]


def test_closed_once(made, tmp_path):
    """The store is closed once however often the sink is, and a write afterwards raises."""
    sink = StoreSink(tmp_path / "quark.db")
    sink.on_start(make_manifest(ORIGIN))
    sink.close()
    sink.close()
    assert made[0].calls == [("close",)]
    with pytest.raises(ClosedError):
        sink.write(make_batch(ORIGIN, metric_lines(1)))


def test_the_path_is_fixed_when_the_sink_is_made(tmp_path, monkeypatch):
    """A working directory that changes later does not move the store."""
    monkeypatch.chdir(tmp_path)
    assert StoreSink("quark.db").spec() == {"store_path": str(tmp_path / "quark.db"), "seal_every_s": 1.0}


@pytest.mark.parametrize(
    ("options", "words"), [({"store_path": ""}, "store_path"), ({"seal_every_s": -1}, "seal_every_s")]
)
def test_options_that_cannot_be_used(options, words):
    """A wrong option is told when the sink is made."""
    with pytest.raises(ConfigurationError, match=words):
        StoreSink(**{"store_path": "x", **options})
