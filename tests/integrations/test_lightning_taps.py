"""Where QuarkCallback listens to a Trainer: it hears the right things, and Lightning notices nothing."""

from pathlib import Path

import pytest

pytest.importorskip("lightning.pytorch")
import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins import MixedPrecision

from quark_integrations.callbacks.lightning import QuarkCallback, taps

from .lightning_models import Tiny, csv_points, fit, only

pytestmark = [
    pytest.mark.torch, pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]  # fmt: skip


def test_gradient_norms_of_mixed_precision_are_unscaled(tmp_path):
    """The norm is that of the gradients without the factor that keeps half precision from underflow."""

    class Scaled(Tiny):
        def on_after_backward(self):
            self.scaled = self.net.weight.grad.norm().item()

    module = Scaled()
    precision = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))
    fit(tmp_path, callbacks=[QuarkCallback(storage_dir=tmp_path, grad_norms=True)], module=module, val=None,
        plugins=[precision])  # fmt: skip
    norms = only(tmp_path).all["optimizer/grad_norm"].values.tolist()
    assert norms == pytest.approx(module.norms)
    assert module.scaled > 100 * norms[-1]


def test_batches_of_a_validation_are_not_counted(tmp_path):
    """Throughput times duration is the number of samples of the training, whatever is validated in between."""
    fit(tmp_path, callbacks=[QuarkCallback(storage_dir=tmp_path)], val_check_interval=2)
    run = only(tmp_path)
    rates, times = run.all["system/throughput/samples_per_s"], run.all["system/runtime/step_time_ms"].values / 1e3
    counted, first = 0.0, 1  # the first step warms up and has no rate
    for step, rate in zip(rates.steps, rates.values, strict=True):
        counted += rate * times[first : step + 1].sum()
        first = step + 1
    assert counted == pytest.approx(11 * 2, rel=0.01)


def test_a_module_may_say_at_which_step_its_values_stand(tmp_path):
    """A metric named step is the step of the values beside it, as for every logger."""

    class Counts(Tiny):
        def training_step(self, batch, index):
            self.log("step", float(self.global_step * 10))
            return super().training_step(batch, index)

    written = CSVLogger(tmp_path / "csv")
    fit(tmp_path, callbacks=[QuarkCallback(storage_dir=tmp_path)], logger=written, module=Counts(), val=None)
    run = only(tmp_path)
    assert run.points == csv_points(Path(written.log_dir) / "metrics.csv")
    assert [step for step, _ in run.points["loss"]] == [10 * step for step in range(12)]
    assert run.all["optimizer/lr"].steps.tolist() == list(range(12))


def test_what_lightning_shows_is_what_it_showed(tmp_path):
    """logged_metrics and callback_metrics, during the training and after it, are those of a Trainer without us."""

    class Looks(Tiny):
        def on_train_batch_end(self, *arguments):
            super().on_train_batch_end(*arguments)
            seen.append((dict(self.trainer.logged_metrics), dict(self.trainer.callback_metrics)))

    found = []
    for callbacks in ([], [QuarkCallback(storage_dir=tmp_path)]):
        seen: list = []
        pl.seed_everything(1, verbose=False)
        made, _ = fit(tmp_path, callbacks=callbacks, module=Looks(), log_every_n_steps=5)
        assert type(made.logged_metrics) is dict
        found.append([*seen, (made.logged_metrics, made.callback_metrics)])
    assert found[0] == found[1]


def test_a_training_step_that_is_skipped_leaves_no_trace(tmp_path):
    """on_train_batch_start may end the epoch: what was begun is no step, and the next epoch's steps are right."""

    class Skips(Tiny):
        def on_train_batch_start(self, batch, index):
            return -1 if index == 3 else None

    fit(tmp_path, callbacks=[QuarkCallback(storage_dir=tmp_path)], module=Skips(), val=None)
    assert only(tmp_path).all["system/runtime/step_time_ms"].steps.tolist() == list(range(6))


def test_a_lightning_that_is_built_otherwise(tmp_path, monkeypatch):
    """Without the places to listen at, the values come by way of a logger, the times by way of hooks; nothing fails."""
    monkeypatch.setattr(taps, "CONNECTOR_METHODS", ("log_metrics", "renamed"))
    made, module = fit(tmp_path, callbacks=[QuarkCallback(storage_dir=tmp_path)], log_every_n_steps=3)
    assert made.global_step == 12
    assert made.loggers == []
    run = only(tmp_path)
    assert (run.status, run.reason) == ("completed", "completed")
    assert run.all["train_loss_step"].steps.tolist() == [2, 5, 8, 11]
    assert run.all["train_loss_epoch"].steps.tolist() == [5, 11]
    assert run.all["optimizer/lr"].values.tolist() == pytest.approx(module.used_rates)
    assert run.all["system/runtime/step_time_ms"].steps.tolist() == list(range(12))
