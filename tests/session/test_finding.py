"""Which directory is read when none is named."""

import logging
from pathlib import Path

import pytest

import quark
from quark import SessionStoreError
from quark.session.finding import DEPTH, found_placement, stores_below


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, which holds no runs."""
    place = tmp_path / "project"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def record(place: Path) -> Path:
    """A directory with a run."""
    quark.start_run(project="p", storage_dir=place).end_run()
    return place


def test_the_working_directory_comes_first(here: Path) -> None:
    """Runs here are what is meant, whatever lies below or above."""
    for place in (here, here / "below", here.parent):
        record(place)
    assert found_placement().storage_dir == here


@pytest.mark.parametrize("where", ["quark-runs", "a/b/runs", ".."])
def test_the_only_store_below_or_above_is_found_and_named(
    here: Path, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning says which one is used, and how it is named."""
    place = record((here / where).resolve())
    with caplog.at_level(logging.WARNING, "quark"):
        assert found_placement().storage_dir == place
    assert str(place) in caplog.text and "-d " in caplog.text


def test_a_store_below_comes_before_one_above(here: Path) -> None:
    """A project's own runs are nearer than what a parent directory has collected."""
    record(here.parent)
    place = record(here / "runs")
    assert found_placement().storage_dir == place


def test_several_are_listed_with_what_to_type(here: Path) -> None:
    """None of them is taken by guess."""
    for name in ("first runs", "second"):
        record(here / name)
    with pytest.raises(SessionStoreError, match="2 directories below .* -d 'first runs', -d second") as error:  # noqa: RUF043
        found_placement()
    assert error.value.code == "store_ambiguous"


@pytest.mark.parametrize("name", ["argument", "variable"])
def test_a_directory_that_is_named_is_taken(here: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Who names a directory gets that one, with runs in it or not."""
    record(here / "runs")
    if name == "variable":
        monkeypatch.setenv("QUARK_STORAGE_DIR", str(here / "other"))
    assert found_placement(here / "other" if name == "argument" else None).storage_dir == here / "other"


def test_journals_without_a_store_count(here: Path) -> None:
    """A run whose process was killed before its store was made is found too."""
    (here / "runs" / ".quark" / "journal" / "some-run").mkdir(parents=True)
    assert found_placement().storage_dir == here / "runs"


def test_what_is_hidden_too_deep_linked_or_of_packages_is_left_out(here: Path) -> None:
    """The walk stays short, and goes nowhere that the user does not look."""
    deep = here.joinpath(*"abcd"[: DEPTH + 1])
    for place in (deep, here / ".cache" / "runs", here / "node_modules" / "x"):
        record(place)
    (here / "link").symlink_to(deep)
    assert stores_below(here) == []


def test_the_store_of_another_user_is_not_taken(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write to a parent directory cannot slip a store under the commands."""
    record(here.parent)
    monkeypatch.setattr("os.geteuid", lambda: 12345)  # a second user cannot be had in every test environment
    assert found_placement().storage_dir == here


def test_open_reads_the_one_that_was_found(here: Path) -> None:
    """``quark.open()`` and the commands agree."""
    with pytest.raises(SessionStoreError, match="no runs are recorded in .* quark demo"):  # noqa: RUF043
        quark.open()
    place = record(here / "runs")
    with quark.open() as store:
        assert store.location == str(place) and store.options == " -d runs"
