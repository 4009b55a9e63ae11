"""A run's twin in W&B, offline: what the transaction log holds is what Quark holds, record by record."""

import json
import logging
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import quark
from quark.cli.entry import app
from quark.records.base import Origin
from quark.testing import SinkContract, alert_line, event_line, make_batch, make_manifest, metric_lines, run_line
from quark_integrations.sinks.wandb import WandbSink, client, translog

from .wandb_files import files, settled, wandb_environment, written

wandb = pytest.importorskip("wandb", reason='the W&B client is needed: pip install "quark-tracker[wandb]"')

ORIGIN = Origin("run-1", "w")


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of W&B lies outside of tmp_path, nobody is logged in, and no process of it is left."""
    for name, value in wandb_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    for name in ("WANDB_MODE", "WANDB_PROJECT", "WANDB_DIR", "WANDB_RUN_ID", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    yield
    wandb.teardown()


def offline(folder: Path, **options: Any) -> WandbSink:
    return WandbSink(mode="offline", dir=folder, **options)


def wait_until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


class TestContract(SinkContract):
    """The contract of every sink, on W&B's real client in offline mode."""

    kinds = frozenset({"metric"})

    def make_sink(self, tmp_path: Path) -> WandbSink:
        return offline(tmp_path)

    def read_back(self, sink: Any) -> Iterable[Any]:
        folder = Path(sink.spec()["dir"])
        settled(folder)
        return [("metric", key, step, float(value)) for key, step, value in _of_rank_0(written(folder).points())]


def _of_rank_0(points: Iterable[tuple[str, int | None, float]]) -> list[tuple[str, int | None, float]]:
    return [(key.removeprefix("rank_1/"), step, value) for key, step, value in points]


def test_a_large_run_is_there_value_by_value(tmp_path: Path) -> None:
    """1e5 points of 200 keys, steps out of order, NaN, unicode names and 300 parameters: all there, none twice."""
    keys = [f"train/metric.{number}" for number in range(200)]
    rng = random.Random(3)
    steps = list(range(500))
    rng.shuffle(steps)
    config = {"lr": 0.1, "inf": "x", **{f"gruppe_{at}": {"größe": at, "deep": {"π": at / 7}} for at in range(150)}}
    expected: Counter[tuple[str, int | None, float]] = Counter()
    with quark.start_run(
        project="groß", name="läuft", config=config, storage_dir=tmp_path / "quark", trackers=[offline(tmp_path)]
    ) as run:
        for step in steps:
            values = {key: rng.gauss(0, 1e3) for key in keys}
            run.log(values, step=step)
            expected.update((key, step, value) for key, value in values.items())
        run.log({"train/bad": float("nan")}, step=7)
        run.log({"train/bad": float("-inf")}, step=3)
        run.log({"train/loss": 1.0}, step=7)
        run.log({"train/loss": 2.0}, step=7)
    expected.update({("train/loss", 7, 1.0): 1, ("train/loss", 7, 2.0): 1, ("train/bad", 3, -math.inf): 1})
    found = written(tmp_path)
    points = Counter(found.points())
    assert [point[:2] for point in points if math.isnan(point[2])] == [("train/bad", 7)]
    assert Counter({point: count for point, count in points.items() if not math.isnan(point[2])}) == expected
    assert len(found.rows) <= 510
    assert {key: found.config[key] for key in config} == config
    assert (found.runs[0].display_name, found.runs[0].project, found.exits) == ("läuft", "groß", [0])
    assert all(abs(row["_timestamp"] - found.rows[0]["_timestamp"]) < 600 for row in found.rows)


@pytest.mark.parametrize(("reason", "code"), [("completed", 0), ("error", 1), ("interrupted", 255)])
def test_the_end_is_true(tmp_path: Path, reason: Any, code: int) -> None:
    """Finished, failed and killed are told by exit code, and in words in the summary."""
    with quark.start_run(project="p", storage_dir=tmp_path / "quark", trackers=[offline(tmp_path)]) as run:
        run.log({"loss": 1.0}, step=0)
        run.finish(reason)
    found = written(tmp_path)
    assert (found.exits, found.summary["quark/reason"], found.summary["loss"]) == ([code], reason, 1)


def test_a_joined_run_stays_the_users(tmp_path: Path) -> None:
    """A run that the user opened gets the records, and keeps its name, its config, its axes, and is still open."""
    with wandb.init(project="theirs", name="mine", config={"lr": 3}, mode="offline", dir=tmp_path) as theirs:
        with quark.start_run(
            project="p", name="other", config={"lr": 4}, tags=("t",), storage_dir=tmp_path / "q", trackers=["wandb"]
        ) as run:
            run.log({"loss": 1.0}, step=5)
        theirs.log({"after": 2.0})
    settled(tmp_path)
    found = written(tmp_path)
    assert ("loss", 5, 1.0) in found.points() and ("after", None, 2) in found.points()
    assert {record.display_name for record in found.runs} == {"mine"} and found.exits == [0]
    assert (found.config["lr"], found.config["quark"]["params"], list(found.runs[-1].tags)) == (3, {"lr": 4}, ["t"])
    assert [m.name for m in found.metrics if m.step_metric] == ["loss"] and not any(
        m.glob_name == "*" for m in found.metrics
    )


def test_a_joined_run_that_its_user_finishes_first(tmp_path: Path) -> None:
    """What comes later goes on in the same W&B run, and nothing is there twice."""
    with wandb.init(project="theirs", name="mine", mode="offline", dir=tmp_path) as theirs:
        run = quark.start_run(
            project="p", name="other", storage_dir=tmp_path / "q", trackers=[WandbSink(mode="offline", dir=tmp_path)]
        )
        for step in range(500):
            run.log({"loss": float(step)}, step=step)
        wait_until(lambda: run.health()["sinks"]["wandb"]["pending"] == 0)
    for step in range(500, 600):
        run.log({"loss": float(step)}, step=step)
    run.finish("completed")
    found = written(tmp_path)
    assert sorted(found.points()) == [("loss", step, float(step)) for step in range(600)]
    assert {record.run_id for record in found.runs} == {theirs.id} and len(files(tmp_path)) == 2
    assert {record.display_name for record in found.runs} <= {"mine", ""}


def test_a_resumed_run_goes_on_in_its_twin(tmp_path: Path) -> None:
    """The second attempt has the same id in W&B and sends nothing twice; the last end counts."""
    with quark.start_run(project="p", run_id="r", storage_dir=tmp_path / "q", trackers=[offline(tmp_path)]) as run:
        run.log({"loss": 1.0}, step=0)
        run.finish("interrupted")
    with quark.resume_run(run_id="r", storage_dir=tmp_path / "q", trackers=[offline(tmp_path)]) as run:
        run.log({"loss": 2.0}, step=1)
    found = written(tmp_path)
    assert {record.run_id for record in found.runs} == {"r"} and len(files(tmp_path)) == 2
    assert (found.points(), found.exits) == ([("loss", 0, 1), ("loss", 1, 2)], [255, 0])


def test_rows_go_the_slow_way_where_wandb_has_no_other(tmp_path: Path) -> None:
    """A release of W&B whose inner door is another: ``run.log`` writes the same rows. Only the door is hidden."""

    class Doorless:
        def __init__(self, run: Any) -> None:
            self.log = run.log

    rows = [{"loss": value, "quark/step": step} for step, value in enumerate((1.5, math.nan, -math.inf, 0.1))]
    found = []
    for name in ("door", "doorless"):
        run = wandb.init(mode="offline", dir=tmp_path / name, settings=client.quiet_settings(20, owned=True))
        client.send(run if name == "door" else Doorless(run), rows)
        run.finish()
        wait_until(lambda: translog.ended(files(tmp_path / name)[0]))  # noqa: B023  it is called here
        kept = written(tmp_path / name).rows
        found.append([{key: str(row[key]) for key in ("loss", "quark/step", "_step")} for row in kept])
    assert found[0] == found[1] and len(found[0]) == 4


def test_what_was_lost_with_wandb_core_comes_again(tmp_path: Path) -> None:
    """The core dies with what it had not written: the next one gets exactly that, in a file of its own."""
    import psutil

    with quark.start_run(project="p", storage_dir=tmp_path / "quark", trackers=[offline(tmp_path)]) as run:
        for step in range(3000):
            run.log({"loss": float(step)}, step=step)
        wait_until(lambda: run.health()["sinks"]["wandb"]["pending"] == 0)
        (core,) = (child for child in psutil.Process().children() if child.name().startswith("wandb-core"))
        core.kill()
        for step in range(3000, 4000):
            run.log({"loss": float(step)}, step=step)
    assert sorted(written(tmp_path).points()) == [("loss", step, float(step)) for step in range(4000)]
    assert len(files(tmp_path)) == 2 and written(tmp_path).exits == [0]


def test_an_export_twice_changes_nothing(tmp_path: Path) -> None:
    """``quark export --to wandb`` brings a stored run as it would have come live; again, it does nothing."""
    with quark.start_run(project="p", name="n", run_id="r", config={"a": 1}, storage_dir=tmp_path / "q") as run:
        for step in range(50):
            run.log({"loss": float(step)}, step=step)
    order = [
        "export", "r", "--storage-dir", str(tmp_path / "q"), "--to", "wandb", "--set", "mode=offline", "--set",
        f"dir={tmp_path}",
    ]  # fmt: skip
    for _ in range(2):
        result = CliRunner().invoke(app, order)
        assert result.exit_code == 0, result.output
    found = written(tmp_path)
    assert found.points() == [("loss", step, float(step)) for step in range(50)]
    assert (len(files(tmp_path)), found.exits, found.config["a"], found.runs[0].display_name) == (1, [0], 1, "n")


def test_an_export_since_a_step(tmp_path: Path) -> None:
    """Only what is at the step or later is sent."""
    with quark.start_run(project="p", run_id="r", storage_dir=tmp_path / "q") as run:
        for step in range(50):
            run.log({"loss": float(step)}, step=step)
    order = ["export", "r", "--storage-dir", str(tmp_path / "q"), "--to", "wandb", "--since", "40"]
    result = CliRunner().invoke(app, [*order, "--set", "mode=offline", "--set", f"dir={tmp_path}"])
    assert result.exit_code == 0, result.output
    assert [step for _, step, _ in written(tmp_path).points()] == list(range(40, 50))


def test_nobody_is_logged_in(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a login the run is written offline, and one warning says how it comes online."""
    with (
        caplog.at_level(logging.WARNING, "quark"),
        quark.start_run(project="p", storage_dir=tmp_path / "q", trackers=[WandbSink(dir=tmp_path)]) as run,
    ):
        run.log({"loss": 1.0}, step=0)
    (message,) = [record.getMessage() for record in caplog.records if "W&B" in record.getMessage()]
    assert "wandb login" in message and "wandb sync" in message and str(tmp_path / "wandb") in message
    assert files(tmp_path)[0].parent.name.startswith("offline-run-")


def test_wandb_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning with the pip line, and the records wait; in strict mode an error where the sink is made."""
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(quark.MissingDependencyError, match=r"pip install .*quark-tracker\[wandb\]"):
        WandbSink(strict_mode=True)
    with caplog.at_level(logging.WARNING, "quark"):
        with quark.start_run(
            project="p", storage_dir=tmp_path / "q", trackers=[offline(tmp_path)], close_timeout_s=1
        ) as run:
            run.log({"loss": 1.0}, step=0)
        assert run.health()["sinks"]["wandb"]["pending"] > 0
    assert sum("quark-tracker[wandb]" in record.getMessage() for record in caplog.records) == 1


def test_options_that_cannot_be_used() -> None:
    """A bad option is named where the sink is made, before anything is recorded."""
    for options in ({"mode": "on-line"}, {"table_rows": 1}, {"finish_timeout_s": 0.0}):
        with pytest.raises(quark.ConfigurationError, match=next(iter(options))):
            WandbSink(**options)


def test_a_log_that_is_torn_ends_there(tmp_path: Path) -> None:
    """At every length of the file the reader gives the records that are whole, and never another one."""
    sink = offline(tmp_path)
    sink.on_start(make_manifest(ORIGIN, run_path=str(tmp_path)))
    sink.write(make_batch(ORIGIN, metric_lines(400)))
    sink.on_stop(None, "completed")
    sink.close()
    (path,) = files(tmp_path)
    data, whole = path.read_bytes(), list(translog.payloads(path))
    assert len(data) > 2 * translog.BLOCK
    torn = tmp_path / "torn.wandb"
    for length in random.Random(1).sample(range(7, len(data)), 60):
        torn.write_bytes(data[:length])
        found = list(translog.payloads(torn))
        assert found == whole[: len(found)]
    damaged = bytearray(data)
    damaged[translog.BLOCK + 500] ^= 1
    torn.write_bytes(damaged)
    assert list(translog.payloads(torn)) == whole[: len(list(translog.payloads(torn)))]
    assert 0 < len(list(translog.payloads(torn))) < len(whole)
    torn.write_bytes(b"not a log at all")
    with pytest.raises(ValueError, match=r"torn\.wandb"):
        list(translog.payloads(torn))


def test_alerts_and_events_come_once(tmp_path: Path) -> None:
    """An alert is a W&B alert and a row, also if its batch comes again; a discard clears the rows."""
    lines = [alert_line("spike", "critical", step=3), event_line("saved", payload={"a": [1]}), *metric_lines(2)]
    sink = offline(tmp_path)
    sink.on_start(make_manifest(ORIGIN, run_path=str(tmp_path)))
    sink.write(make_batch(ORIGIN, lines))
    sink.link.positions["w"] = 0
    sink.write(make_batch(ORIGIN, lines))
    sink.write(make_batch(ORIGIN, [run_line("discard", {"kind": "alert"}), alert_line("calm", step=9)], 4))
    sink.on_stop(None, "completed")
    sink.close()
    found = written(tmp_path)
    assert [(alert.title, alert.level) for alert in found.alerts] == [("spike fired", "ERROR"), ("calm fired", "WARN")]
    alerts = found.tables["quark/tables/alerts"]
    assert [row[alerts["columns"].index("rule_id")] for row in alerts["data"]] == ["calm"]
    events = found.tables["quark/tables/events"]
    assert json.loads(events["data"][0][events["columns"].index("payload")]) == {"a": [1]}
