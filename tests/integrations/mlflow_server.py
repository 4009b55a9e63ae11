"""A real MLflow server for tests: its database is migrated once a session, and every server is ended by its group."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "GIT_PYTHON_REFRESH": "quiet",
}  # fmt: skip
"""Variables under which MLflow starts no processes of its own and calls nobody."""


def environment() -> Mapping[str, str]:
    """What a process of MLflow is started with."""
    return {**os.environ, **QUIET}


def migrated(path: Path) -> Path:
    """An empty database with MLflow's tables: making them takes seconds, copying them does not."""
    script = f"from mlflow import MlflowClient; MlflowClient('sqlite:///{path}').search_experiments()"
    made = subprocess.run(
        [sys.executable, "-c", script], cwd=path.parent, env=environment(), capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    return path


class MlflowServer:
    """A server on a free port of this machine; ``stop`` and ``start`` bring it down and up again with its data."""

    def __init__(self, directory: Path, template: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(template, directory / "mlflow.db")
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.directory}/mlflow.db",
            "--artifacts-destination", str(self.directory / "artifacts"),
        ]  # fmt: skip
        with open(self.directory / "log", "ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.directory, env=environment(), stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 90
        while not self._answers():
            gone = self._process.poll() is not None or time.monotonic() > deadline
            assert not gone, (self.directory / "log").read_text()[-3000:]
            time.sleep(0.2)

    def stop(self) -> None:
        """End the server and its workers."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False


@pytest.fixture
def mlflow_quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of the machine, no telemetry, and MLflow's default folder below the test's own."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables in it."""
    return migrated(tmp_path_factory.mktemp("mlflow") / "template.db")


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory, mlflow_template: Path) -> Iterator[MlflowServer]:
    """The server that most tests share; each has runs of its own there."""
    made = MlflowServer(tmp_path_factory.mktemp("mlflow-server"), mlflow_template)
    made.start()
    yield made
    made.stop()


def points(uri: str, run_id: str, key: str) -> list[tuple[int, float]]:
    """(step, value) of a series, in MLflow's order."""
    from mlflow import MlflowClient

    return [(metric.step, metric.value) for metric in MlflowClient(uri).get_metric_history(run_id, key)]


def files(uri: str, run_id: str, path: str | None = None) -> set[str]:
    """The paths of all artifacts."""
    from mlflow import MlflowClient

    made: set[str] = set()
    for entry in MlflowClient(uri).list_artifacts(run_id, path):
        made |= files(uri, run_id, entry.path) if entry.is_dir else {entry.path}
    return made


def content(uri: str, run_id: str, path: str, directory: Path) -> Any:
    """A JSON artifact."""
    from mlflow import MlflowClient

    found = MlflowClient(uri).download_artifacts(run_id, path, str(directory))
    return json.loads(Path(found).read_text("utf-8"))


def rows(uri: str, run_id: str, name: str, directory: Path) -> list[dict[str, Any]]:
    """The rows of a table."""
    found = content(uri, run_id, f"quark/{name}.json", directory)
    return [dict(zip(found["columns"], row, strict=True)) for row in found["data"]]
