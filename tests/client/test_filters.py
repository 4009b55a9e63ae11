"""A folder and a service list the same runs for the same filters, and refuse the same filters alike."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import quark
from quark.reading import Store

from .conftest import Service

FILTERS: list[dict[str, Any]] = [
    {}, {"project": ["a", "b"]}, {"project": "a"}, {"ids": ["run-a", "run-c"]}, {"ids": []}, {"tag": ["a", "c"]},
    {"name": ["name b", "name, c"]}, {"status": ["completed", "failed"]}, {"status": "running"},
    {"started_after": datetime(2020, 1, 1)}, {"started_before": datetime(2020, 1, 1, tzinfo=UTC)},
    {"started_after": datetime(2020, 1, 1, tzinfo=timezone(timedelta(hours=2)))}, {"config": {"n": 1}},
    {"started_after": "2020-01-01T00:00:00Z", "project": ("c",)},
]  # fmt: skip
REFUSED: list[dict[str, Any]] = [
    {"project": 3}, {"name": 3}, {"name": ["x", None]}, {"ids": {"a": 1}}, {"tag": b"x"}, {"status": "finished"},
    {"status": ["completed", "finished"]}, {"started_after": 5}, {"started_before": "yesterday"}, {"config": [1]},
    {"sort": 3}, {"sort": "speed"}, {"name": "a\0b"},
]  # fmt: skip


def answer(list_runs: Callable[[], list[str]]) -> object:
    """The ids that are listed, or the class and words of the refusal."""
    try:
        return list_runs()
    except quark.QuarkError as error:
        return type(error).__name__, str(error)


def answers(store: Store) -> tuple[list[object], list[object]]:
    """What a store says to all filters, and to those that cannot be used."""

    def ask(filters: dict[str, Any]) -> object:
        return answer(lambda: [view.id for view in store.runs(**{"sort": "id", **filters})])

    return [ask(filters) for filters in FILTERS], [ask(filters) for filters in REFUSED]


def record(where: Path) -> None:
    """Three runs of three projects."""
    for letter, name in (("a", "name a"), ("b", "name b"), ("c", "name, c")):
        run = quark.start_run(
            project=letter, name=name, run_id=f"run-{letter}", tags=[letter], config={"n": 1}, storage_dir=where
        )
        run.end_run()


def test_filters_mean_the_same_everywhere(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One value or several, text or datetime; a wrong type is refused by its name, never silently nothing."""
    service.start()
    record(tmp_path / "runs")
    with quark.connect(storage_dir=tmp_path / "runs") as store:
        remote = answers(store)
    for variable in ("QUARK_PERSISTENCE_URL", "QUARK_USER_KEY"):
        monkeypatch.delenv(variable)
    record(tmp_path / "folder")
    with quark.open(tmp_path / "folder") as store:
        local = answers(store)
    a, b, c = "run-a", "run-b", "run-c"
    assert local[0] == [
        [a, b, c], [a, b], [a], [a, c], [], [a, c], [b, c], [a, b, c], [], [a, b, c], [], [a, b, c], [a, b, c], [c]
    ]  # fmt: skip
    assert remote[0] == local[0]
    assert all(isinstance(one, tuple) for one in local[1])
    assert [one[0] for one in remote[1]] == [one[0] for one in local[1]]  # type: ignore[index]
