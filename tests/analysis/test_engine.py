"""AnalyzerEngine on real sessions and stored runs: what is kept, replaced, read back and scored."""

from pathlib import Path

import pytest
import torch
from torch import nn

import quark
from quark import AnalyzerEngine, AnalyzerEngineConfig
from quark.errors import WrongTypeError
from quark.testing import MemoryRunHandle

from .runs import falling, losses, made


def spiked(session: quark.TrainingSession) -> quark.TrainingSession:
    """The session, with a loss that jumps at step 300."""
    values = falling()
    values[300] = 9.0
    for step, value in enumerate(values):
        session.log({"train/loss": value}, step=step)
    return session


def test_the_outcome_is_kept_and_replaced(tmp_path: Path) -> None:
    """A second analysis takes the place of the first, unless it is to be appended."""
    with quark.start_run(project="engine", storage_dir=tmp_path) as session:
        analyzer = AnalyzerEngine(spiked(session))
        result = analyzer.analyze()
        assert [alert.rule_id for alert in result.alerts] == ["loss_spike"]
        assert analyzer.read_alerts() == result.alerts
        assert analyzer.read_health_scores() == result.health_scores
        again = analyzer.analyze()
        assert analyzer.read_alerts() == again.alerts
        analyzer.analyze(replace_existing=False)
        assert len(analyzer.read_alerts()) == 2
        appending = AnalyzerEngine(session.context, config=AnalyzerEngineConfig(replace_existing_outputs=False))
        appending.analyze()
        assert len(analyzer.read_alerts()) == 3


def test_alerts_and_scores_are_read_by_their_fields(tmp_path: Path) -> None:
    """Each filter of the documented signatures restricts."""
    with quark.start_run(project="engine", storage_dir=tmp_path) as session:
        analyzer = AnalyzerEngine(spiked(session))
        (alert,) = analyzer.analyze().alerts
        for given in ({"rule_id": "loss_spike"}, {"category": "optimization"}, {"severity": "warning"}, {"step": 300},
                      {"step_min": 300, "step_max": 300}, {"limit": 1}):  # fmt: skip
            assert analyzer.read_alerts(**given) == (alert,)
        for given in ({"rule_id": "plateau"}, {"category": "runtime"}, {"severity": "error"}, {"step": 299},
                      {"step_min": 301}, {"limit": 0}):  # fmt: skip
            assert analyzer.read_alerts(**given) == ()
        assert [score.score_key for score in analyzer.read_health_scores(score_key="overall")] == ["overall"]
        assert [score.score_key for score in analyzer.read_health_scores(category="optimization")] == ["optimization"]


def test_a_run_that_has_ended_is_judged_and_left_as_it_is(tmp_path: Path) -> None:
    """By its session, or by its view; nothing is added to it."""
    with quark.start_run(project="engine", storage_dir=tmp_path) as session:
        spiked(session)
    ended = AnalyzerEngine(session).analyze()
    with quark.open(tmp_path) as store:
        view = store.run(session.run_id)
        assert [alert.title for alert in AnalyzerEngine(view).analyze().alerts] == [a.title for a in ended.alerts]
        assert len(ended.alerts) == 1
        assert view.alerts() == ()
        assert AnalyzerEngine(view).read_alerts() == ()


def test_wrong_arguments_are_named() -> None:
    """Neither a session nor a view; no config."""
    with pytest.raises(WrongTypeError, match="TrainingSession"):
        AnalyzerEngine("run-1")
    with pytest.raises(WrongTypeError, match="AnalyzerEngineConfig"):
        AnalyzerEngine(MemoryRunHandle(), config={"mode": "absolute"})  # type: ignore[arg-type]


@pytest.mark.torch
def test_watching_a_model_tells_what_will_not_be_trained() -> None:
    """What no parameter group holds is an alert at once; what is frozen is known as such; else nothing is recorded."""

    def watched(held: list[int], frozen: int | None = None) -> MemoryRunHandle:
        run = MemoryRunHandle()
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        if frozen is not None:
            model[frozen].requires_grad_(False)
        parameters = [parameter for at in held for parameter in model[at].parameters()]
        quark.ParameterDiagnostics(run, model, torch.optim.SGD(parameters, lr=0.1))
        run.close()
        return run

    (alert,) = AnalyzerEngine(watched([1])).analyze().alerts
    assert (alert.rule_id, alert.severity, alert.subject) == ("parameters_not_optimized", "error", "0.weight")
    assert "2 trainable parameters" in alert.fact
    assert AnalyzerEngine(watched([1], frozen=0)).analyze().alerts == ()
    assert len(watched([1], frozen=0).records(quark.EventRecord)) == 1
    assert watched([0, 1]).records(quark.EventRecord) == []


def test_a_loss_of_another_name_is_the_loss() -> None:
    """The names of frameworks are known; nothing has to be configured."""
    run = made(lambda handle: losses(handle, [*falling(100), *[9.0] * 60], key="loss/train"))
    assert "lr_too_high" in {alert.rule_id for alert in AnalyzerEngine(run).analyze().alerts}
