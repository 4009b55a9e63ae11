"""A series that is read stretch by stretch is the series, and only a stretch of it is held."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quark.core.reader import SERIES_COLUMNS
from quark.errors import SessionStoreError
from quark.records.base import Origin
from quark.storage import SqlStore, chunk, seal
from quark.testing import make_batch, metric_lines, start_line

from .test_series import RUN, histories, line


def append(store: SqlStore, attempt: int, rank: int, steps: list[int | None]) -> None:
    """Points of ``x``, and one of another key before each."""
    origin = Origin(RUN, f"{attempt}-{rank}", rank, attempt)
    lines = [one for step in steps for one in (*metric_lines(1), line(step, 1.0, 1))]
    store.append(make_batch(origin, lines, store.position(RUN, origin.writer_id)))


def check(store: SqlStore, limit: int, all_attempts: bool) -> None:
    """The stretches one after the other are the whole series."""
    whole = store.series(RUN, "x", all_attempts=all_attempts)
    parts: list[Any] = []
    place = None
    while True:
        part, place = store.stretch(RUN, "x", limit=limit, all_attempts=all_attempts, after=place)
        parts.append(part)
        if place is None:
            break
        assert len(part) == limit
    for name in SERIES_COLUMNS:
        made = np.concatenate([getattr(one, name) for one in parts])
        assert made.dtype == getattr(whole, name).dtype and (made == getattr(whole, name)).all()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(history=histories(), limit=st.integers(1, 50), pack_after=st.sets(st.integers(0, 9)), attempts=st.booleans())
def test_any_history_in_stretches(tmp_path_factory, monkeypatch, history, limit, pack_after, attempts) -> None:
    """Restarts, ranks, repeated and missing steps, packed at any time: pages of any length are the whole series."""
    for module in (chunk, seal):
        monkeypatch.setattr(module, "CHUNK_POINTS", 16)
    with SqlStore(tmp_path_factory.mktemp("store") / "quark.db") as store:
        for number, (attempt, rank, steps) in enumerate(history):
            append(store, attempt, rank, steps)
            if number in pack_after:
                store.seal(RUN)
        check(store, limit, attempts)


def test_stretches_in_postgres(postgres_url: str) -> None:
    """The same from PostgreSQL: two attempts, packed and not, of which the second begins again in the middle."""
    with SqlStore(postgres_url) as store:
        append(store, 1, 0, list(range(50)))
        store.seal(RUN)
        append(store, 2, 0, [*range(30, 60), None])
        for attempts in (False, True):
            check(store, 7, attempts)
        assert store.stretch(RUN, "unknown", limit=5)[1] is None


def test_only_a_stretch_is_held(tmp_path: Path) -> None:
    """A page of a long series needs a fraction of the memory that all of it needs."""

    def peak(call: Callable[[], Any]) -> int:
        tracemalloc.start()
        try:
            call()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    with SqlStore(tmp_path / "quark.db") as store:
        origin = Origin(RUN, "w")
        store.append(make_batch(origin, [start_line(origin)]))
        for start in range(0, 200_000, 20_000):
            lines = metric_lines(20_000, first_step=start)
            store.append(make_batch(origin, lines, store.position(RUN, "w")))
        store.seal(RUN, limit=100)
        key = "train/loss"
        _, place = store.stretch(RUN, key, limit=100_000)
        whole = peak(lambda: store.series(RUN, key))
        assert peak(lambda: store.stretch(RUN, key, limit=1000, after=place)) < whole / 4


@pytest.mark.parametrize("after", [(1, 7), (999, 0)])
def test_a_place_that_is_not_there(tmp_path: Path, after: tuple[int, int]) -> None:
    """A place behind a point that the series does not have is refused as a conflict."""
    with SqlStore(tmp_path / "quark.db") as store:
        append(store, 1, 0, [1, 2])
        with pytest.raises(SessionStoreError, match="again from its start") as refused:
            store.stretch(RUN, "x", limit=5, after=after)
        assert refused.value.status == 409
