"""QuarkCallback in real Hydra applications: every job a run, whatever process it runs in and however it ends."""

import os
import pickle
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import quark

pytest.importorskip("hydra")
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from quark_integrations.callbacks.hydra import QuarkCallback, job_config

APP = """
import sys
import hydra
import quark

@hydra.main(version_base=None, config_path=".", config_name="config")
def train(cfg):
    {body}

if __name__ == "__main__":
    train()
"""

CONFIG = """
lr: 0.1
name: net-${lr}
login: {user: me, password: hunter2}
token: ${oc.env:SOME_TOKEN,}
alias: ${token}
hydra:
  run: {dir: outputs}
  sweep: {dir: multirun}
  callbacks:
    quark:
      _target_: quark_integrations.callbacks.hydra.QuarkCallback
      storage_dir: runs
      tags: [swept]
"""


def app(directory: Path, body: str, *overrides: str, code: int = 0, **variables: str) -> list[Any]:
    """Run an application in a process of its own; the runs that it recorded, read."""
    (directory / "app.py").write_text(APP.format(body=body), "utf-8")
    (directory / "config.yaml").write_text(CONFIG, "utf-8")
    done = subprocess.run(
        [sys.executable, "app.py", *overrides], cwd=directory, env={**os.environ, **variables}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Callback" not in done.stderr, done.stderr  # so begins Hydra's warning of one that failed
    with quark.open(directory / "runs") as store:
        found = sorted(store.runs(), key=lambda view: view.started_at)
        for view in found:
            view.all = {key: view.series(key).values.tolist() for key in map(str, view.keys())}
            view.event_list = list(view.events())
        return found


def test_a_job_is_a_run(tmp_path):
    """With its resolved configuration, its overrides, what it records and what it returns; secrets are hidden."""
    body = "quark.current_run().log({'loss': cfg.lr}, step=0); return cfg.lr * 2"
    (run,) = app(tmp_path, body, "lr=0.5", "+login.api_key=abc", SOME_TOKEN="very-secret")
    assert (run.status, run.reason, run.project, run.tags) == ("completed", "completed", "app", ("swept",))
    assert run.all == {"loss": [0.5], "objective": [1.0]}
    assert run.record.name == "lr=0.5"
    config = dict(run.config)
    hydra = config.pop("hydra")
    assert config == {
        "lr": 0.5, "name": "net-0.5", "login": {"user": "me", "password": "[redacted]", "api_key": "[redacted]"},
        "token": "[redacted]", "alias": "[redacted]",
    }  # fmt: skip
    assert hydra["overrides"] == {"lr": "0.5", "login.api_key": "[redacted]"}
    assert (hydra["job"], hydra["num"], hydra["output_dir"]) == ("app", None, str(tmp_path / "outputs"))
    stored = b"".join(path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file())
    assert b"very-secret" not in stored
    assert b"hunter2" not in stored


def test_jobs_of_a_multirun_share_a_tag(tmp_path):
    """Each is a run of its own, in one store even where Hydra changes the directory for each job."""
    runs = app(tmp_path, "return cfg.lr", "-m", "lr=1,2,3", "hydra.job.chdir=true")
    assert [run.all["objective"] for run in runs] == [[1.0], [2.0], [3.0]]
    assert [run.config["hydra"]["num"] for run in runs] == [0, 1, 2]
    (tags,) = {run.tags for run in runs}
    assert tags[0] == "swept"
    assert tags[1].startswith("app-")
    again = app(tmp_path, "return cfg.lr", "-m", "lr=1,2")
    assert len({run.tags for run in again}) == 2


@pytest.mark.slow
def test_a_launcher_takes_the_callback_to_other_processes(tmp_path):
    """Hydra's joblib launcher pickles it; the jobs in its processes are runs of the same group."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    body = "import os; quark.current_run().log({'pid': os.getpid()}, step=0)"
    runs = app(tmp_path, body, "-m", "lr=1,2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert len({run.tags for run in runs}) == 1
    assert runs[0].tags[1].startswith("app-")
    assert [run.status for run in runs] == ["completed", "completed"]
    assert len({run.record.environment["pid"] for run in runs}) == 2


IN_ANOTHER = """
import pickle, sys
from hydra.core.utils import JobReturn, JobStatus
callback, config = pickle.load(open(sys.argv[1], "rb"))
callback.on_job_start(config=config, task_function=None)
callback.run.log({"loss": 1.0}, step=0)
callback.on_job_end(config=config, job_return=JobReturn(status=JobStatus.COMPLETED))
"""


def test_a_pickled_callback_has_its_plan_and_neither_run_nor_secret(tmp_path, monkeypatch):
    """As submitit sends it: while it has a run here, the copy opens another one there, of the same group."""
    monkeypatch.setenv("HF_TOKEN", "very-secret")
    config = job(tmp_path, hub="${oc.env:HF_TOKEN}")
    callback = QuarkCallback(storage_dir=str(tmp_path))
    callback.on_multirun_start(config=config)
    callback.on_job_start(config=config, task_function=None)
    sent = pickle.dumps((callback, config))
    assert b"very-secret" not in sent
    (tmp_path / "sent").write_bytes(sent)
    subprocess.run([sys.executable, "-c", IN_ANOTHER, tmp_path / "sent"], check=True)
    callback.on_job_end(config=config, job_return=JobReturn(status=JobStatus.COMPLETED))
    with quark.open(tmp_path) as store:
        views = list(store.runs())
        assert len(views) == 2
        assert len({view.tags for view in views}) == 1
        assert {view.status for view in views} == {"completed"}


def job(directory: Path, **task: Any) -> Any:
    """The configuration that Hydra gives to a callback, as far as it is looked at."""
    return OmegaConf.create({
        **task,
        "hydra": {
            "job": {"name": "job", "num": 0}, "mode": "MULTIRUN", "sweep": {"dir": "multirun"},
            "overrides": {"task": []}, "runtime": {"cwd": str(directory), "output_dir": str(directory)},
        },
    })  # fmt: skip


@pytest.mark.parametrize(
    ("body", "code", "status", "reason"),
    [("raise ValueError('broken')", 1, "failed", "error"),
     ("raise KeyboardInterrupt", -2, "interrupted", "interrupted"),
     ("sys.exit(3)", 3, "interrupted", "interrupted")],
)  # fmt: skip
def test_a_run_ends_as_its_job_does(tmp_path, body, code, status, reason):
    """Hydra tells of exceptions; of Ctrl-C and exits it does not, and the session knows."""
    (run,) = app(tmp_path, body, code=code)
    assert (run.status, run.reason) == (status, reason)
    if reason == "error":
        messages = [event.payload["message"] for event in run.event_list if event.event_type == "runtime_error"]
        assert messages == ["ValueError: broken"]


def test_a_job_that_fails_leaves_the_others_of_its_multirun_alone(tmp_path):
    """Only its own run has failed."""
    runs = app(tmp_path, "return 1 / cfg.lr", "-m", "lr=1,0,2", code=1)
    assert [run.status for run in runs] == ["completed", "failed", "completed"]


def test_a_run_that_the_job_starts_joins_that_of_the_callback(tmp_path):
    """With its configuration, tags and metrics; what fails after it was left is told too, and told once."""
    body = """with quark.start_run(project="own", config={"depth": 3}, tags=["mine"]) as run:
        run.log({"loss": 1.0}, step=4)
    if cfg.lr == 0:
        raise ValueError("broken")
    return 7
"""
    good, bad = app(tmp_path, body, "-m", "lr=1,0", code=1)
    assert (good.status, good.all) == ("completed", {"loss": [1.0], "objective": [7.0]})
    assert {"swept", "mine"} <= set(good.tags)
    assert good.config["depth"] == 3
    assert bad.status == "failed"
    assert [event.event_type for event in bad.event_list].count("runtime_error") == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), [0.5]), (np.int64(3), [3.0]), (np.array(2.0), [2.0]), (torch.tensor(0.25), [0.25]),
        (torch.tensor([1.5]), [1.5]), (Fraction(1, 4), [0.25]), (Decimal("0.5"), [0.5]), (True, [1.0]),
        ([np.float32(0.5), 2], [0.5, 2.0]), ((torch.tensor(1.0), np.int8(2)), [1.0, 2.0]),
        (np.array([1.0, 2.0]), [1.0, 2.0]), (torch.tensor([1, 2]), [1.0, 2.0]), (None, []), ("0.5", []), ([], []),
        ({"a": 1}, []), ([1, "b"], []), (np.array(["a"]), []), (torch.ones(1, device="meta"), []),
    ],
)  # fmt: skip
def test_what_is_an_objective(tmp_path, value, expected):
    """Numbers of every make are, and lists of them; anything else is none, and harms nothing."""
    config = OmegaConf.create({"hydra": {
        "mode": "RUN", "job": {"name": "app"}, "sweep": {"dir": "s"}, "overrides": {"task": []},
        "runtime": {"cwd": str(tmp_path), "output_dir": str(tmp_path)},
    }})  # fmt: skip
    callback = QuarkCallback()
    callback.on_job_start(config)
    callback.on_job_end(config, JobReturn(_return_value=value, status=JobStatus.COMPLETED))
    with quark.open(tmp_path) as store:
        (run,) = store.runs()
        found = [point for key in sorted(run.keys()) for point in run.series(key).values.tolist()]
        assert (run.status, found) == ("completed", expected)


def test_several_objectives_and_none(tmp_path):
    """A job may return several numbers, or something that is none."""
    runs = app(tmp_path, "return (1, 2.5) if cfg.lr == 1 else {'a': 1}", "-m", "lr=1,2")
    assert [run.all for run in runs] == [{"objective/0": [1.0], "objective/1": [2.5]}, {}]


def test_a_reference_that_leads_nowhere_is_kept_as_it_is_written(tmp_path):
    """Hydra resolves late, and a job may never look at it."""
    config = job(tmp_path, a="${nowhere}", b=1, missing="???")
    assert job_config(config) == {"a": "${nowhere}", "b": 1, "missing": "???"}


def test_references_to_secrets_stay_hidden_wherever_they_lead(tmp_path, monkeypatch):
    """By the name of what they refer to, directly or over others; what only looks similar is kept."""
    monkeypatch.setenv("HF_TOKEN", "tok-123")
    config = job(
        tmp_path, login={"password": "pw", "pass": "x", "same": "${login.pass}"}, hub="${oc.env:HF_TOKEN}",
        url="https://u:${login.password}@host", alias=["${hub}", "${tokenizer.name}", "x"],
        tokenizer={"name": "bpe", "num_tokens": 7}, n="${tokenizer.num_tokens}",
    )  # fmt: skip
    found = job_config(config)
    assert (found["hub"], found["url"], found["n"]) == ("[redacted]", "[redacted]", 7)
    assert (found["alias"], found["login"]["same"]) == (["[redacted]", "bpe", "[redacted]"], "[redacted]")
    assert found["tokenizer"] == {"name": "bpe", "num_tokens": 7}


def test_without_hydra_the_error_says_what_to_install():
    """Importing the package is free; the callback needs Hydra, and says so."""
    code = (
        "import sys; sys.modules['hydra'] = None\nimport quark, quark_integrations.callbacks\n"
        "try: import quark_integrations.callbacks.hydra\nexcept quark.MissingDependencyError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "quark-tracker[hydra]"' in done.stdout, done.stderr
