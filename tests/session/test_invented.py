"""Names of runs that were given none."""

import re
from pathlib import Path

import pytest

import quark
from quark.session.identity import new_run_id
from quark.session.invented import ADJECTIVES, NOUNS, invented_name


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
