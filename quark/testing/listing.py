"""What every store must keep when it lists: bounds, lists of values, orders, offsets and pages."""

from datetime import datetime
from typing import Any

import msgspec
import pytest

from ..core.reader import RecordFilter
from ..errors import RunNotFoundError, SchemaValidationError, WrongTypeError
from ..records.base import Origin
from ..records.line import Line
from .batches import event_line, make_batch, metric_lines, start_line
from .opened import RUN, OpenedStore, WritableStore, batch_of

SECOND = 1_000_000_000
NAMES = ("base-1", "BASE-2", "other-2", "100%", "1000", "a_\\", "ab\\", "ÜBER", "été", "οδος")


def event_at(name: str, step: int | None = None, epoch: int | None = None, seconds: int = 1) -> Line:
    """An event at a time since 1970."""
    return msgspec.structs.replace(event_line(name, step=step), epoch=epoch, time=seconds * SECOND)


class ListContract(OpenedStore):
    """The part of StoreContract that lists runs and records."""

    @pytest.mark.parametrize(
        ("patterns", "found"),
        [("base%", ["base-1", "BASE-2"]), ("%-2", ["BASE-2", "other-2"]), ("%as%", ["base-1", "BASE-2"]),
         ("Base-1", ["base-1"]), ("base__", ["base-1", "BASE-2"]), ("base", []), ([], []),
         (["base-1", "o%"], ["base-1", "other-2"]),
         ("100\\%", ["100%"]), ("100%", ["100%", "1000"]), ("a\\_\\\\", ["a_\\"]),
         ("übe_", ["ÜBER"]), ("ÉT%", ["été"]), ("%ΟΔΟΣ", ["οδος"]), ("%a%1", ["base-1"]),
         ("%se%base%", [])],
    )  # fmt: skip
    def test_runs_by_patterns_of_their_names(self, store: WritableStore, patterns: Any, found: list[str]) -> None:
        """``%`` stands for any text and ``_`` for one character, whatever the case; a backslash makes them plain."""
        for number, name in enumerate(NAMES):
            origin = Origin(f"run-{number}", "w")
            store.append(make_batch(origin, [start_line(origin, name=name)]))
        page = store.runs(name_ilike=patterns, sort="id")
        assert [run.name for run in page.items] == found

    @pytest.mark.parametrize("sort", ["name", "-name"])
    def test_pages_by_names_of_any_length(self, store: WritableStore, sort: str) -> None:
        """A list in the order of names goes on behind names of thousands of letters, however many are the same."""
        for number, name in enumerate(("é" * 4096, "é" * 4096, "é" * 4095, "a", "a" * 201, "é" * 4095 + "f")):
            origin = Origin(f"run-{number}", "w")
            store.append(make_batch(origin, [start_line(origin, name=name)]))
        whole = [run.id for run in store.runs(sort=sort).items]
        found, page = [], store.runs(sort=sort, limit=1)
        while page.next is not None:
            assert len(page.next) < 1000
            found += [run.id for run in page.items]
            page = store.runs(sort=sort, limit=1, after=page.next)
        assert [*found, *(run.id for run in page.items)] == whole

    @pytest.mark.parametrize("sort", ["id", "-id", "name", "-name"])
    @pytest.mark.parametrize("config", [None, {"lr": 0.1}])
    def test_runs_from_somewhere_on(self, store: WritableStore, sort: str, config: Any) -> None:
        """``offset`` leaves out the first runs, ``id_after`` all up to a run; pages go on behind either."""
        for number in range(6):
            origin = Origin(f"run-{number}", "w")
            store.append(make_batch(origin, [start_line(origin, name=f"n{number % 2}")]))

        def ids(**options: Any) -> list[str]:
            return [run.id for run in store.runs(sort=sort, config=config, **options).items]

        whole = ids()
        assert ids(offset=2) == whole[2:] and ids(offset=2, limit=3) == whole[2:5] and ids(offset=99) == []
        assert ids(id_after=whole[3]) == whole[4:] and ids(id_after=whole[1], offset=1, limit=2) == whole[3:5]
        page = store.runs(sort=sort, config=config, offset=1, limit=2)
        assert ids(after=page.next) == whole[3:]
        with pytest.raises(RunNotFoundError, match="no-run"):
            ids(id_after="no-run")
        with pytest.raises(SchemaValidationError, match="give one"):
            ids(id_after=whole[0], after=page.next)

    def test_selected_fields_of_runs(self, store: WritableStore) -> None:
        """Only the fields that are named come back, each as the whole run has it; an unknown one is refused."""
        whole = store.run(RUN)
        names = tuple(whole.to_dict())
        for select in (names, ("status", "id"), ("tags",), ("project_name", "config"), ()):
            page = store.runs(select=select, ids=[RUN])
            assert page.items == ({name: getattr(whole, name) for name in select},)
        assert store.runs(select="id", config={"lr": 0.1}).items == ({"id": RUN},)
        with pytest.raises(SchemaValidationError, match=r"speed.*status"):
            store.runs(select=["id", "speed"])
        with pytest.raises(WrongTypeError, match=r"colour.*project"):
            store.runs(colour="red")  # type: ignore[call-arg]

    def test_lists_of_a_thousand_values(self, store: WritableStore) -> None:
        """A filter takes as many values as it says that it takes."""
        many = [f"x{number}" for number in range(999)]
        store.append(batch_of([event_at("a", 1, seconds=1), *metric_lines(2)]))
        assert [run.id for run in store.runs(ids=[*many, RUN]).items] == [RUN]
        assert [run.id for run in store.runs(name_ilike=[*many, "c_n"]).items] == [RUN]
        assert _types(store.records(RUN, "event", RecordFilter(where={"event_type": (*many, "a")}))) == ["a"]
        assert _types(store.records(RUN, "event", RecordFilter(where={"severity": (*many, "info")}))) == ["a"]
        for kind in ("event", "metric"):
            found = store.records(RUN, kind, RecordFilter(step=range(1, 1001)))
            assert [record.step for record in found] == [1]  # type: ignore[attr-defined]
            with pytest.raises(SchemaValidationError, match="1000 values"):
                store.records(RUN, kind, RecordFilter(step=range(1001)))

    def test_checkpoints_of_all_runs(self, store: WritableStore) -> None:
        """The last word on each place of a run, found by every filter, in every order, whole and in pages."""
        for number, project in enumerate(("p", "p", "q")):
            origin = Origin(f"run-{number}", "w")
            store.append(make_batch(origin, [start_line(origin, project=project), *_checkpoints(number)]))

        def found(limit: int = 1000, **options: Any) -> list[str]:
            names = ("ids", "project", "run", "status")
            filters = {name: options.pop(name) for name in names if name in options}
            events, _ = store.checkpoints(RecordFilter(**options), limit, **filters)
            return [
                f"{event.run_id[-1]}:{event.payload.get('path') or event.payload['artifact_id']}" for event in events
            ]

        whole = found()
        assert whole == ["0:b", "0:x", "0:a", "1:b", "1:x", "1:a", "2:b", "2:x", "2:a"]
        assert found(project="q") == whole[6:] and found(project=["p", "zzz"], run=["run-1", "run-2"]) == whole[3:6]
        assert (
            found(status="incomplete", run="run-0") == ["0:b"] and found(status=["complete"], project="q") == whole[7:]
        )
        assert found(ids=["w-2", "w-4"], run="run-1") == ["1:b", "1:a"] and found(ids=["w-1"]) == [] == found(run=[])
        assert found(step=(1, 3), run="run-0") == ["0:b", "0:a"] and found(step_min=2, run="run-0") == ["0:x", "0:a"]
        assert found(created_after="1970-01-01T00:00:24Z") == ["2:a"] and found(
            created_before="1970-01-01T00:00:02Z"
        ) == ["0:b"]
        assert found(sort="-timestamp", offset=1, limit=2) == ["2:x", "2:b"][:2] and found(limit=2, offset=8) == ["2:a"]
        assert found(sort="step", project="q") == ["2:b", "2:x", "2:a"]
        paged: list[str] = []
        after = None
        while len(paged) < 9:
            events, after = store.checkpoints(RecordFilter(sort="-step", after=after), 2)
            paged += [f"{event.run_id[-1]}:{event.step}" for event in events]
        assert (paged, after) == ([f"{run}:{step}" for step in (3, 2, 1) for run in "210"], None)
        with pytest.raises(SchemaValidationError, match="complete"):
            found(status="finished")

    def test_what_several_runs_did_not_record(self, store: WritableStore) -> None:
        """The last counts of each process of each of the runs, in one answer."""
        for run in ("run-1", "run-2"):
            for writer in ("w", "v"):
                origin = Origin(run, writer)
                counts = [event_line("run_unrecorded", "warning", {"refused": number}) for number in (1, 2)]
                store.append(make_batch(origin, [start_line(origin), *counts]))
        events, after = store.unrecorded(["run-1", "run-2", RUN], None, 3)
        rest, end = store.unrecorded(["run-1", "run-2", RUN], after)
        got = [(one.run_id, one.origin.writer_id, one.payload["refused"]) for one in [*events, *rest]]
        assert sorted(got) == [(run, writer, 2) for run in ("run-1", "run-2") for writer in ("v", "w")]
        assert end is None and store.unrecorded([]) == ([], None) == store.unrecorded(["no-run"])

    def test_records_within_lists_and_times(self, store: WritableStore) -> None:
        """Steps and epochs may be lists, and times bound records of every kind, both ends included."""
        events = [event_at(f"e{step}", step, step // 2, step) for step in range(5)]
        points = [Line("metric", 0, step * SECOND, step, step // 2, "x", 1.0) for step in range(5)]
        store.append(batch_of([*events, event_at("none", seconds=9), *points]))

        def steps(kind: str, **bounds: Any) -> list[int | None]:
            return [record.step for record in store.records(RUN, kind, RecordFilter(**bounds))]  # type: ignore

        for kind in ("event", "metric"):
            assert steps(kind, step=[3, 1, 9]) == [1, 3] and steps(kind, step=()) == []
            assert steps(kind, step=range(4), step_min=2) == [2, 3]
            assert steps(kind, epoch=(0, 2)) == [0, 1, 4]
            assert steps(kind, created_after="1970-01-01T00:00:03Z", step_min=0) == [3, 4]
            assert steps(kind, created_before=datetime(1970, 1, 1, 0, 0, 1)) == [0, 1]
            assert steps(kind, offset=2, limit=2) == [2, 3] and steps(kind, offset=99) == []

    @pytest.mark.parametrize("field", ["arrival", "timestamp", "step", "epoch"])
    @pytest.mark.parametrize("sign", ["", "-"])
    def test_orders_of_records(self, store: WritableStore, field: str, sign: str) -> None:
        """Each order, whole and in pages; equal values as they arrived, an absent step or epoch before all others."""
        places = [(3, 0, 5), (None, 1, 4), (0, None, 4), (3, 0, 1), (None, None, 2), (1, 1, 9)]
        store.append(batch_of(event_at(f"e{number}", *place) for number, place in enumerate(places)))
        column = {"step": 0, "epoch": 1, "timestamp": 2}.get(field)

        def key(number: int) -> tuple[int, int]:
            value = None if column is None else places[number][column]
            return -1 if value is None else value, number

        types = [f"e{number}" for number in sorted(range(6), key=key, reverse=bool(sign))]
        wanted = {"sort": sign + field}
        assert _types(store.records(RUN, "event", RecordFilter(**wanted))) == types  # type: ignore[arg-type]
        assert _types(store.records(RUN, "event", RecordFilter(**wanted, offset=1, limit=3))) == types[1:4]  # type: ignore
        got, after = [], None
        while len(got) < 6:
            page, after = store.records_page(RUN, "event", RecordFilter(**wanted, after=after), 2)  # type: ignore
            got += _types(page)
        assert (got, after) == (types, None)

    def test_a_cursor_of_records_belongs_to_its_order(self, store: WritableStore) -> None:
        """A cursor of one order is refused in another one, and metrics have the order of arrival only."""
        store.append(batch_of([event_at("a", 1), event_at("b", 2)]))
        sorts = ("arrival", "-arrival", "timestamp", "step", "-step")
        cursors = {sort: store.records_page(RUN, "event", RecordFilter(sort=sort), 1)[1] for sort in sorts}
        for sort, other in ((sort, other) for sort in sorts for other in sorts if sort != other):
            with pytest.raises(SchemaValidationError, match="sort"):
                store.records_page(RUN, "event", RecordFilter(sort=sort, after=cursors[other]), 1)
        with pytest.raises(SchemaValidationError, match="order of arrival"):
            list(store.records(RUN, "metric", RecordFilter(sort="-step")))


def _checkpoints(run: int) -> list[Line]:
    """Two places and an artifact; the first place is written to again, last."""
    told = [({"path": "a"}, "incomplete", 1), ({"path": "b"}, "incomplete", 1), ({"artifact_id": "x"}, "complete", 2),
            ({"path": "a"}, "complete", 3)]  # fmt: skip
    return [
        msgspec.structs.replace(
            event_line("checkpoint", payload={"status": status, **place}, step=step),
            time=(10 * run + number + 1) * SECOND,
        )
        for number, (place, status, step) in enumerate(told)
    ]  # fmt: skip


def _types(records: Any) -> list[str]:
    return [record.event_type for record in records]
