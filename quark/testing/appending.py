"""What every store must keep when batches come: each record once, and the run in its true state."""

from pathlib import Path

import pytest

from ..errors import SessionStoreError
from ..records.base import Origin
from ..records.line import Line
from .batches import alert_line, event_line, make_batch, metric_lines, run_line, start_line
from .opened import AGAIN, ORIGIN, OTHER, RUN, OpenedStore, WritableStore, batch_of, end_mark, resume_mark


class AppendContract(OpenedStore):
    """The part of StoreContract that writes."""

    def test_a_batch_moves_the_mark(self, store: WritableStore) -> None:
        """``append`` answers with the number that is expected next, and ``position`` says the same."""
        assert store.append(batch_of(metric_lines(5))) == 6
        assert store.position(RUN, ORIGIN.writer_id) == 6
        assert (store.position(RUN, "nobody"), store.position("no-run", "nobody")) == (0, 0)

    def test_a_batch_that_comes_again_changes_nothing(self, store: WritableStore) -> None:
        """After a lost answer the same batch comes again: nothing is twice."""
        batch = batch_of([*metric_lines(5), event_line("a")])
        assert (store.append(batch), store.append(batch)) == (7, 7)
        assert len(store.series(RUN, "train/loss")) == 5
        assert len(list(store.records(RUN, "event"))) == 1

    def test_an_overlap_adds_only_what_is_new(self, store: WritableStore) -> None:
        """A batch that begins below the mark adds what lies above it."""
        lines = [*metric_lines(4), event_line("a"), event_line("b")]
        store.append(batch_of(lines[:5]))
        batch = batch_of(lines)
        assert (store.append(batch), batch.rejected) == (7, [])
        assert store.series(RUN, "train/loss").sequences.tolist() == [1, 2, 3, 4]
        assert [record.event_type for record in store.records(RUN, "event")] == ["a", "b"]  # type: ignore[attr-defined]

    def test_a_gap_is_refused(self, store: WritableStore) -> None:
        """A batch beyond the mark is refused with both numbers, and nothing of it is stored."""
        with pytest.raises(SessionStoreError) as caught:
            store.append(batch_of(metric_lines(2), 7))
        assert caught.value.code == "sequence_gap"
        assert "1" in str(caught.value) and "7" in str(caught.value)
        assert (store.keys(RUN), store.position(RUN, ORIGIN.writer_id)) == ([], 1)

    def test_holes_are_legal(self, store: WritableStore) -> None:
        """Numbers without a line, at a batch's ends, inside it, or for all of it, hold nothing up."""
        lines = metric_lines(2)
        assert store.append(batch_of([None, lines[0], None, lines[1], None])) == 6
        assert store.append(batch_of([None, None], 6)) == 8
        assert store.append(batch_of([], 8)) == 8
        assert store.series(RUN, "train/loss").sequences.tolist() == [2, 4]

    def test_writers_count_for_themselves(self, store: WritableStore) -> None:
        """Two writers use the same numbers, and neither is taken for the other."""
        store.append(batch_of(metric_lines(3)))
        assert store.append(make_batch(OTHER, metric_lines(2))) == 2
        assert store.writers(RUN) == [(ORIGIN, 4), (OTHER, 2)]
        assert store.series(RUN, "train/loss").ranks.tolist() == [0, 0, 0, 1, 1]

    def test_a_bad_line_is_put_aside(self, store: WritableStore) -> None:
        """A line that cannot be read does not hold up its neighbours; the batch tells of it."""
        batch = batch_of([metric_lines(1)[0], b'{"kind":"metric","sequence":2,"ti', b"\xff\xfe", metric_lines(2)[1]])
        assert store.append(batch) == 5
        assert store.series(RUN, "train/loss").sequences.tolist() == [1, 4]
        assert len(batch.rejected) == 2

    def test_a_line_that_says_nothing_is_put_aside(self, store: WritableStore) -> None:
        """No key, no value, a number out of range, a line outside its batch: each is named, none blocks the rest."""
        good = Line("metric", 0, 1, 1, None, "x", 1.0)
        bad = [
            Line("metric", 0, 1, 1, None, None, 1.0), Line("metric", 0, 1, 1, None, "x", None),
            Line("metrics", 0, 1, 1), Line("metric", 0, 1, 2**63, None, "x", 1.0),
            Line("metric", 0, 1, -2, None, "x", 1.0),
            Line("event", 0, 1, -1, label="e"), Line("metric", 0, 2**63, 1, None, "x", 1.0),
            b'{"kind":"metric","sequence":900,"time":1,"step":1,"metric_key":"x","value":1.0}',
        ]  # fmt: skip
        batch = batch_of([*bad, good])
        assert store.append(batch) == 10
        assert (len(store.series(RUN, "x")), len(batch.rejected)) == (1, len(bad))

    def test_coming_back(self, tmp_path: Path) -> None:
        """Everything is there when the store is opened again, and writing goes on at the mark."""
        with self.opened(tmp_path) as store:
            store.append(make_batch(ORIGIN, [start_line(ORIGIN), *metric_lines(3)]))
        with self.opened(tmp_path) as store:
            assert store.position(RUN, ORIGIN.writer_id) == 4
            store.append(batch_of(metric_lines(2, first_step=3), 4))
            assert store.series(RUN, "train/loss").steps.tolist() == [0, 1, 2, 3, 4]
            assert store.run(RUN).name == "cnn"

    # Lifecycle

    def test_a_run_starts(self, store: WritableStore) -> None:
        """The start line makes the run and its project."""
        run = store.run(RUN)
        assert (run.status, run.name, run.project_name, run.config) == ("running", "cnn", "digits", {"lr": 0.1})
        assert (run.started_at, run.ended_at, run.resume_count) == ("2026-05-07T00:00:00Z", None, 0)

    def test_a_run_ends(self, store: WritableStore) -> None:
        """The end line sets status, reason and time."""
        store.append(batch_of([end_mark("interrupted", "interrupted")]))
        run = store.run(RUN)
        assert (run.status, run.reason, run.ended_at) == ("interrupted", "interrupted", "2026-05-07T00:01:00Z")

    def test_a_run_is_resumed(self, store: WritableStore) -> None:
        """A resumed run runs again, and counts it."""
        store.append(batch_of([end_mark("failed", "error")]))
        store.append(make_batch(AGAIN, [resume_mark(2)]))
        run = store.run(RUN)
        assert (run.status, run.reason, run.ended_at, run.resume_count) == ("running", None, None, 1)

    def test_an_end_that_comes_late_does_not_end_a_later_attempt(self, store: WritableStore) -> None:
        """The journal of a dead process may be read after the run was resumed: the run goes on."""
        store.append(make_batch(AGAIN, [resume_mark(2)]))
        store.append(batch_of([end_mark("interrupted", "interrupted")]))
        assert store.run(RUN).status == "running"

    def test_a_vanished_run_is_lost(self, store: WritableStore) -> None:
        """A run can be closed for a process that died, by a writer of its own."""
        store.append(make_batch(AGAIN, [resume_mark(2)]))
        store.append(make_batch(Origin(RUN, "sync-x"), [end_mark("failed", "lost")]))
        run = store.run(RUN)
        assert (run.status, run.reason) == ("failed", "lost")

    def test_tags_are_added_once(self, store: WritableStore) -> None:
        """Tags keep their order and are unique."""
        store.append(batch_of([run_line("tag", {"tag": tag}) for tag in ("b", "a_%", "b")]))
        assert store.run(RUN).tags == ("b", "a_%")

    def test_the_configuration_grows(self, store: WritableStore) -> None:
        """What is learned later is configuration: it replaces what its name held, and runs are found by it."""
        store.append(batch_of([run_line("config", {"values": {"lr": 0.2, "net": {"depth": 3}}, "step": 5})]))
        assert store.run(RUN).config == {"lr": 0.2, "net": {"depth": 3}}
        found = (store.runs(config={"net.depth": 3}), store.runs(config={"lr": 0.1}))
        assert [[run.id for run in page.items] for page in found] == [[RUN], []]

    def test_the_latest_update_of_the_configuration_stays(self, store: WritableStore) -> None:
        """Journals arrive in any order; a run's start, too, may come last."""
        late = Origin("run-late", "w")
        updates = [run_line("config", {"values": {"lr": value}}) for value in (3, 2)]
        updates[1].time -= 1
        store.append(make_batch(Origin("run-late", "v"), updates))
        assert store.run("run-late").config == {"lr": 3}
        store.append(make_batch(late, [start_line(late, name="late")]))
        assert (store.run("run-late").name, store.run("run-late").config) == ("late", {"lr": 3})

    def test_a_join_changes_nothing(self, store: WritableStore) -> None:
        """Another rank that joins is no change of the run."""
        before = store.run(RUN)
        store.append(make_batch(OTHER, [run_line("join", {"rank": 1, "host": "h", "pid": 2})]))
        assert store.run(RUN) == before

    def test_a_discard_removes_what_came_before(self, store: WritableStore) -> None:
        """An analyzer replaces its outputs: earlier records of the kind go, later ones and other kinds stay."""
        store.append(
            batch_of([alert_line("old"), event_line("e"), run_line("discard", {"kind": "alert"}), alert_line("new")])
        )
        assert [alert.rule_id for alert in store.records(RUN, "alert")] == ["new"]  # type: ignore[attr-defined]
        assert len(list(store.records(RUN, "event"))) == 1

    def test_a_run_without_its_start(self, store: WritableStore) -> None:
        """Records of a run whose start was lost are kept; a start that comes later fills the run in."""
        lost = Origin("run-lost", "w")
        store.append(make_batch(lost, metric_lines(2)))
        assert (store.run("run-lost").status, len(store.series("run-lost", "train/loss"))) == ("running", 2)
        store.append(make_batch(Origin("run-lost", "v"), [start_line(lost, name="found")]))
        assert (store.run("run-lost").name, store.run("run-lost").project_name) == ("found", "digits")

    def test_a_lifecycle_line_that_cannot_be_applied(self, store: WritableStore) -> None:
        """A broken lifecycle line is put aside; what stands beside it is stored."""
        broken = [run_line("end", {}), run_line("tag", {"tag": 3}), run_line("end", {"status": "great"}),
                  run_line("discard", {"kind": "metric"}), run_line("config", {"values": 3}),
                  run_line("config", []), run_line("unheard_of", {"x": 1})]  # type: ignore[arg-type]  # fmt: skip
        batch = batch_of([*broken, run_line("config", {"values": {"a": 1}}), event_line("e")])
        assert store.append(batch) == 10
        assert (len(batch.rejected), store.run(RUN).status) == (6, "running")
        assert store.run(RUN).config == {"lr": 0.1, "a": 1}
        assert len(list(store.records(RUN, "event"))) == 1
