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


def net():
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))


def train_once(model, optimizer):
    optimizer.zero_grad()
    model(torch.randn(8, 4)).square().mean().backward()
    optimizer.step()


def validate(model):
    model.eval()
    with torch.no_grad():
        for _ in range(7):
            model(torch.randn(8, 4))
    model.train()


def hooked(model):
    return any(module._forward_hooks for module in model.modules())


def recorded(tmp_path, run):
    """Steps of layers and of parameters, how many records a step has, the events of watchers."""
    with quark.open(tmp_path) as store:
        view = store.run(run.run_id)
        layers, parameters = view.layers(), view.parameters()
        usual = ("run_started", "run_ended", "parameters_watched")
        told = [event.event_type for event in view.events() if event.event_type not in usual]
    counts = {step: len([r for r in layers if r.step == step]) for step in sorted({r.step for r in layers})}
    return counts, sorted({r.step for r in parameters}), told


def in_steps(run, model, optimizer):
    for _ in run.steps(range(20), progress=False):
        train_once(model, optimizer)
        run.log({"x": 1.0})


def in_explicit_steps(run, model, optimizer):
    for step in range(20):
        train_once(model, optimizer)
        run.step(step, {"x": 1.0})
        validate(model)


def with_numbered_logs(run, model, optimizer):
    for step in range(20):
        train_once(model, optimizer)
        run.log({"x": 1.0}, step=step)
        run.log({"y": 1.0}, step=step)
        validate(model)


def with_logs_that_count(run, model, optimizer):
    for _ in range(20):
        train_once(model, optimizer)
        run.log({"x": 1.0})


def with_logs_before_the_step(run, model, optimizer):
    for step in range(20):
        run.log({"lr": 0.1}, step=step)
        train_once(model, optimizer)
        run.log({"x": 1.0}, step=step)


def with_both(run, model, optimizer):
    for step in range(20):
        run.log({"lr": 0.1}, step=step)
        train_once(model, optimizer)
        run.step(step, {"x": 1.0})


@pytest.mark.parametrize(
    "loop",
    [
        in_steps,
        in_explicit_steps,
        with_numbered_logs,
        with_logs_that_count,
        with_logs_before_the_step,
        with_both,
    ],
)
def test_the_cadence_holds_in_every_loop(tmp_path, loop):
    """However a loop tells its steps, every fifth one has one call of each layer, and validations count nowhere."""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with quark.start_run(project="watch", storage_dir=tmp_path) as run:
        run.watch(model, optimizer, every=5)
        validate(model)
        loop(run, model, optimizer)
    assert not hooked(model)
    assert recorded(tmp_path, run) == ({0: 6, 5: 6, 10: 6, 15: 6}, [0, 5, 10, 15], [])


def test_a_loop_that_tells_no_step_is_warned_of_once(tmp_path, caplog):
    """Nothing is recorded of a training without steps, what is seen is bounded, and the end of the run says so."""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with quark.start_run(project="watch", storage_dir=tmp_path) as run:
        run.watch(model, optimizer, every=5)
        for _ in range(300):
            train_once(model, optimizer)
    assert recorded(tmp_path, run) == ({}, [], ["watch_without_steps"])
    assert "loop with run.steps" in caplog.text


def numbered_by_steps(run, model, optimizer):
    for step in range(10, 40):
        train_once(model, optimizer)
        run.step(step, {"x": 1.0})


def numbered_by_logs(run, model, optimizer):
    for step in range(10, 40):
        train_once(model, optimizer)
        run.log({"x": 1.0}, step=step)


@pytest.mark.parametrize("goes_on", [numbered_by_steps, numbered_by_logs, with_logs_that_count])
def test_a_loop_of_ones_own_behind_run_steps_is_warned_of_once(tmp_path, caplog, goes_on):
    """The steps of ``run.steps`` are recorded; that nothing of what follows is, is said once."""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with quark.start_run(project="watch", storage_dir=tmp_path) as run:
        run.watch(model, optimizer, every=5)
        for _ in run.steps(range(10)):
            train_once(model, optimizer)
        goes_on(run, model, optimizer)
    assert recorded(tmp_path, run) == ({0: 6, 5: 6}, [0, 5], ["watch_without_steps"])
    assert caplog.text.count("goes on behind them from step 10 on") == 1


def test_values_of_a_test_behind_run_steps_are_no_loop(tmp_path):
    """A few values between and after the loops are not warned about."""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with quark.start_run(project="watch", storage_dir=tmp_path) as run:
        run.watch(model, optimizer, every=5)
        for _ in range(3):
            for _ in run.steps(range(5)):
                train_once(model, optimizer)
            validate(model)
            run.log({"val/loss": 1.0})
        for name in ("a", "b", "c"):
            run.log({f"test/{name}": 1.0})
    assert recorded(tmp_path, run)[2] == []


def test_steps_that_are_logged_with_gaps_are_warned_of_once(tmp_path, caplog):
    """Where only some steps are logged nobody can tell which was seen: nothing wrong is recorded, and it is told."""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with quark.start_run(project="watch", storage_dir=tmp_path) as run:
        run.watch(model, optimizer, every=5)
        for step in range(60):
            train_once(model, optimizer)
            if step % 10 == 0:
                run.log({"x": 1.0}, step=step)
    assert recorded(tmp_path, run) == ({0: 6}, [0], ["watch_without_steps"])
    assert caplog.text.count("logged with gaps") == 1


def test_what_comes_after_a_loop_is_not_of_its_last_step(tmp_path):
    """A loop that is left in a probed step, by break or exception, takes its hooks off there."""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with quark.start_run(project="watch", storage_dir=tmp_path) as run:
        run.watch(model, optimizer, every=1)
        for _ in run.steps(range(9), progress=False):
            train_once(model, optimizer)
            break
        assert not hooked(model)
        validate(model)
        with pytest.raises(ValueError, match="boom"):
            for _ in run.steps(range(9), progress=False):
                train_once(model, optimizer)
                raise ValueError("boom")
        assert not hooked(model)
        validate(model)
    assert recorded(tmp_path, run) == ({0: 6, 1: 6}, [0, 1], [])


def test_a_model_that_trains_in_evaluation_mode_is_seen(tmp_path):
    """Without run.steps an evaluation is told from a training by the mode that the model trains in, whichever it is."""
    model = net().eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with quark.start_run(project="watch", storage_dir=tmp_path) as run:
        run.watch(model, optimizer, every=5)
        for step in range(6):
            train_once(model, optimizer)
            run.log({"x": 1.0}, step=step)
    assert recorded(tmp_path, run) == ({0: 6, 5: 6}, [0, 5], [])


def test_a_model_that_is_watched_again_is_watched_once(tmp_path):
    """A notebook cell that runs again replaces its watcher: no record is doubled, and the last arguments hold."""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with quark.start_run(project="watch", storage_dir=tmp_path) as run:
        run.watch(model, optimizer, every=1)
        run.watch(model, optimizer, every=2)
        in_steps(run, model, optimizer)
    counts, parameters, told = recorded(tmp_path, run)
    assert counts == dict.fromkeys(range(0, 20, 2), 6)
    assert (parameters, told) == (list(range(0, 20, 2)), [])


def test_two_networks_are_told_apart(tmp_path):
    """The records of a GAN's networks have the names of their watchers, by which they are read, live and later."""
    one, other = net(), net()
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in (one, other)]
    with quark.start_run(project="watch", storage_dir=tmp_path) as run:
        first = run.watch(one, optimizers, every=5, name="generator")
        second = run.watch(other, [optimizers[1]], every=5)
        for _ in run.steps(range(6), progress=False):
            train_once(one, optimizers[0])
            train_once(other, optimizers[1])
        assert (first.name, second.name) == ("generator", "Sequential")
        assert {record.watcher for record in first.read(module_name="0")} == {"generator"}
        assert len(first.read()) == len(second.read()) == 12
    with quark.open(tmp_path) as store:
        view = store.run(run.run_id)
        assert len(view.layers(watcher="generator")) == 12
        assert len(view.parameters(watcher="Sequential")) == 8
        keys = [(r.watcher, r.parameter_name, r.step, r.call_index) for r in view.parameters()]
    assert len(keys) == len(set(keys)) == 16


def test_nothing_is_watched_when_recording_is_off(monkeypatch):
    """With QUARK_DISABLE=1 watch gives an engine that looks at nothing."""
    monkeypatch.setenv("QUARK_DISABLE", "1")
    model = torch.nn.Linear(4, 1)
    with quark.start_run(project="off") as run:
        engine = run.watch(model, every=1)
        for _ in run.steps(range(2)):
            model(torch.randn(2, 4))
            assert not model._forward_hooks
        assert engine.flush() == engine.read() == ()
