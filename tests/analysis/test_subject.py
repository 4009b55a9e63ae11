"""What an analyzer reads: the same through every reader, whatever a record looks like."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import quark
from quark import AnalyzerEngine, ComparisonEngine, Record, RecordFilter, Series
from quark.analysis.frames import Layer
from quark.analysis.subject import RunOfReader
from quark.records.base import Origin
from quark.records.line import Line, encode
from quark.storage import SqlStore
from quark.testing import MemoryRunHandle, make_batch, start_line

from .runs import activation, batch, event, falling, gradient, losses, made, parameter, telemetry

ORIGIN = Origin("run-1", "w", 2, 3)


class BareReader:
    """A store as one reads that hands out records only, as a service does."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    def keys(self, run_id: str) -> list[str]:
        """Its keys."""
        return self._store.keys(run_id)

    def series(self, run_id: str, key: str) -> Series:
        """Its arrays."""
        return self._store.series(run_id, key)

    def records(self, run_id: str, kind: str, where: RecordFilter | None = None) -> Iterator[Record]:
        """Its records."""
        return self._store.records(run_id, kind, where)


def full(run: MemoryRunHandle) -> None:
    """Records of every kind, with much that is wrong."""
    losses(run, falling(120))
    event(run, "parameters_watched", 0, not_optimized=["head.weight"], not_optimized_count=1)
    for step in range(30):
        activation(run, "act", step, metadata={"unit_dead_ratio": 0.99})
        gradient(run, "fc", 1e-9, step)
        for name in ("a", "b", "c"):
            parameter(run, name, step, update=0.0 if name == "b" else 0.1)
        telemetry(run, step, step_time_ms=100.0, process_rss_bytes=2**30)
        batch(run, step, 1.0, metadata={"shard": f"s{step % 3}"}, class_counts={"0": step})
    losses(run, [9.0] * 60)


def stored(tmp_path: Path, run: MemoryRunHandle) -> SqlStore:
    """The run in a store."""
    store = SqlStore(tmp_path / "quark.db")
    origin = run.journal.origin
    store.append(make_batch(origin, [start_line(origin)]))
    lines = [msgspec.structs.replace(line, sequence=line.sequence + 1) for line in run.journal.lines()]
    store.append(make_batch(origin, lines, 1))
    return store


def test_readers_with_bodies_and_without_give_the_same(tmp_path: Path) -> None:
    """Rules and comparison read the bodies of a store, the records of a service, and say the same of both."""
    run = made(full)
    with stored(tmp_path, run) as store:
        readers: list[Any] = [store, BareReader(store)]
        kinds = {"layer": 60, "parameter": 90, "telemetry": 30, "batch": 30, "event": 1}
        from quark.analysis.frames import BODIES

        for kind, count in kinds.items():
            one, other = (list(RunOfReader(reader, run.run_id).items(kind, BODIES[kind])) for reader in readers)
            assert len(one) == count
            assert one == other


def odd(**more: Any) -> Line:
    """A layer summary with fields of one's own."""
    body = {"module_name": "fc", "module_type": "Linear", "summary_type": "gradient", "hook_direction": "backward"}
    return Line("layer", 0, 1, 4, label="fc", body=msgspec.Raw(encode({**body, **more})))


def test_a_record_that_cannot_be_read_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What a null stands for is known; a body that is none is named in a warning and hides no other."""
    with SqlStore(tmp_path / "quark.db") as store, caplog.at_level(logging.WARNING, "quark"):
        lines = [start_line(ORIGIN), odd(metadata=None, norm=1.0), odd(norm="large"), odd(norm=3.0)]
        store.append(make_batch(ORIGIN, lines))
        found = list(RunOfReader(store, "run-1").items("layer", Layer))
    assert [(*place[:6], place[6].norm) for place in found] == [
        (3, 2, 1, 1, 4, None, 1.0), (3, 2, 3, 1, 4, None, 3.0)
    ]  # fmt: skip
    assert "layer record 2 of run run-1 cannot be judged" in caplog.text


def test_a_stored_run_is_judged_like_the_live_one(tmp_path: Path) -> None:
    """A session and the view of what it stored: one answer, which only the session keeps."""
    with quark.start_run(project="subject", storage_dir=tmp_path) as session:
        for step, value in enumerate([*falling(100), *[9.0] * 60]):
            session.log({"train/loss": value}, step=step)
        kept = AnalyzerEngine(session).analyze()
    with quark.open(tmp_path) as store:
        view = store.run(session.run_id)
        assert view.reader.keys(view.id) == ["train/loss"]
        found = AnalyzerEngine(view).analyze()
        assert [alert.title for alert in found.alerts] == [alert.title for alert in kept.alerts] != []
        assert AnalyzerEngine(view).read_alerts() == kept.alerts
        assert ComparisonEngine(view).compare(session).metric_diffs[0].delta_last == 0.0
