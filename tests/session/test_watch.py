"""run.watch: one line, and a loop records what goes on inside the model, at the cadence and not in between."""

import pytest

import quark

torch = pytest.importorskip("torch", reason="missing torch")
pytestmark = pytest.mark.torch


def train(run, model, optimizer, steps):
    for _ in run.steps(range(steps), progress=False):
        optimizer.zero_grad()
        loss = model(torch.randn(8, 4)).square().mean()
        loss.backward()
        optimizer.step()
        run.log({"loss": loss})


def test_layers_and_parameters_are_recorded_at_the_cadence(tmp_path):
    """Every fifth step has activations and gradients of each layer and norms of each parameter; other steps nothing."""
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with quark.start_run(project="watch", storage_dir=tmp_path) as run:
        engine = run.watch(model, optimizer, every=5)
        train(run, model, optimizer, 11)
        assert engine.instrumented_module_names == ("0", "1", "2")
    assert not any(module._forward_hooks for module in model.modules())
    with quark.open(tmp_path) as store:
        view = store.run(run.run_id)
        layers = view.layers()
        assert {record.step for record in layers} == {0, 5, 10}
        assert {(r.module_name, r.summary_type) for r in layers if r.step == 5} >= {
            ("0", "activation"), ("2", "gradient"), ("2", "activation"),
        }  # fmt: skip
        parameters = view.parameters()
        assert {record.step for record in parameters} == {0, 5, 10}
        assert {r.parameter_name for r in parameters} == {"0.weight", "0.bias", "2.weight", "2.bias"}


def test_a_loop_of_explicit_steps_is_watched_too(tmp_path):
    """run.step ends a step and arms the next one."""
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with quark.start_run(project="watch", storage_dir=tmp_path) as run:
        run.watch(model, optimizer, every=2)
        for step in range(4):
            model(torch.randn(2, 4)).mean().backward()
            optimizer.step()
            run.step(step, {"x": 1.0})
    with quark.open(tmp_path) as store:
        assert {record.step for record in store.run(run.run_id).layers()} == {0, 2}


def test_an_exception_in_the_loop_leaves_no_hook_behind(tmp_path):
    """A step that raises takes its hooks off the model."""
    model = torch.nn.Linear(4, 1)
    with pytest.raises(ValueError, match="boom"), quark.start_run(project="watch", storage_dir=tmp_path) as run:
        run.watch(model, every=1)
        for _ in run.steps(range(3), progress=False):
            model(torch.randn(2, 4))
            raise ValueError("boom")
    assert not model._forward_hooks


def test_nothing_is_watched_when_recording_is_off(monkeypatch):
    """With QUARK_DISABLE=1 watch does nothing at all."""
    monkeypatch.setenv("QUARK_DISABLE", "1")
    model = torch.nn.Linear(4, 1)
    with quark.start_run(project="off") as run:
        assert run.watch(model) is None
    assert not model._forward_hooks
