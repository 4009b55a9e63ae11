"""Finding runs in a store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import quark
from quark import RunNotFoundError, WrongTypeError
from quark.reading import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Five runs in two projects; the last one is interrupted."""
    for number in range(5):
        session = quark.start_run(
            project="even" if number % 2 == 0 else "odd", name=f"run-{number}", storage_dir=tmp_path,
            config={"lr": 10.0**-number, "model": {"depth": number}}, tags=[f"tag-{number}", "all"],
            run_id=f"{number}{number}-run",
        )  # fmt: skip
        session.end_run("interrupted" if number == 4 else "completed")
    with quark.open(tmp_path) as opened:
        yield opened


def ids(views: Iterator[quark.reading.RunView]) -> list[str]:  # type: ignore[name-defined]
    """Which runs they are."""
    return [view.id for view in views]


def test_the_newest_comes_first(store: Store) -> None:
    """Without a word on the order the latest start leads."""
    assert ids(store.runs()) == ["44-run", "33-run", "22-run", "11-run", "00-run"]
    assert ids(store.runs(sort="name", limit=2)) == ["00-run", "11-run"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"project": "odd"}, ["11-run", "33-run"]),
        ({"status": "interrupted"}, ["44-run"]),
        ({"tag": "tag-2"}, ["22-run"]),
        ({"name": "run-3"}, ["33-run"]),
        ({"config": {"model.depth": 1}}, ["11-run"]),
        ({"config": {"lr": 0.01}}, ["22-run"]),
        ({"project": "odd", "config": {"model.depth": 0}}, []),
    ],
    ids=["project", "status", "tag", "name", "inner config", "config", "none"],
)
def test_filters(store: Store, filters: dict, expected: list[str]) -> None:
    """Each filter restricts, and together they restrict more."""
    assert ids(store.runs(sort="id", **filters)) == expected


def test_all_pages_are_walked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the pages, every run comes once."""
    monkeypatch.setattr("quark.reading.store.PAGE_SIZE", 2)
    assert ids(store.runs(sort="id")) == ["00-run", "11-run", "22-run", "33-run", "44-run"]
    assert ids(store.runs(sort="id", limit=3)) == ["00-run", "11-run", "22-run"]
    assert ids(store.runs(limit=0)) == []


def test_a_page_says_how_to_go_on(store: Store) -> None:
    """``next`` leads to the following page and is None at the end."""
    first = store.page(sort="id", limit=3)
    rest = store.page(sort="id", limit=3, after=first.next)
    assert [view.id for view in (*first.runs, *rest.runs)] == ["00-run", "11-run", "22-run", "33-run", "44-run"]
    assert rest.next is None


def test_a_run_is_found_by_the_start_of_its_id_or_by_its_name(store: Store) -> None:
    """As long as there is only one."""
    assert store.run("22-run").id == store.run("22").id == store.run("run-2").id == "22-run"


def test_a_misspelt_name_gets_near_ones(store: Store) -> None:
    """Nothing is guessed where no name is near."""
    with pytest.raises(RunNotFoundError, match="did you mean 'run-2'"):
        store.run("rum-2")
    with pytest.raises(RunNotFoundError, match=r"no run 'zebra' in [^?]*; list those"):
        store.run("zebra")


def test_an_ambiguous_start_lists_the_runs(store: Store, tmp_path: Path) -> None:
    """Several runs are no answer: the error names them."""
    quark.start_run(project="even", run_id="22-other", storage_dir=tmp_path).end_run()
    with pytest.raises(RunNotFoundError, match="22-other, 22-run") as caught:
        store.run("22")
    assert caught.value.code == "run_ambiguous"


def test_an_id_is_text(store: Store) -> None:
    """A number or nothing is refused as such."""
    with pytest.raises(WrongTypeError, match="id of a run"):
        store.run(22)  # type: ignore[arg-type]


def test_projects(store: Store) -> None:
    """The projects are listed by name."""
    names = [project.name for project in store.projects()]
    assert [name for name in names if name in ("even", "odd")] == ["even", "odd"]


def test_closing_twice_is_fine(tmp_path: Path, store: Store) -> None:
    """A store may be closed by hand inside its block."""
    store.close()
    store.close()
