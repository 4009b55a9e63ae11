"""`quark import lightning-csv`: what Lightning's own CSVLogger wrote."""

from collections.abc import Callable
from pathlib import Path

import pytest

from quark.reading import RunView

from .conftest import CORPUS, STEPS, Import, whole

pytest.importorskip("lightning.pytorch")
from lightning.pytorch.loggers import CSVLogger

pytestmark = pytest.mark.torch


def write(place: Path, **hyperparameters: object) -> Path:
    """The corpus, a new column half way, and hyperparameters, by a CSVLogger; the directory of the version."""
    logger = CSVLogger(place, name="net", flush_logs_every_n_steps=3)
    logger.log_hyperparams(hyperparameters)
    for step, value in zip(STEPS, CORPUS, strict=True):
        logger.log_metrics({"loss": value, "epoch": step // 5}, step=step)
    logger.log_metrics({"val loss": 0.5}, step=13)  # rewrites the file with one more column
    logger.save()
    return Path(logger.log_dir)


def test_a_version_is_a_run(tmp_path: Path, imports: Import, stored: Callable[..., RunView]) -> None:
    """Metrics at step and epoch, the hyperparameters, name and project; a second import finds nothing new."""
    version = write(tmp_path / "logs", lr=0.1, layers=[1, 2])
    imported = whole(imports("lightning-csv", tmp_path / "logs"))
    run = stored(imported)
    assert (run.record.project_name, run.name, run.status) == ("net", version.name, "completed")
    assert run.config == {"lr": 0.1, "layers": [1, 2]}
    assert (len(run.series("loss")), len(run.series("loss").nonfinite)) == (11, 3)
    assert run.series("loss").epochs.tolist()[-2:] == [2, 0]
    assert run.series("val loss").steps.tolist() == [13]
    assert whole(imports("lightning-csv", version / "metrics.csv")).added == 0


def test_a_killed_training_that_goes_on(tmp_path: Path, imports: Import, stored: Callable[..., RunView]) -> None:
    """The row that was cut off is left out, also where its last cell is there in part; what follows is added."""
    metrics = write(tmp_path / "logs") / "metrics.csv"
    text = metrics.read_text()
    columns = text.partition("\n")[0].split(",")
    row = ",".join({"step": "14", "loss": "0.125", "epoch": "2"}.get(name, "") for name in columns)
    metrics.write_text(text + row)
    first = whole(imports("lightning-csv", metrics))
    assert any("torn" in remark for remark in first.remarks)
    metrics.write_text(text + row + "\n")
    second = whole(imports("lightning-csv", metrics))
    assert (second.run_id, second.counts["points"]) == (first.run_id, first.counts["points"] + 1)
    assert stored(second).series("loss").values.tolist()[-1] == 0.125


def test_hyperparameters_that_would_run_code_are_refused(tmp_path: Path, imports: Import) -> None:
    """A Python object in the file is never made; the run comes without its configuration, and the summary says so."""
    version = write(tmp_path / "logs")
    marker = tmp_path / "made"
    for text in (
        f"a: !!python/object/apply:os.mkdir [{str(marker)!r}]\n",
        "a: !!python/object:argparse.Namespace {}\n",
    ):
        (version / "hparams.yaml").write_text(text)
        imported = whole(imports("lightning-csv", version))
        assert any("never made" in remark for remark in imported.remarks)
    assert not marker.exists()


def test_a_yaml_bomb_does_not_explode(tmp_path: Path, imports: Import) -> None:
    """Lists that hold each other a billion times are left out."""
    version = write(tmp_path / "logs")
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (version / "hparams.yaml").write_text("\n".join(lines))
    imported = whole(imports("lightning-csv", version))
    assert any("config is left out" in remark for remark in imported.remarks)
