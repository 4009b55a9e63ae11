"""Run groups: ids that come again, members that stay finished, progress and failure in the group's own run."""

import re
from pathlib import Path

import pytest

import quark
from quark import SchemaValidationError
from quark.records.identifiers import is_id


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def views(tmp_path: Path) -> "dict[str | None, object]":
    with quark.open(tmp_path) as store:
        return {view.name: view.record for view in store.runs()}


def test_an_id_is_the_same_for_the_same_three_and_for_no_others() -> None:
    """Parts cannot run into each other, whatever they hold."""
    assert quark.derive_run_id("p", "cnn", "abc") == quark.derive_run_id("p", "cnn", "abc")
    triples = [("p", "a", "b"), ("p", "ab", ""), ("pa", "", "b"), ("p", 'a","b', ""), ("p", "a", ""), ("p ", "a", "b")]
    assert len({quark.derive_run_id(*triple) for triple in triples}) == len(triples)
    assert quark.derive_run_id("p", "Patch TST/1", "x").startswith("Patch-TST-1-")
    assert quark.derive_run_id("p", "…", "x").startswith("run-")
    with pytest.raises(quark.WrongTypeError):
        quark.derive_run_id("p", 1)  # type: ignore[arg-type]


def test_the_commit_is_looked_up(tmp_path: Path) -> None:
    """Without git_sha the commit of the working directory is part of the id; outside of a repository there is none."""
    assert quark.derive_run_id("p", "a") == quark.derive_run_id("p", "a", "")
    git = tmp_path / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "refs" / "heads" / "main").write_text("1" * 40 + "\n")
    assert quark.derive_run_id("p", "a") == quark.derive_run_id("p", "a", "1" * 40)


def test_a_group_and_its_members(tmp_path: Path) -> None:
    """The group is the members' parent, it ends completed, and its progress is in it."""
    with quark.run_group("bench", total=2) as group:
        for name in ("a", "b"):
            with group.run(name, config={"model": name}) as run:
                run.log({"loss": 1.0}, step=0)
        assert repr(group) == "<RunGroup 'bench' of 'bench': 2 of 2 done, 0 failed>"
    with quark.open(tmp_path) as store:
        whole, a = store.run(group.run_id), store.run(group.id_of("a"))
        assert (whole.status, whole.config["total"], whole.tags) == ("completed", 2, ("run-group",))
        assert whole.series("group/done").values.tolist() == [1.0, 2.0]
        told = [event.payload for event in whole.events() if event.event_type == "group_progress"]
        assert [(one["name"], one["done"], one["failed"], one["total"]) for one in told] == [
            ("a", 1, 0, 2),
            ("b", 2, 0, 2),
        ]
        assert (a.name, a.status, a.config, a.record.parent_run_id) == ("a", "completed", {"model": "a"}, whole.id)
        assert a.record.lineage_root_run_id == whole.id


def test_what_is_finished_stays_finished(tmp_path: Path) -> None:
    """A second start changes nothing of a completed member, and says so before and inside its block."""
    with quark.run_group("bench", total=2, git_sha="x") as group, group.run("a") as run:
        run.log({"loss": 1.0}, step=0)
    before = views(tmp_path)
    assert before["bench"].status == "interrupted"  # type: ignore[attr-defined]
    with quark.run_group("bench", total=2, git_sha="x") as group:
        assert group.pending(["a", "b"]) == ["b"]
        with group.run("a") as run:
            assert (run.status, run.run_id, run.disabled) == ("completed", group.id_of("a"), True)
            run.log({"loss": 9.0}, step=9)
            quark.MetricsLogger(run).log("more", 1.0, step=1)
        with group.run("b") as run:
            assert run.status == "running"
    after = views(tmp_path)
    assert after["a"] == before["a"]
    assert (after["bench"].status, after["bench"].resume_count) == ("completed", 1)  # type: ignore[attr-defined]
    with quark.open(tmp_path) as store:
        assert store.run(group.id_of("a")).keys() == ["loss"]


def test_what_a_finished_member_holds_can_be_read(tmp_path: Path) -> None:
    """Its session reads checkpoints, summary and records from the store; what is assigned there is not kept."""
    with quark.run_group("bench", total=1, git_sha="x") as group, group.run("a", config={"lr": 0.1}) as run:
        run.log({"loss": 0.5}, step=7)
        run.summary["best"] = 0.9
        with run.checkpoint("7.pt", step=7):
            pass
    with quark.run_group("bench", total=1, git_sha="x") as group, group.run("a") as run:
        checkpoint = run.latest_checkpoint()
        assert checkpoint is not None and (checkpoint.step, checkpoint.complete) == (7, True)
        assert (dict(run.summary), run.config["lr"]) == ({"best": 0.9}, 0.1)
        assert run.reader().series(run.run_id, "loss").values.tolist() == [0.5]
        assert [record.value for record in quark.MetricsLogger(run).read()] == [0.5]
        run.summary["best"] = 0.1
        assert run.health()["recorded"] == 0
    with quark.open(tmp_path) as store:
        assert store.run(group.id_of("a")).summary() == {"best": 0.9}


def test_a_member_that_failed_goes_on(tmp_path: Path) -> None:
    """Its start time and its records stay, it is one attempt further, and the group is told of both ends."""
    with pytest.raises(ZeroDivisionError), quark.run_group("bench", git_sha="") as group, group.run("a") as run:
        run.log({"loss": 1.0}, step=0)
        raise ZeroDivisionError
    first = views(tmp_path)
    assert (first["a"].status, first["bench"].status) == ("failed", "failed")  # type: ignore[attr-defined]
    with quark.run_group("bench", git_sha="") as group, group.run("a") as run:
        run.log({"loss": 2.0}, step=1)
    second = views(tmp_path)
    assert (second["a"].status, second["a"].resume_count) == ("completed", 1)  # type: ignore[attr-defined]
    assert second["a"].started_at == first["a"].started_at  # type: ignore[attr-defined]
    assert second["bench"].status == "completed"  # type: ignore[attr-defined]
    with quark.open(tmp_path) as store:
        assert store.run(group.id_of("a")).series("loss").values.tolist() == [1.0, 2.0]


def test_a_failure_that_the_program_survives_is_the_groups(tmp_path: Path) -> None:
    """One member failed and was caught: the others run, and the group reads failed."""
    with quark.run_group("bench", total=2) as group:
        for name in ("a", "b"):
            try:
                with group.run(name):
                    if name == "a":
                        raise ValueError("no data")
            except ValueError:
                pass
        assert (group.done, group.failed) == ({"b"}, {"a"})
    assert views(tmp_path)["bench"].status == "failed"  # type: ignore[attr-defined]


def test_files_are_stored_also_when_the_run_failed(tmp_path: Path) -> None:
    """By pattern and extension, with names that keys may hold; a link that leads out is left alone."""
    out = tmp_path / "out"
    (out / "sub dir").mkdir(parents=True)
    for name in ("loss.png", "sub dir/über.PDF", "notes.txt"):
        (out / name).write_bytes(name.encode())
    (out / "link.png").symlink_to("/etc/hostname")
    with (
        pytest.raises(ValueError, match="boom"),
        quark.run_group("bench", artifacts=out, extensions=None) as group,
        group.run("a", artifacts=[out, tmp_path / "none"]),
    ):
        raise ValueError("boom")
    with quark.open(tmp_path) as store:
        view = store.run(group.id_of("a"))
        found = {artifact.artifact_key: view.load(artifact) for artifact in view.artifacts()}
        assert found == {"loss.png": b"loss.png", "sub-dir/ber.PDF": "sub dir/über.PDF".encode()}
        assert [artifact.metadata["path"] for artifact in view.artifacts()] == ["loss.png", "sub dir/über.PDF"]
        assert len(store.run(group.run_id).artifacts()) == 3


def test_another_process_that_shares_the_work(tmp_path: Path) -> None:
    """While the group is open elsewhere, its members can be run all the same; one that runs elsewhere is refused."""
    with quark.run_group("bench", total=2, git_sha="") as first, first.run("a"):
        with quark.run_group("bench", total=2, git_sha="") as second:
            with second.run("b") as run:
                run.log({"loss": 1.0}, step=0)
            with pytest.raises(quark.InvalidRunStateError), second.run("a"):
                pass
        assert first.session.status == "running"
    assert views(tmp_path)["b"].status == "completed"  # type: ignore[attr-defined]


def test_nothing_is_recorded_when_quark_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """QUARK_DISABLE: the blocks run, no file is made."""
    monkeypatch.setenv("QUARK_DISABLE", "1")
    with quark.run_group("bench", total=1) as group, group.run("a", artifacts=tmp_path) as run:
        run.log({"loss": 1.0}, step=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "  ", 3])
def test_a_name_is_needed(name: object) -> None:
    """The ids are made of it."""
    with pytest.raises(quark.WrongTypeError):
        quark.run_group(name)  # type: ignore[arg-type]


def test_the_group_has_trackers_of_its_own(tmp_path: Path) -> None:
    """They see the group's run, and a member's those of the member, whose parent the group is."""
    group_sink, member_sink = quark.MemorySink(), quark.MemorySink()
    with quark.run_group("g", total=1, trackers=[group_sink]) as group, group.run("a", trackers=[member_sink]) as run:
        run.log({"loss": 1.0}, step=0)
    assert {batch.origin.run_id for batch in group_sink.batches} == {group.run_id}
    assert {batch.origin.run_id for batch in member_sink.batches} == {group.id_of("a")}


def test_ids_begin_with_a_prefix() -> None:
    """A derived id keeps its digest under another prefix; fresh ids differ, and all of them can be ids of runs."""
    plain, bench = quark.derive_run_id("p", "a", "x"), quark.derive_run_id("p", "a", "x", prefix="bench 1")
    assert bench == f"bench-1-{plain.rpartition('-')[2]}"
    made = [quark.new_run_id(prefix) for prefix in ("batch", "batch", "…", "a/b", "x" * 200, None)]
    assert [one.rpartition("-")[0] for one in made[:4]] == ["batch", "batch", "run", "a-b"]
    assert all(re.fullmatch("[0-9a-f]{12}", one.rpartition("-")[2]) for one in made[:5])
    assert len(set(made)) == 6 and all(is_id(one) for one in made)
    for call in (lambda: quark.derive_run_id("p", "a", "x", prefix=3), lambda: quark.new_run_id(3)):  # type: ignore
        with pytest.raises(quark.WrongTypeError, match="prefix"):
            call()


def test_a_group_under_an_id_of_its_own(tmp_path: Path) -> None:
    """A fresh id begins all members anew, and a known one continues its group."""
    first = quark.new_run_id("bench")
    for run_id in (first, quark.new_run_id("bench"), first):
        with quark.run_group("bench", total=2, run_id=run_id) as group:
            for name in group.pending(["a"]):
                with group.run(name) as run:
                    run.log({"loss": 1.0}, step=0)
            assert (group.run_id, group.finished("a")) == (run_id, True)
    with quark.open(tmp_path) as store:
        assert [view.record.resume_count for view in store.runs(name="a")] == [0, 0]
        assert {view.id: view.record.resume_count for view in store.runs(name="bench")}[first] == 1
    with pytest.raises(SchemaValidationError, match="run_id"):
        quark.run_group("bench", run_id="../up")
