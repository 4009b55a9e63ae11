"""`quark import csv` and `quark import jsonl`."""

import csv
import json
import math
import struct
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest

import quark
from quark.reading import RunView

from .conftest import CORPUS, STEPS, Import, whole


def bits(values: list[float]) -> list[bytes]:
    """Values as they are in memory, in which NaN equals itself and 0.0 is not -0.0."""
    return [struct.pack("<d", value) for value in values]


FINITE = [value for value in CORPUS if math.isfinite(value)]


def write_csv(path: Path) -> None:
    """The corpus by Python's csv writer."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "loss"])
        writer.writerows(zip(STEPS, map(repr, CORPUS), strict=True))


def write_pandas(path: Path) -> None:
    """The corpus by pandas, of which NaN is an empty cell."""
    pandas.DataFrame({"step": STEPS, "loss": CORPUS}).to_csv(path, index=False, na_rep="nan")


def write_jsonl(path: Path) -> None:
    """The corpus by Python's json."""
    lines = (json.dumps({"step": step, "loss": value}) for step, value in zip(STEPS, CORPUS, strict=True))
    path.write_text("".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize("write", [write_csv, write_pandas, write_jsonl])
def test_every_bit_of_the_corpus(
    write: Callable[[Path], None], tmp_path: Path, imports: Import, stored: Callable[..., RunView]
) -> None:
    """Values keep every bit, steps their order; what is not finite is an event, as of a live run."""
    kind = "jsonl" if write is write_jsonl else "csv"
    path = tmp_path / f"run.{kind}"
    write(path)
    imported = whole(imports(kind, path))
    series = stored(imported).series("loss")
    assert bits(series.values.tolist()) == bits(FINITE)
    assert series.steps.tolist() == [step for step, value in zip(STEPS, CORPUS, strict=True) if math.isfinite(value)]
    assert list(map(str, series.nonfinite.values.tolist())) == ["nan", "inf", "-inf"]
    assert (imported.counts["points"], imported.counts["nonfinite"]) == (11, 3)


def test_negative_decimal_and_missing_steps_are_kept(
    tmp_path: Path, imports: Import, stored: Callable[..., RunView]
) -> None:
    """As live recording keeps them: in an event, with the step as it was given."""
    path = tmp_path / "run.jsonl"
    rows = [
        {"step": -1, "a": 1.0},
        {"step": 0.5, "a": math.nan},
        {"a": 3},
        {"step": 4.0, "a": 4},
        {"step": "5", "a": 5},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    imported = whole(imports("jsonl", path))
    run = stored(imported)
    assert run.series("a").steps.tolist() == [4, 5]
    kept = [event.payload for event in run.events(event_type="metric_misplaced")]
    assert [(event["step"], event["values"]) for event in kept] == [
        (-1, {"a": 1.0}), (0.5, {"a": "nan"}), (None, {"a": 3.0}),
    ]  # fmt: skip
    assert imported.counts["misplaced"] == 3


def test_names_times_and_texts(tmp_path: Path, imports: Import, stored: Callable[..., RunView]) -> None:
    """Any text names a metric; columns of times give the wall time; texts are events; an empty cell was not logged."""
    path = tmp_path / "run.csv"
    path.write_text(
        "Step,Epoch,timestamp,Verlust ü,phase,done\n"
        "1,0,1700000000.25,0.5,warm-up,\n2,0.5,2023-11-14T22:13:21+00:00,,main,True\n"
    )
    imported = whole(imports("csv", path, project="mine"))
    run = stored(imported)
    assert run.series("Verlust ü").timestamps.tolist() == [1_700_000_000_250_000_000]
    assert ("Verlust ü" in set(run.keys()), imported.counts["renamed"]) == (True, 1)
    assert run.series("Epoch").values.tolist() == [0.5]  # a part of an epoch is no position
    assert run.series("done").values.tolist() == [1.0]
    assert [event.payload for event in run.events(event_type="logged_text")] == [
        {"phase": "warm-up"},
        {"phase": "main"},
    ]
    assert (run.record.project_name, run.name, run.status) == ("mine", "run", "completed")


def test_columns_are_named_by_options(tmp_path: Path, imports: Import, stored: Callable[..., RunView]) -> None:
    """``--step``, ``--epoch`` and ``--time`` name columns of other names; a column that is not there is said."""
    path = tmp_path / "run.csv"
    path.write_text("n,when,step\n7,1700000000,0.25\n")
    imported = whole(imports("csv", path, step="n", time="when", epoch="gone"))
    run = stored(imported)
    assert (run.series("step").steps.tolist(), run.series("step").values.tolist()) == ([7], [0.25])
    assert any("'gone'" in remark for remark in imported.remarks)
    assert imported.run_id != whole(imports("csv", path)).run_id


def test_without_steps_the_number_of_the_row_is_the_step(
    tmp_path: Path, imports: Import, stored: Callable[..., RunView]
) -> None:
    """And the summary says so; a column of seconds since the start is a metric, not a wall time."""
    path = tmp_path / "run.csv"
    path.write_text("loss,time\n3,0.5\n2,1.5\n")
    imported = whole(imports("csv", path))
    run = stored(imported)
    assert run.series("loss").steps.tolist() == [0, 1]
    assert run.series("time").values.tolist() == [0.5, 1.5]
    assert any("number of the row" in remark for remark in imported.remarks)


@pytest.mark.parametrize(
    ("kind", "torn"), [("csv", "step,a\n1,1.5\n2"), ("jsonl", '{"step":1,"a":1.5}\n{"step":2,"a"')]
)
def test_a_torn_tail_is_left_out_and_comes_when_it_is_whole(
    kind: str, torn: str, tmp_path: Path, imports: Import, stored: Callable[..., RunView]
) -> None:
    """What a killed program left half written is no row; once the line is whole, an import adds it."""
    path = tmp_path / f"run.{kind}"
    path.write_text(torn)
    imported = whole(imports(kind, path))
    assert imported.counts["points"] == 1 and any("torn" in remark for remark in imported.remarks)
    path.write_text(torn + (",2.5\n" if kind == "csv" else ":2.5}\n"))
    again = whole(imports(kind, path))
    assert again.added > 0
    assert stored(again).series("a").values.tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        ("csv", b"a,a\n1,2\n", "several columns 'a'"),
        ("csv", b'a,b\n"1"x,2\n3,4\n', "line 2"),
        ("csv", b"a\n\xff\n", "UTF-8"),
        ("jsonl", b"\xff\n", "UTF-8"),
        ("jsonl", b" " * ((16 << 20) + 1), "more than"),
    ],
)
def test_what_is_no_table_is_refused(kind: str, content: bytes, words: str, tmp_path: Path, imports: Import) -> None:
    """The error names the file and the place."""
    path = tmp_path / "run.txt"
    path.write_bytes(content)
    with pytest.raises(quark.SchemaValidationError, match=words):
        imports(kind, path)


def test_lines_that_hold_no_object_are_left_out(tmp_path: Path, imports: Import) -> None:
    """A log in between, deep nesting and lists do not stop an import, and are said."""
    deep = "[" * 100_000
    path = tmp_path / "run.jsonl"
    path.write_text(f'{{"step":0,"a":{{"b":1}},"l":[1]}}\nstarting...\n{deep}\n[1]\n\n{{"step":1,"a/b":null,"c":2}}\n')
    imported = whole(imports("jsonl", path))
    assert (imported.counts["points"], imported.counts["left_out"]) == (2, 1)
    assert any(remark.startswith("line 2 ") for remark in imported.remarks)


def test_a_directory_holds_many_runs(tmp_path: Path, imports: Import) -> None:
    """Each file below it is a run; a pipe is refused, since nobody may ever write to it."""
    import os

    for place in ("a/x.csv", "b/c/y.csv"):
        (tmp_path / "logs" / place).parent.mkdir(parents=True)
        (tmp_path / "logs" / place).write_text("step,a\n0,1\n")
    assert [imported.name for imported, _ in imports("csv", tmp_path / "logs")] == ["x", "y"]
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(quark.SchemaValidationError, match="no regular file"):
        imports("csv", tmp_path / "pipe")
    with pytest.raises(quark.SchemaValidationError, match="no file or directory"):
        imports("csv", tmp_path / "missing")
