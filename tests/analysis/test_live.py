"""LiveAnalyzer in real runs: what it says, when, to whom, and that nobody waits for it."""

import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import quark
from quark import AlertRecord, AnalyzerEngine, LiveAnalyzer
from quark.errors import ConfigurationError, WrongTypeError

from .runs import falling


def spiking(count: int = 300, at: int = 200) -> list[float]:
    """A falling loss with one spike."""
    values = falling(count)
    values[at] = 9.0
    return values


def waited(condition: Any, seconds: float = 60.0) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


def test_an_alert_comes_while_the_run_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is a record, a call on another thread, and a line in the log, before the run has ended."""
    said: list[tuple[AlertRecord, str]] = []
    live = LiveAnalyzer(on_alert=lambda alert: said.append((alert, threading.current_thread().name)))
    with caplog.at_level(logging.WARNING, "quark"), quark.start_run(project="live", storage_dir=tmp_path) as run:
        run.add_tracker(live)
        for step, value in enumerate(spiking()):
            run.log({"train/loss": value}, step=step)
        assert waited(lambda: said)
        assert run.status == "running"
        assert run.alerts == 1
    alert, thread = said[0]
    assert (alert.rule_id, alert.step_start) == ("loss_spike", 200)
    assert thread == "quark-sink-live-analyzer"
    assert "loss_spike" not in caplog.text
    assert "The loss jumped" in caplog.text
    with quark.open(tmp_path) as store:
        view = store.run(run.run_id)
        assert [stored.rule_id for stored in view.alerts()] == ["loss_spike"]
        assert {score.score_key for score in view.health_scores()} == {"overall", "optimization"}


def test_the_last_step_is_seen_before_the_run_ends(tmp_path: Path) -> None:
    """A fault of the very last step is an alert of the run all the same."""
    with quark.start_run(project="live", storage_dir=tmp_path) as run:
        run.add_tracker(LiveAnalyzer())
        for step, value in enumerate(spiking(300, at=299)):
            run.log({"train/loss": value}, step=step)
    with quark.open(tmp_path) as store:
        assert [alert.step_start for alert in store.run(run.run_id).alerts()] == [299]


def test_live_and_batch_say_the_same(tmp_path: Path) -> None:
    """One body: the alerts that came live are those that an analysis of the stored run finds."""
    with quark.start_run(project="live", storage_dir=tmp_path) as run:
        live = run.add_tracker(LiveAnalyzer())
        for step, value in enumerate([*spiking(), *[9.0] * 60, float("nan"), *falling(100)]):
            run.log({"train/loss": value, "other": 1.0}, step=step, epoch=step // 100)
            if step % 20 == 0:
                run.log({"val/loss": 1.0 + step / 100}, step=step)
        run.flush()
        assert waited(lambda: live.position(run.journal.origin.writer_id) > 480)
        time.sleep(0.3)
        batch = AnalyzerEngine(run).analyze(replace_existing=False)
    final = {(a.rule_id, a.step_start): a for a in live.alerts}
    assert len(final) >= 3
    assert [_words(a) for a in batch.alerts] == [_words(final[a.rule_id, a.step_start]) for a in batch.alerts]
    assert {(a.rule_id, a.step_start) for a in batch.alerts} == set(final)


def _words(alert: AlertRecord) -> dict[str, Any]:
    own = alert.to_dict()
    return {name: own[name] for name in own if name not in ("id", "sequence", "timestamp")}


def test_a_severe_alert_ends_the_loop_if_that_was_asked_for(tmp_path: Path) -> None:
    """The loop over steps ends, the run completes, and an event says which rule it was."""
    seen = 0
    with quark.start_run(project="live", storage_dir=tmp_path) as run:
        run.add_tracker(LiveAnalyzer(stop_on="warning"))
        for step in run.steps(range(3000)):
            seen += 1
            run.log({"train/loss": 9.0 if step == 100 else 2.0 * 0.998**step + 0.01 * (step % 7)})
            if step > 150:
                time.sleep(0.005)
    assert seen < 3000
    assert run.status == "completed"
    with quark.open(tmp_path) as store:
        view = store.run(run.run_id)
        assert view.reason == "stopped"
        assert [event.payload["rule_id"] for event in view.events("stop_requested")] == ["loss_spike"]


def test_nothing_stops_by_default(tmp_path: Path) -> None:
    """Alerts are advice."""
    with quark.start_run(project="live", storage_dir=tmp_path) as run:
        run.add_tracker(LiveAnalyzer())
        for step, value in enumerate(spiking()):
            run.log({"train/loss": value}, step=step)
    assert not run.stop_requested


def test_a_resumed_run_repeats_no_alert_and_remembers_its_past(tmp_path: Path) -> None:
    """The second attempt knows the usual loss of the first one, and what was said."""
    values = spiking(400)
    run = quark.start_run(project="live", storage_dir=tmp_path)
    run.add_tracker(LiveAnalyzer())
    for step, value in enumerate(values[:300]):
        run.log({"train/loss": value}, step=step)
    run.end_run("interrupted")
    again = quark.resume_run(run_id=run.run_id, storage_dir=tmp_path)
    live = again.add_tracker(LiveAnalyzer())
    for step in range(300, 310):
        again.log({"train/loss": values[step]}, step=step)
    again.log({"train/loss": 9.0}, step=310)
    again.end_run()
    assert [(alert.rule_id, alert.step_start) for alert in live.alerts] == [("loss_spike", 310)]
    with quark.open(tmp_path) as store:
        assert [alert.step_start for alert in store.run(run.run_id).alerts()] == [200, 310]


def test_a_callback_that_raises_harms_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The fault is reported, the alert is kept, and the next one comes."""

    def broken(alert: AlertRecord) -> None:
        raise RuntimeError("no chat today")

    with quark.start_run(project="live", storage_dir=tmp_path) as run:
        live = run.add_tracker(LiveAnalyzer(on_alert=broken))
        values = spiking()
        values[270] = 9.0
        for step, value in enumerate(values):
            run.log({"train/loss": value}, step=step)
    assert [alert.rule_id for alert in live.alerts].count("loss_spike") == 2
    assert "no chat today" in caplog.text


def test_bad_arguments_are_named() -> None:
    """At once, and not when the first alert comes."""
    with pytest.raises(ConfigurationError, match="stop_on"):
        LiveAnalyzer(stop_on="fatal")  # type: ignore[arg-type]
    with pytest.raises(WrongTypeError, match="on_alert"):
        LiveAnalyzer(on_alert="print")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="no rule 'loss_spikes'"):
        LiveAnalyzer(config=quark.AnalyzerEngineConfig(silenced_rules=("loss_spikes",)))
