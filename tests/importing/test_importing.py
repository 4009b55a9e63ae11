"""What holds for every importer: identity, exactly once, and the check."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import quark
from quark.importing import discovery
from quark.importing.checking import check_run
from quark.reading import RunView
from quark.records.line import Line
from quark.storage import SqlStore

from ..cli.conftest import Command, command  # noqa: F401  a fixture
from .conftest import Import, whole

ROWS = "".join(f"{step},{1 / (step + 1)!r}\n" for step in range(5_000))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A CSV file of 5,000 steps: several batches."""
    path = tmp_path / "run.csv"
    path.write_text("step,loss\n" + ROWS)
    return path


def state_of(storage: Path) -> list[object]:
    """All that a store holds of its runs, but for the times of changes."""
    with quark.open(storage) as store:
        return [
            (run.record, list(run.events()), [run.series(key).values.tolist() for key in sorted(run.keys())])
            for run in store.runs(sort="id")
        ]


def test_a_second_import_changes_nothing(table: Path, imports: Import, storage: Path) -> None:
    """The same source is the same run, whose records are there already."""
    first = whole(imports("csv", table))
    before = state_of(storage)
    table.touch()
    second = whole(imports("csv", table, project="another"))
    assert (second.run_id, second.project, second.added) == (first.run_id, first.project, 0)
    assert state_of(storage) == before
    assert first.added > 5_000


def test_a_source_that_grew_appends(table: Path, imports: Import, stored: Callable[..., RunView]) -> None:
    """What it gained is added behind what was imported, and nothing is twice."""
    first = whole(imports("csv", table))
    with table.open("a") as file:
        file.write("5000,0.5\n")
    second = whole(imports("csv", table))
    assert second.run_id == first.run_id
    assert second.added == 2  # the point, and the event that says how far
    run = stored(second)
    assert run.series("loss").steps.tolist() == list(range(5_001))
    assert run.status == "completed"


@pytest.mark.parametrize("change", [("4500,", "4500,1"), ("4999,0.0002\n", "")], ids=["changed", "shorter"])
def test_a_source_that_reads_differently_is_refused(
    change: tuple[str, str], table: Path, imports: Import, storage: Path
) -> None:
    """What was imported stays as it is, nothing is mixed, and the error says how to begin again."""
    whole(imports("csv", table))
    before = state_of(storage)
    table.write_text(table.read_text().replace(*change) + ("5000,1\n" if change[1] else ""))
    with pytest.raises(quark.SchemaValidationError, match=r"no continuation.*quark delete"):
        imports("csv", table)
    assert state_of(storage) == before


def test_what_people_edited_stays(table: Path, imports: Import, storage: Path) -> None:
    """A tag and a note that were added to an imported run outlive the next import."""
    imported = whole(imports("csv", table))
    with quark.open(storage) as store:
        run = store.run(imported.run_id)
        run.add_tag("good")
        run.note("a note")
    with table.open("a") as file:
        file.write("5000,0.5\n")
    whole(imports("csv", table))
    with quark.open(storage) as store:
        run = store.run(imported.run_id)
        assert (run.record.tags, len(run.series("loss")), run.notes()) == (("good",), 5_001, ("a note",))


def test_a_deleted_run_stays_deleted(table: Path, imports: Import, storage: Path) -> None:
    """The error names the ways back; once it is purged it can be imported again."""
    imported = whole(imports("csv", table))
    with SqlStore(storage / ".quark" / "quark.db") as store:
        store.delete_run(imported.run_id)
        with pytest.raises(quark.InvalidRunStateError, match="quark restore"):
            imports("csv", table)
        store.purge(0)
    assert whole(imports("csv", table)).run_id == imported.run_id


def test_the_check_finds_a_value_that_differs(table: Path, imports: Import, storage: Path, command: Command) -> None:  # noqa: F811
    """One bit is enough: the metric, the place and both values are named, and the exit code is 3."""
    imported = whole(imports("csv", table))
    with quark.open(storage) as store:
        reader = store.run(imported.run_id).reader
        table.write_text(table.read_text().replace("\n7,0.125\n", "\n7,0.12500000000000003\n"))
        (source,) = discovery.importer("csv")(str(table))
        checked = check_run(reader, source, imported)
    assert (checked.points, checked.equal) == (5_000, 4_999)
    assert "'loss': point 7 differs" in checked.differences[0] and "0.125" in checked.differences[0]


def test_the_command(table: Path, storage: Path, command: Command) -> None:  # noqa: F811
    """People read one line a run, scripts one document; the exit code says whether the check held."""
    answer = command("import", "csv", table, "-d", storage, "--check", "--project", "p")
    assert answer.code == 0
    assert "5,000 points" in answer.out and "5,000 equal" in answer.out
    (run,) = command("import", "csv", table, "-d", storage, "--check", "--json").json()["runs"]
    assert (run["added"], run["project"], run["counts"]["points"]) == (0, "p", 5_000)
    assert run["check"] == {"points": 5_000, "equal": 5_000, "differences": []}


def test_the_command_fails_where_the_check_does(table: Path, storage: Path, command: Command) -> None:  # noqa: F811
    """A point that the source lacks, such as one of a run that went on in Quark: exit code 3, the metric is named."""
    (run,) = command("import", "csv", table, "-d", storage, "--json").json()["runs"]
    with SqlStore(storage / ".quark" / "quark.db") as store:
        store.write_lines(run["run_id"], [Line("metric", 0, 1, 1, None, "loss", 0.5)])
    answer = command("import", "csv", table, "-d", storage, "--check")
    assert (answer.code, "differs: metric 'loss'" in answer.out) == (3, True)


def test_a_source_that_breaks_off_leaves_no_running_run(
    tmp_path: Path, imports: Import, storage: Path, stored: Callable[..., RunView]
) -> None:
    """What came before the fault is there, as a lost run; once the source is mended it is whole."""
    path = tmp_path / "run.csv"
    path.write_text('step,a\n0,1\n1,2\n2,"3"x\n')
    with pytest.raises(quark.SchemaValidationError, match="line 4"):
        imports("csv", path)
    with quark.open(storage) as store:
        assert [(run.status, run.record.reason) for run in store.runs()] == [("failed", "lost")]
    path.write_text("step,a\n0,1\n1,2\n2,3\n")
    run = stored(whole(imports("csv", path)))
    assert (run.status, run.series("a").values.tolist()) == ("completed", [1.0, 2.0, 3.0])


def test_one_bad_run_does_not_stop_the_others(tmp_path: Path, storage: Path, command: Command) -> None:  # noqa: F811
    """It is named, the runs before and behind it are imported, and the exit code is 1."""
    for name, content in (("a", "step,x\n0,1\n"), ("b", "x,x\n0,1\n"), ("c", "step,x\n0,2\n")):
        (tmp_path / f"{name}.csv").write_text(content)
    answer = command("import", "csv", tmp_path, "-d", storage, "--json")
    assert (answer.code, [run["name"] for run in answer.json()["runs"]]) == (1, ["a", "c"])
    (failed,) = answer.json()["failed"]
    assert failed["location"].endswith("b.csv") and "b.csv" in failed["message"]
    again = command("import", "csv", tmp_path, "-d", storage)
    assert again.code == 1 and "b.csv" in again.err and "nothing new" in again.out


def test_the_command_says_what_it_cannot_do(table: Path, storage: Path, command: Command) -> None:  # noqa: F811
    """An unknown kind of source, options of another one, no such file."""
    unknown = command("import", "excel", table, "-d", storage, "--json")
    assert unknown.code == 1 and "csv" in unknown.json()["error"]["message"]
    assert command("import", "transformers", table, "-d", storage, "--step", "n").code == 2
    missing = command("import", "csv", table.with_name("no.csv"), "-d", storage, "--json")
    assert (missing.code, json.loads(missing.out)["error"]["code"]) == (1, "schema_validation")
