"""Names of runs that were given none."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import quark
from quark.session.identity import new_run_id
from quark.session.invented import ADJECTIVES, NOUNS, invented_name, name_for


def test_a_name_is_two_words_and_a_number() -> None:
    """Short enough for a table, typed without quotes, and hardly ever the same for two runs."""
    names = [invented_name(new_run_id()) for _ in range(2000)]
    assert all(re.fullmatch(r"[a-z]+-[a-z]+-[0-9]{1,4}", name) and len(name) <= 24 for name in names)
    assert len(set(names)) >= 1998
    assert not set(ADJECTIVES) & set(NOUNS)


def test_a_run_without_a_name_gets_one_and_keeps_it(tmp_path: Path) -> None:
    """The next attempt has it too, and commands find the run by it."""
    first = quark.start_run(project="p", storage_dir=tmp_path)
    first.end_run("interrupted")
    second = quark.resume_run(run_id=first.id, storage_dir=tmp_path)
    assert second.name == first.name == invented_name(first.id)
    second.end_run()
    with quark.open(tmp_path) as store:
        assert store.run(str(first.name)).id == first.id


def test_a_name_that_another_run_has_gets_a_number(tmp_path: Path) -> None:
    """Whether it was given or invented there; every further attempt finds its own."""
    taken = invented_name("job-7")
    quark.start_run(project="p", name=taken, storage_dir=tmp_path).end_run()
    quark.start_run(project="other", name=f"{taken}-2", storage_dir=tmp_path).end_run()
    for _ in range(2):
        run = quark.start_run(project="p", run_id="job-7", storage_dir=tmp_path)
        assert run.name == f"{taken}-3"
        run.end_run("interrupted")
    quark.start_run(project="p", name=taken, storage_dir=tmp_path).end_run()
    with quark.open(tmp_path) as store:
        assert sorted(str(view.name) for view in store.runs()) == [taken, taken, f"{taken}-2", f"{taken}-3"]
    elsewhere = quark.start_run(project="p", run_id="job-7", storage_dir=tmp_path / "elsewhere")
    assert elsewhere.name == taken
    elsewhere.end_run()


def test_a_directory_that_takes_no_claim_is_no_trouble(tmp_path: Path) -> None:
    """The name is the invented one."""
    (tmp_path / "names").write_text("no directory")
    assert name_for(tmp_path / "names", "job-7", None) == invented_name("job-7")
    assert name_for(tmp_path / "names", "job-7", "mine") == "mine"


def test_of_many_that_want_a_name_one_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that would have one name, started at a moment, have different ones. Such ids are not to be had otherwise."""
    monkeypatch.setattr("quark.session.invented.invented_name", lambda run_id: "calm-fox-1")
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda number: name_for(tmp_path / "names", f"job-{number}", None), range(32)))
    assert sorted(names) == sorted(["calm-fox-1", *(f"calm-fox-1-{number}" for number in range(2, 33))])


def test_the_ranks_of_a_job_agree(tmp_path: Path) -> None:
    """The name follows from the id, so nobody has to be asked for it."""
    for run_id in ("job-1", "job-1"):
        quark.start_run(project="p", run_id=run_id, storage_dir=tmp_path).end_run("interrupted")
    with quark.open(tmp_path) as store:
        assert [view.name for view in store.runs()] == [invented_name("job-1")]


@pytest.mark.parametrize("name", ["mine", "with space", "ü"])
def test_a_name_that_was_given_stays(tmp_path: Path, name: str) -> None:
    """Nothing is invented then."""
    quark.start_run(project="p", name=name, storage_dir=tmp_path).end_run()
    with quark.open(tmp_path) as store:
        assert [view.name for view in store.runs()] == [name]
