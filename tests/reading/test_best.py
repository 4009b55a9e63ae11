"""Best values, columns of runs, and runs as a data frame."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import quark
from quark import BestValue, SchemaValidationError, SessionStoreError
from quark.reading import Store
from quark.reading.columns import Cell, Column, Facts, split_columns

ACCURACIES = {"low": [0.1, 0.3, 0.2], "high": [0.5, 0.9, 0.9], "flat": [0.4, 0.4, 0.4]}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Three runs with an accuracy, ``low``, ``high`` and ``flat``, and one, ``bare``, that recorded nothing."""
    for at, (name, values) in enumerate(ACCURACIES.items()):
        config = {"lr": 10.0**-at, "optimizer": {"name": "sgd"}, "acc": "shadowed"}
        with quark.start_run(project="p", name=name, config=config, storage_dir=tmp_path) as run:
            for step, value in enumerate(values):
                run.log({"val/acc": value, "loss": 1 - value, "custom": value}, step=10 * step, epoch=step)
            run.summary["score"] = at
    with quark.start_run(project="p", name="bare", storage_dir=tmp_path):
        pass
    with quark.open(tmp_path) as opened:
        yield opened


def test_the_best_value_comes_with_its_step_and_epoch(store: Store) -> None:
    """Of equal values the first one counts; the direction follows from the name, or from ``mode``."""
    view = store.run("high")
    assert view.best("val/acc") == BestValue("val/acc", 0.9, 10, 1, "max")
    assert view.best("val/acc", mode="min").value == 0.5
    assert view.best("loss").step == 10
    assert view.best("custom", mode="max").value == 0.9
    assert view.best("loss").to_dict()["mode"] == "min"


def test_what_has_no_best_value_is_an_error(store: Store) -> None:
    """An unknown metric names near ones; a name that says nothing names the argument."""
    view = store.run("high")
    with pytest.raises(SessionStoreError, match="did you mean val/acc"):
        view.best("val/ac")
    with pytest.raises(SchemaValidationError, match="pass mode="):
        view.best("custom")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr", Cell(0.1)), ("config.lr", Cell(0.1)), ("optimizer.name", Cell("sgd")), ("acc", Cell("shadowed")),
        ("val/acc", Cell(0.9, 20)), ("val/acc:last", Cell(0.9, 20)), ("val/acc:first", Cell(0.5, 0)),
        ("val/acc:max", Cell(0.9, 10)), ("val/acc:min", Cell(0.5, 0)), ("loss:best", Cell(pytest.approx(0.1), 10)),
        ("loss:mean", Cell(pytest.approx(0.7 / 3))), ("score", Cell(1)), ("summary.score", Cell(1)),
        ("nope", Cell()), ("nope:max", Cell()), ("val/acc:nope", Cell()),
    ],
)  # fmt: skip
def test_a_column_is_a_setting_a_metric_or_a_summary_value(store: Store, text: str, expected: Cell) -> None:
    """A bare name is the setting first; a reduction behind a colon makes it a metric."""
    assert Column(text).of(Facts(store.run("high"))) == expected


def test_columns_are_split_at_commas() -> None:
    """The option may hold several and may be given several times."""
    assert [column.text for column in split_columns(["lr, val/acc:max", "loss,"])] == ["lr", "val/acc:max", "loss"]
    quoted = split_columns(['lr, "top 1, top 5":max,"a,b"', '"say ""hi"", please"', 'it"s'])
    assert [(column.key, column.reduction) for column in quoted] == [
        ("lr", None), ("top 1, top 5", "max"), ("a,b", None), ('say "hi", please', None), ('it"s', None)
    ]  # fmt: skip
    with pytest.raises(SchemaValidationError, match="one line"):
        split_columns(["a\nb"])


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("-val/acc:max", ["high", "flat", "low", "bare"]),
        ("val/acc:max", ["low", "flat", "high", "bare"]),
        ("lr", ["flat", "high", "low", "bare"]),
        ("-config.lr", ["low", "high", "flat", "bare"]),
        ("summary.score", ["low", "high", "flat", "bare"]),
        ("optimizer.name", ["flat", "high", "low", "bare"]),
    ],
)
def test_runs_are_sorted_by_any_column(store: Store, sort: str, expected: list[str]) -> None:
    """Runs without a value come last in either direction; equal ones the newest first."""
    assert [view.name for view in store.runs(sort=sort)] == expected
    assert [view.name for view in store.runs(sort=sort, limit=2)] == expected[:2]


def test_a_sort_that_no_run_has_is_refused(store: Store) -> None:
    """A misspelt column must not look like an order."""
    with pytest.raises(SchemaValidationError, match="'-val/ac' is not known"):
        list(store.runs(sort="-val/ac"))
    assert list(store.runs(sort="-val/ac", project="nobody")) == []


def test_names_of_any_text_are_columns_and_orders(tmp_path: Path) -> None:
    """One that holds a comma is written the same way for both, and one may end as a reduction does."""
    for value in (1.0, 3.0, 2.0):
        with quark.start_run(project="p", name=f"run {value:g}", storage_dir=tmp_path) as run:
            run.log({"top 1, top 5": value, "Acc [%]": value, "a:max": value}, step=0)
    with quark.open(tmp_path) as store:
        for name in ('"top 1, top 5":max', "top 1, top 5:max", '"top 1, top 5"', "Acc [%]:min", "a:max", "a:max:min"):
            assert [view.name for view in store.runs(sort=f"-{name}")] == ["run 3", "run 2", "run 1"]
        for name in ('"top 1, top 5":max', "Acc [%]:min", "a:max", "a:max:min"):
            (column,) = split_columns([name])
            assert column.of(Facts(store.run("run 3"))).value == 3.0
        with pytest.raises(SchemaValidationError, match=r"did you mean Acc \[%\]\?"):
            list(store.runs(sort="acc [%]:max"))


def test_runs_are_a_data_frame_with_a_row_a_run(store: Store) -> None:
    """Status, settings, summary, last and best values; what a run has not is missing."""
    frame = store.to_pandas(sort="-val/acc:max")
    assert frame["name"].tolist() == ["high", "flat", "low", "bare"]
    assert frame["best.val/acc"].tolist()[:3] == [0.9, 0.4, 0.3]
    assert frame["last.val/acc"].tolist()[:3] == [0.9, 0.4, 0.2]
    assert frame["config.optimizer.name"].tolist()[:3] == ["sgd"] * 3
    assert frame["summary.score"].tolist()[:3] == [1, 2, 0]
    assert set(frame["status"]) == {"completed"} and str(frame["started_at"].dtype).startswith("datetime64")
    assert "best.custom" not in frame and "last.custom" in frame
    assert frame.loc[3, ["config.lr", "last.loss", "best.loss"]].isna().all()


def test_a_data_frame_of_chosen_metrics_and_of_no_runs(store: Store) -> None:
    """``keys`` picks the metrics, filters pick the runs; no run at all still has the columns of every run."""
    frame = store.to_pandas(["loss"], name="low")
    assert [name for name in frame if name.startswith(("last.", "best."))] == ["last.loss", "best.loss"]
    assert len(frame) == 1
    assert list(store.to_pandas(project="nobody"))[:3] == ["id", "name", "project"]


def test_a_series_is_shown_on_one_line(store: Store) -> None:
    """Its points, steps and range; the arrays are attributes."""
    assert repr(store.run("high").series("val/acc")) == "<Series 'val/acc': 3 points, steps 0 to 20, 0.5 to 0.9>"
