"""A NaN or an infinity that was logged is a point that readers and charts show, beside the finite ones."""

import json
import math

import pytest

import quark
from quark import MetricsLogger
from quark.reading.metrics import summarise

NAN, INF = float("nan"), float("inf")


@pytest.fixture
def view(tmp_path):
    """Losses of which some are not finite, one metric that never was, and one under an everyday name."""
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        for step in range(10):
            run.log(
                {"loss": NAN if step in (3, 9) else float(step), "only": -INF, "Val Loss": INF if step == 5 else 1.0}
            )
        MetricsLogger(run).log("loss", INF, step=20, epoch=2)
    with quark.open(tmp_path) as store:
        yield store.run(run.run_id)


def points(series):
    return list(zip(series.steps.tolist(), map(repr, series.values.tolist()), strict=True))


def test_they_are_points_of_their_series(view):
    """With step, epoch and time; the finite values stay apart, so that sums and extremes are right."""
    series = view.series("loss")
    assert series.steps.tolist() == [0, 1, 2, 4, 5, 6, 7, 8] and all(map(math.isfinite, series.values))
    assert points(series.nonfinite) == [(3, "nan"), (9, "nan"), (20, "inf")]
    assert series.nonfinite.epochs.tolist() == [-1, -1, 2] and (series.nonfinite.timestamps > 0).all()
    assert points(view.series("Val Loss").nonfinite) == points(view.series(quark.metric_key("Val Loss")).nonfinite)
    assert points(view.series("Val Loss").nonfinite) == [(5, "inf")]


def test_a_metric_that_never_was_finite_is_listed(view):
    """By name, with its last value; its series has no finite point and all the others."""
    assert view.keys() == ["Val Loss", "loss", "only"]
    assert view.latest()["only"] == (9, -INF)
    assert (len(view.series("only")), len(view.series("only").nonfinite)) == (0, 10)
    assert view.nonfinite_counts() == {"loss": 3, "Val Loss": 1, "only": 10}


def test_they_are_recorded_and_not_refused(view):
    """Nothing is missing from a run because of them."""
    assert view.unrecorded().total == 0


def test_tables_mark_them(view):
    """In the terminal a cross stands where they were; JSON has their number, and no word that JSON lacks."""
    by_key = {one.key: one for one in summarise(view, width=5)}
    assert (by_key["loss"].nonfinite, by_key["loss"].maximum) == (3, 8.0)
    assert sum(map(math.isnan, by_key["loss"].course)) == 2
    document = json.dumps([one.to_dict() for one in by_key.values()], allow_nan=False)
    assert json.loads(document)[-1]["nonfinite"] == 10
    assert view._repr_html_().count("not finite") == 2


def test_a_later_attempt_replaces_them(tmp_path):
    """A step that was reached again with a number is no NaN any more, unless all attempts are asked for."""
    first = quark.start_run(project="p", storage_dir=tmp_path)
    for step in range(5):
        first.log({"loss": NAN if step >= 3 else 1.0}, step=step)
    first.end_run("failed")
    with quark.resume_run(run_id=first.run_id, storage_dir=tmp_path) as second:
        second.log({"loss": 2.0}, step=3)
    with quark.open(tmp_path) as store:
        view = store.run(first.run_id)
        assert points(view.series("loss").nonfinite) == [(4, "nan")]
        assert points(view.series("loss", all_attempts=True).nonfinite) == [(3, "nan"), (4, "nan")]
