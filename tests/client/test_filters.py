"""A folder and a service list the same runs for the same filters, and refuse the same filters alike."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import quark
from quark import EventLogger
from quark.reading import Store

from .conftest import Service

FILTERS: list[dict[str, Any]] = [
    {}, {"project": ["a", "b"]}, {"project": "a"}, {"ids": ["run-a", "run-c"]}, {"ids": []}, {"tag": ["a", "c"]},
    {"name": ["name b", "name, c"]}, {"status": ["completed", "failed"]}, {"status": "running"},
    {"started_after": datetime(2020, 1, 1)}, {"started_before": datetime(2020, 1, 1, tzinfo=UTC)},
    {"started_after": datetime(2020, 1, 1, tzinfo=timezone(timedelta(hours=2)))}, {"config": {"n": 1}},
    {"started_after": "2020-01-01T00:00:00Z", "project": ("c",)}, {"name_ilike": ["NAME _", "x%"]},
    {"name_ilike": "%, c"}, {"offset": 1, "limit": 1}, {"id_after": "run-a"}, {"id_after": "run-b", "sort": "-name"},
    {"where": "n=1"}, {"where": "-project:a name,"}, {"where": ""}, {"where": "status:running", "project": "b"},
]  # fmt: skip
REFUSED: list[dict[str, Any]] = [
    {"project": 3}, {"name": 3}, {"name": ["x", None]}, {"ids": {"a": 1}}, {"tag": b"x"}, {"status": "finished"},
    {"status": ["completed", "finished"]}, {"started_after": 5}, {"started_before": "yesterday"}, {"config": [1]},
    {"sort": 3}, {"sort": "speed"}, {"name": "a\0b"}, {"name_ilike": "a\\"}, {"name_ilike": 3}, {"offset": -1},
    {"id_after": "no-run"}, {"colour": "red"}, {"select": "colour"}, {"select": [3]},
    {"where": "colour:red"}, {"where": 3}, {"where": "lr<"},
]  # fmt: skip
CHECKPOINTS: list[dict[str, Any]] = [
    {}, {"run": "run-a"}, {"project": ["a", "b"], "status": "complete"}, {"step": [2, 3]},
    {"step_min": 2, "step_max": 2}, {"sort": "-step", "limit": 2}, {"sort": "step", "offset": 4},
    {"created_after": datetime(2020, 1, 1), "run": "run-c"},
    {"created_before": "2020-01-01T00:00:00Z"}, {"ids": []}, {"ids": "w-9"}, {"step": []}, {"run": "no-run"},
    {"status": "finished"}, {"project": 3}, {"sort": "speed"}, {"step": "two"}, {"created_after": 3}, {"offset": "x"},
]  # fmt: skip
EVENTS: list[dict[str, Any]] = [
    {"event_type": "tick", "sort": "-timestamp", "limit": 2}, {"event_type": ("tick", "tock"), "offset": 3},
    {"severity": ("error", "warning")}, {"step": (1, 4), "event_type": "tick"}, {"sort": "-step", "limit": 3},
    {"event_type": "tick", "created_after": datetime(2020, 1, 1), "sort": "-arrival"},
    {"created_before": datetime(2020, 1, 1)}, {"sort": "speed"}, {"step": [1, "x"]}, {"created_before": "soon"},
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


def details(store: Store) -> list[object]:
    """What a store says of checkpoints, of events, of metrics and of fields of runs."""
    view = store.run("run-b")

    def checkpoints(options: dict[str, Any]) -> object:
        return answer(lambda: [(one.run_id, one.step, one.path, one.status) for one in store.checkpoints(**options)])

    def events(options: dict[str, Any]) -> object:
        return answer(lambda: [(one.event_type, one.step) for one in view.events(**options)])

    return [
        *map(checkpoints, CHECKPOINTS), *map(events, EVENTS),
        [(one.step, one.status) for one in view.checkpoints(status="complete", sort="-step")],
        view.latest_checkpoint().step,  # type: ignore[union-attr]
        [one.step for one in view.metrics("m", step=[0, 2, 9])], [one.step for one in view.metrics("m", offset=2)],
        len(view.metrics("m", created_after=datetime(2020, 1, 1))), view.metrics("m", created_before="2020-01-01"),
        list(store.runs(select=["id", "status", "tags", "config"], sort="id")),
        store.unrecorded(["run-a", "run-b"]),
    ]  # fmt: skip


def record(where: Path) -> None:
    """Three runs of three projects."""
    for letter, name in (("a", "name a"), ("b", "name b"), ("c", "name, c")):
        with quark.start_run(
            project=letter, name=name, run_id=f"run-{letter}", tags=[letter], config={"n": 1}, storage_dir=where
        ) as run:
            for step in range(4):
                run.log({"m": step}, step=step)
                EventLogger(run).log(
                    "tick" if step % 2 else "tock", step=step, severity="error" if step == 3 else "info"
                )
            for step, path in ((1, "last"), (2, "two"), (3, "last")):
                with run.checkpoint(path, step=step):
                    pass
            run.checkpoint("half", step=9)


def test_filters_mean_the_same_everywhere(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One value or several, text or datetime; a wrong type is refused by its name, never silently nothing."""
    service.start()
    record(tmp_path / "runs")
    with quark.connect(storage_dir=tmp_path / "runs") as store:
        remote, remote_details = answers(store), details(store)
    for variable in ("QUARK_PERSISTENCE_URL", "QUARK_USER_KEY"):
        monkeypatch.delenv(variable)
    record(tmp_path / "folder")
    with quark.open(tmp_path / "folder") as store:
        local, local_details = answers(store), details(store)
    a, b, c = "run-a", "run-b", "run-c"
    assert local[0] == [
        [a, b, c], [a, b], [a], [a, c], [], [a, c], [b, c], [a, b, c], [], [a, b, c], [], [a, b, c], [a, b, c], [c],
        [a, b], [c], [b], [b, c], [a], [a, b, c], [c], [a, b, c], [],
    ]  # fmt: skip
    assert remote[0] == local[0]
    assert all(isinstance(one, tuple) for one in local[1])
    assert [one[0] for one in remote[1]] == [one[0] for one in local[1]]  # type: ignore[index]
    assert remote_details == local_details
    whole = [(run, step, path, status) for run in (a, b, c) for step, path, status in (
        (2, "two", "complete"), (3, "last", "complete"), (9, "half", "incomplete"))]  # fmt: skip
    assert local_details[:13] == [
        whole, whole[:3], [*whole[0:2], *whole[3:5]], [one for one in whole if one[1] < 9], whole[::3],
        [whole[8], whole[5]], whole[4::3] + whole[2::3], whole[6:], [], [], [], [], [],
    ]  # fmt: skip
    assert [one[0] for one in local_details[13:19]] == [  # type: ignore[index]
        "SchemaValidationError", "WrongTypeError", "SchemaValidationError", *["WrongTypeError"] * 3
    ]  # fmt: skip
    ticks = [("tock", 0), ("tick", 1), ("tock", 2), ("tick", 3)]
    assert local_details[19:26] == [
        [ticks[3], ticks[1]], [ticks[3]], [ticks[3]], [ticks[1]], [("checkpoint", 9), *[("checkpoint", 3)] * 2],
        [ticks[3], ticks[1]], [],
    ]  # fmt: skip
    assert [one[0] for one in local_details[26:29]] == [  # type: ignore[index]
        "SchemaValidationError", "WrongTypeError", "SchemaValidationError"
    ]  # fmt: skip
    fields = [{"id": f"run-{one}", "status": "completed", "tags": (one,), "config": {"n": 1}} for one in "abc"]
    assert local_details[29:] == [
        [(3, "complete"), (2, "complete")], 3, [0, 2], [2, 3], 4, (), fields,
        {"run-a": quark.UnrecordedValues(), "run-b": quark.UnrecordedValues()},
    ]  # fmt: skip
