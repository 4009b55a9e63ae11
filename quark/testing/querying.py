"""What every store must keep when it is read: filters, pages, arrays and charts."""

from typing import Any

import msgspec
import pytest

from ..core.reader import RecordFilter
from ..errors import RunNotFoundError, SchemaValidationError
from ..records.base import Origin
from ..records.line import Line
from .batches import alert_line, event_line, make_batch, metric_lines, run_line, start_line, wide_lines
from .opened import AGAIN, ORIGIN, OTHER, RUN, OpenedStore, WritableStore, batch_of, body_line, end_mark, resume_mark


class QueryContract(OpenedStore):
    """The part of StoreContract that reads."""

    # Runs

    def test_runs_are_filtered(self, store: WritableStore) -> None:
        """By project, status, tag, name, configuration and time, each exactly."""
        for run_id, name, project in (("run-1", "a%", "p_1"), ("run-2", "a_", "p%1"), ("run-3", "ab", "pX1")):
            origin = Origin(run_id, "w")
            store.append(make_batch(origin, [start_line(origin, name=name, project=project)]))
        store.append(make_batch(Origin("run-3", "w"), [run_line("tag", {"tag": "t_"}), end_mark("failed", "error")], 1))

        def names(**filters: Any) -> list[str | None]:
            return sorted(run.name for run in store.runs(**filters).items)  # type: ignore[type-var]

        assert names(name="a_") == ["a_"] and names(name="a%") == ["a%"]
        assert names(project="p_1") == ["a%"] and names(project="p%1") == ["a_"]
        assert names(tag="t_") == ["ab"] and names(tag="t%") == []
        assert names(status="failed") == ["ab"]
        assert names(config={"lr": 0.1}, name="ab") == ["ab"] and names(config={"lr": 0.2}) == []
        assert names(config={"none": None}) == []
        assert names(started_after="2026-05-07T00:00:00Z") == ["a%", "a_", "ab", "cnn"]
        assert names(started_before="2026-05-06T23:59:59Z") == []

    @pytest.mark.parametrize(
        "sort", ["started_at", "-started_at", "updated_at", "name", "-name", "project", "id", "-id", "status"]
    )
    def test_pages_of_runs_hold_each_run_once(self, store: WritableStore, sort: str) -> None:
        """Page after page, in any order and with equal values, every run comes once."""
        for number in range(6):
            origin = Origin(f"run-{number}", "w")
            store.append(make_batch(origin, [start_line(origin, name=f"n{number % 2}")]))
        whole = [run.id for run in store.runs(sort=sort).items]
        paged, after = [], None
        while True:
            page = store.runs(sort=sort, limit=2, after=after)
            paged += [run.id for run in page.items]
            after = page.next
            if after is None:
                break
        assert (paged, len(set(whole))) == (whole, 7)

    def test_what_cannot_be_asked(self, store: WritableStore) -> None:
        """An unknown run, status, order, cursor, kind or field is an error that names it."""
        for ask in (store.run, store.keys, lambda run: store.series(run, "x"), lambda run: store.chart(run, "x"),
                    lambda run: list(store.records(run, "event"))):  # fmt: skip
            with pytest.raises(RunNotFoundError, match="no-run"):
                ask("no-run")
        wrong: list[tuple[str, Any]] = [
            ("finished", lambda: store.runs(status="finished")), ("speed", lambda: store.runs(sort="-speed")),
            ("zzz", lambda: store.runs(after="zzz")), ("dream", lambda: list(store.records(RUN, "dream"))),
            ("colour", lambda: list(store.records(RUN, "event", RecordFilter(where={"colour": 1})))),
            ("colour", lambda: list(store.records(RUN, "metric", RecordFilter(where={"colour": 1})))),
        ]  # fmt: skip
        for word, call in wrong:
            with pytest.raises(SchemaValidationError, match=word):
                call()

    # Records

    def test_bounds_are_inclusive(self, store: WritableStore) -> None:
        """Steps and epochs are bounded with both ends included; a record without one is outside every bound."""
        lines = [event_line(f"e{step}", step=step) for step in range(5)]
        store.append(batch_of([*lines, event_line("none"), *metric_lines(5, epoch=3)]))

        def steps(kind: str, **bounds: int) -> list[int]:
            return [record.step for record in store.records(RUN, kind, RecordFilter(**bounds))]  # type: ignore

        for kind in ("event", "metric"):
            assert steps(kind, step=2) == [2]
            assert steps(kind, step_min=1, step_max=3) == [1, 2, 3]
            assert steps(kind, step_min=3) == [3, 4]
            assert steps(kind, step_max=1) == [0, 1]
            assert steps(kind, limit=2) == [0, 1]
        assert steps("metric", epoch_min=3, epoch_max=3) == [0, 1, 2, 3, 4]
        assert steps("metric", epoch_min=4) == [] and steps("event", epoch_max=9) == []

    def test_fields_are_compared(self, store: WritableStore) -> None:
        """``where`` takes a kind's own fields, one value or a tuple of them, and no character is special."""
        store.append(batch_of([event_line("a_b", "error"), event_line("a%b"), event_line("axb", "critical")]))

        def types(**where: Any) -> list[str]:
            return [record.event_type for record in store.records(RUN, "event", RecordFilter(where=where))]  # type: ignore

        assert types(event_type="a_b") == ["a_b"] and types(event_type="a%b") == ["a%b"]
        assert types(severity=("error", "critical")) == ["a_b", "axb"]
        assert types(severity="error", event_type="axb") == [] and types(severity=()) == []
        assert types(status=None) == ["a_b", "a%b", "axb"]
        assert types(id=f"{ORIGIN.writer_id}-2") == ["a%b"]

    def test_samples_of_a_batch(self, store: WritableStore) -> None:
        """Batch diagnostics are found by one of their samples."""
        bodies = [{"loss": 1.0, "sample_ids": ids} for ids in (["a", "b"], ["b_"], [])]
        store.append(batch_of([body_line("batch", body) for body in bodies]))
        found = list(store.records(RUN, "batch", RecordFilter(where={"sample_id": "b"})))
        assert [record.sample_ids for record in found] == [("a", "b")]  # type: ignore[attr-defined]

    def test_bodies_are_the_records_as_they_are_stored(self, store: WritableStore) -> None:
        """A store that hands out bodies hands out those of all records of the kind, in their order, and no others."""
        read: Any = getattr(store, "bodies", None)
        if read is None:
            return
        items = [event_line("a", step=3), *wide_lines(1, ("a",)), alert_line("rule"), event_line("b\0", "error")]
        store.append(batch_of(items))
        store.append(make_batch(OTHER, [event_line("c")]))
        got = [(*body[:6], msgspec.json.decode(body[6])["event_type"]) for body in read(RUN, "event")]
        assert got == [
            (one.origin.attempt, one.origin.rank, one.sequence, one.time_ns, one.step, one.epoch, one.event_type)  # type: ignore
            for one in store.records(RUN, "event")
        ]
        assert [(rank, name) for _, rank, *_, name in got] == [(0, "a"), (0, "b\0"), (1, "c")]
        assert list(read(RUN, "metric")) == []
        with pytest.raises(RunNotFoundError):
            read("no-such-run", "event")
        with pytest.raises(SchemaValidationError, match="no-such-kind"):
            read(RUN, "no-such-kind")

    def test_metrics_are_found_by_their_names(self, store: WritableStore) -> None:
        """By full key, by namespace and by name; a bare name has no namespace."""
        store.append(batch_of(wide_lines(1, ("train/loss", "val/loss", "loss", "train/a/loss"))))

        def keys(**where: Any) -> list[str]:
            return [record.metric_key for record in store.records(RUN, "metric", RecordFilter(where=where))]  # type: ignore

        assert keys(metric_key="loss") == ["loss"]
        assert keys(namespace="train") == ["train/loss"] and keys(namespace=None) == ["loss"]
        assert keys(metric_name="loss") == ["train/loss", "val/loss", "loss", "train/a/loss"]
        assert keys(metric_key=("loss", "val/loss")) == ["val/loss", "loss"]

    @pytest.mark.parametrize("kind", ["event", "metric"])
    def test_pages_of_records_go_on_where_they_ended(self, store: WritableStore, kind: str) -> None:
        """Several records of one step, pages that end among them, records that arrive meanwhile: each comes once."""
        lines = [*wide_lines(4, ("a", "b", "c")), *(event_line(f"e{n}", step=7) for n in range(12))]
        store.append(batch_of(lines))
        got, after, rounds = [], None, 0
        while True:
            page, after = store.records_page(RUN, kind, RecordFilter(after=after), 5)
            got += [record.id for record in page]
            if rounds == 0:
                more = [*wide_lines(2, ("a", "b"), first_step=4), event_line("late")]
                store.append(batch_of(more, 1 + len(lines)))
                store.seal(RUN)
            rounds += 1
            if after is None:
                break
        assert got == [record.id for record in store.records(RUN, kind)]
        assert len(set(got)) == {"event": 13, "metric": 16}[kind]

    def test_unknown_kinds_stay(self, store: WritableStore) -> None:
        """A kind that a later release added disturbs nothing."""
        batch = batch_of([Line("hologram", 0, 1, 0, label="x"), *metric_lines(1)])
        assert (store.append(batch), batch.rejected) == (3, [])
        assert len(store.series(RUN, "train/loss")) == 1

    def test_records_come_back_as_they_were(self, store: WritableStore) -> None:
        """What is read equals what was written, for every kind of text and for every bit of a number."""
        text = "loß 🔥 \u202e\u2028\u0000\u001b[31m\r\n\t" + "長" * 1000
        values = (0.1, 1e-300, -1.7976931348623157e308, 5e-324, 123456789.12345679, -0.0, 3.0)
        extra = Line("metric", 0, 5, 9, 2, "x", 1.5, description=text, metadata={"a": [1, None, text]})
        numbers = [Line("metric", 0, 1, step, None, "x", value) for step, value in enumerate(values)]
        batch = batch_of(
            [event_line("note", payload={text: text}), alert_line("r", step=1, title=text), *numbers, extra]
        )
        store.append(batch)
        for _ in range(2):
            for kind in ("event", "alert", "metric"):
                expected = [record for record in batch.records() if record.kind == kind]
                assert list(store.records(RUN, kind)) == expected
            assert [repr(value) for value in store.series(RUN, "x").values.tolist()] == [*map(repr, values), "1.5"]
            store.seal(RUN)

    # Series

    def test_keys_are_sorted(self, store: WritableStore) -> None:
        """Every metric key once, names with signs of a pattern too."""
        store.append(batch_of([*metric_lines(2, ("b", "a%", "a_")), *wide_lines(1, ("c", "b"))]))
        assert store.keys(RUN) == ["a%", "a_", "b", "c"]
        assert len(store.series(RUN, "a_")) == 2 and len(store.series(RUN, "nothing")) == 0

    def test_names_are_known_by_their_keys(self, store: WritableStore) -> None:
        """By what they are of; the first one counts, those of an exported run stand in its start, and a bad one harms
        nothing."""
        said = [{"of": "metric", "key": "b-1", "name": "B ü\0"}, {"of": "event", "key": "e-1", "name": "E"}]
        lines = [run_line("name", body) for body in (*said, {"key": 5}, {"of": "metric", "key": "b-1", "name": "C"})]
        store.append(batch_of([*lines, run_line("start", {"names": {"metric": {"a-1": "A"}}})]))
        assert store.names(RUN) == {"metric": {"b-1": "B ü\0", "a-1": "A"}, "event": {"e-1": "E"}}
        with pytest.raises(RunNotFoundError):
            store.names("no-run")

    def test_a_series_keeps_everything_of_a_point(self, store: WritableStore) -> None:
        """Step, epoch, value, time and number of each point, -1 where there is no step or epoch."""
        lines = [
            Line("metric", 0, 10, 5, None, "x", 1.0), Line("metric", 0, 8, None, 3, "x", -2.0),
            Line("metric", 0, 12, 2, 4, "x", 3.0),
        ]  # fmt: skip
        store.append(batch_of(lines))
        for _ in range(2):
            series = store.series(RUN, "x")
            got = [getattr(series, name).tolist() for name in ("steps", "epochs", "values", "timestamps", "sequences")]
            assert got == [[5, -1, 2], [-1, 3, 4], [1.0, -2.0, 3.0], [10, 8, 12], [1, 2, 3]]
            store.seal(RUN)

    def test_the_latest_attempt_of_a_step_counts(self, store: WritableStore) -> None:
        """A resumed run shows its latest attempt where both reached a step; all of them when asked."""
        store.append(batch_of(metric_lines(5)))
        store.append(make_batch(AGAIN, [resume_mark(2), *metric_lines(3, first_step=3)]))
        for _ in range(2):
            series = store.series(RUN, "train/loss")
            assert (series.steps.tolist(), series.attempts.tolist()) == ([0, 1, 2, 3, 4, 5], [1, 1, 1, 2, 2, 2])
            assert store.series(RUN, "train/loss", all_attempts=True).steps.tolist() == [0, 1, 2, 3, 4, 3, 4, 5]
            chart = store.chart(RUN, "train/loss")
            assert (chart.step_first.tolist(), int(chart.count.sum())) == ([0, 1, 2, 3, 4, 5], 6)
            store.seal(RUN)

    def test_a_chart_has_true_extremes(self, store: WritableStore) -> None:
        """No spike is lost: minima, maxima, means and counts are those of the points in the bucket."""
        values = [float(step % 97) for step in range(5000)]
        values[3217] = 1e6
        store.append(batch_of([Line("metric", 0, step, step, None, "x", value) for step, value in enumerate(values)]))
        for _ in range(2):
            chart = store.chart(RUN, "x", buckets=7)
            assert len(chart.count) <= 7 and int(chart.count.sum()) == 5000
            for index in range(len(chart.count)):
                part = values[int(chart.step_first[index]) : int(chart.step_last[index]) + 1]
                assert (len(part), min(part), max(part)) == (
                    chart.count[index], chart.minimum[index], chart.maximum[index],
                )  # fmt: skip
                assert chart.mean[index] == pytest.approx(sum(part) / len(part)) and chart.last[index] == part[-1]
            zoom = store.chart(RUN, "x", buckets=10, step_min=3215, step_max=3219)
            assert zoom.maximum.tolist() == values[3215:3220]
            store.seal(RUN)
