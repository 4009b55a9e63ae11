"""Analyses and comparisons read metrics of any name, and speak of them by the names that people gave."""

import quark
from quark import AnalyzerEngine, ComparisonEngine, ComparisonEngineConfig, LiveAnalyzer, MetricTargetSpec, metric_key
from quark.analysis.roles import LEARNING_RATE, LOSS, VALIDATION_ACCURACY, role_of


def diverged(folder, *trackers):
    """A loss under an everyday name that ends in NaN."""
    with quark.start_run(project="p", storage_dir=folder, trackers=list(trackers)) as run:
        for step in range(300):
            loss = 2.0 / (step + 1) if step < 290 else float("nan")
            run.log({"Train Loss": loss, "Learning Rate": 0.1, "größe": 1.0}, step=step)
    return run.run_id


def texts(alerts):
    return [" ".join((one.title, one.fact, one.summary, *(proof.source for proof in one.evidence))) for one in alerts]


def test_roles_are_found_by_name_and_by_key():
    """The digest of a key has no words in it."""
    roles = {"Train Loss": LOSS, "Val Acc (top-1)": VALIDATION_ACCURACY, "Learning Rate": LEARNING_RATE}
    for name, role in roles.items():
        assert role_of(name)[0] == role_of(metric_key(name))[0] == role


def test_alerts_speak_of_names(tmp_path):
    """Those of a stored run and of one that goes on alike."""
    live = LiveAnalyzer()
    run_id = diverged(tmp_path, live)
    with quark.open(tmp_path) as store:
        stored = AnalyzerEngine(store.run(run_id)).analyze().alerts
    for alerts in (stored, live.alerts):
        said = texts(alerts)
        assert any("Train Loss" in text for text in said)
        assert not any(metric_key("Train Loss") in text for text in said)
    assert {alert.rule_id for alert in stored} == {alert.rule_id for alert in live.alerts}


def test_comparisons_take_and_give_names(tmp_path):
    """A target may be set by name or by key."""
    ids = []
    for scale in (1.0, 2.0):
        with quark.start_run(project="p", storage_dir=tmp_path) as run:
            for step in range(50):
                run.log({"Val Loss": scale / (step + 1)}, step=step)
        ids.append(run.run_id)
    with quark.open(tmp_path) as store:
        for named in ("Val Loss", metric_key("Val Loss")):
            config = ComparisonEngineConfig(metric_targets=(MetricTargetSpec(named, 0.1, "at_most"),))
            result = ComparisonEngine.compare_runs(store.run(ids[0]), store.run(ids[1]), config=config)
            (diff,) = result.metric_diffs
            assert (diff.metric_key, diff.primary.count) == ("Val Loss", 50)
            assert (diff.time_to_target_step.primary, diff.time_to_target_step.reference) == (9, 19)


def test_runs_of_many_writers_are_analyzed(tmp_path):
    """Two attempts under one name."""
    first = quark.start_run(project="p", storage_dir=tmp_path)
    for step in range(100):
        first.log({"Train Loss": 1.0 / (step + 1)}, step=step)
    first.end_run("failed")
    with quark.resume_run(run_id=first.run_id, storage_dir=tmp_path) as second:
        for step in range(100, 200):
            second.log({"Train Loss": 1.0 / (step + 1)}, step=step)
    with quark.open(tmp_path) as store:
        assert AnalyzerEngine(store.run(first.run_id)).analyze().health_scores
