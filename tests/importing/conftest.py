"""Imports in this process, into a store of the test."""

import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import quark
from quark.importing import discovery
from quark.importing.checking import Checked
from quark.importing.importing import Failed, import_all
from quark.importing.writing import Imported
from quark.reading import RunView

CORPUS = [
    0.1, -0.0, 1e-320, 5e-324, float("nan"), float("inf"), float("-inf"), float(2**63), 0.10000000149011612,
    1.7976931348623157e308, 1 / 3, -1.5, 0.0, 1e16 + 2,
]  # fmt: skip
"""Values that a careless reader would change: the smallest and largest, signs of zero, a float32, those not finite."""

STEPS = [0, 1, 1, 5, 3, 3, 8, 9, 10, 10, 10, 11, 12, 2]
"""Steps that repeat and fall."""

Import = Callable[..., list[tuple[Imported, Checked]]]


@pytest.fixture(autouse=True)
def announced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The importers that pyproject.toml announces, whatever an older installation of the checkout says."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    group = project["entry-points"][discovery.GROUP]
    entries = {name: EntryPoint(name, value, discovery.GROUP) for name, value in group.items()}
    monkeypatch.setattr(discovery, "_announced", lambda: entries)


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """The directory that runs are imported into."""
    return tmp_path / "storage"


@pytest.fixture
def imports(storage: Path) -> Import:
    """Imports a source and checks each run against it: ``imports("csv", path, step="n")``."""

    def call(kind: str, path: object, project: str | None = None, **columns: str) -> list[tuple[Imported, Checked]]:
        runs = discovery.importer(kind)(str(path), **columns)
        done: list[Any] = []
        for one in import_all(runs, kind, storage, project=project, check=True):
            if isinstance(one, Failed):
                raise one.error
            done.append(one)
        return done

    return call


@pytest.fixture
def stored(storage: Path) -> Iterator[Callable[[Imported], RunView]]:
    """The run that an import made, as readers see it."""
    opened: list[Any] = []

    def call(imported: Imported) -> RunView:
        opened.append(quark.open(storage))
        return opened[-1].run(imported.run_id)

    yield call
    for store in opened:
        store.close()


def whole(done: list[tuple[Imported, Checked]]) -> Imported:
    """The one run of an import, every point of which is equal to its source."""
    ((imported, checked),) = done
    assert (checked.differences, checked.equal) == ([], checked.points)
    return imported
