"""The names that callbacks give to what frameworks log: any name, below its stage; nothing is renamed into another."""

import pytest

import quark
from quark import metric_key
from quark_integrations.callbacks.names import MetricNames
from quark_integrations.callbacks.transformers.names import LogNames
from tests.everyday import NAMES


def test_names_stay_as_the_module_gives_them():
    """In any script, whoever came first; only the stage is put before what does not say it."""
    names = MetricNames()
    assert [names.key(name, "") for name in NAMES] == list(NAMES)
    assert names.key("损失", "val") == "val/损失"
    assert names.key("Val Acc (top-1)", "val") == "Val Acc (top-1)"
    row = {}
    names.add_training(row, {"acc@1": 1.0, "acc_1": 2.0})
    assert row == {"acc@1": 1.0, "acc_1": 2.0}


def test_a_run_in_strict_mode_gets_keys():
    """A framework's names do not end a training that asked for strict mode."""
    names = MetricNames()
    names.strict = True
    assert names.key("acc@1", "val") == metric_key("val/acc@1")


@pytest.mark.parametrize("strict", [False, True])
def test_a_trainers_log_is_read_under_its_names(tmp_path, strict):
    """As Transformers places them, in a run of either mode."""
    with quark.start_run(project="p", storage_dir=tmp_path, strict_mode=strict) as run:
        names = LogNames()
        names.of_run(run)
        for step in range(2):
            run.log_values(names.keyed({"loss": 1.0, "Train Acc (top-1)": 0.5}), step=step)
            run.log_values(names.keyed({"eval_loss": 2.0, "eval_损失": 3.0, "eval_runtime": 1.0}), step=step)
    with quark.open(tmp_path) as store:
        view = store.run(run.run_id)
        for name, value in (("train/Train Acc (top-1)", 0.5), ("eval/损失", 3.0), ("eval/loss", 2.0)):
            assert view.series(name).values.tolist() == [value] * 2
