"""The commands read a service as they read a directory: named by --url, or configured by the variables."""

import json
from pathlib import Path

import pytest

import quark
from quark.cli.entry import run as quark_command
from quark.reading.replay import replay

from .conftest import Service


@pytest.mark.parametrize("named", [True, False])
def test_the_commands_read_a_service(
    service: Service, tmp_path: Path, named: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lists, shows, tails and exports a run that no directory of this machine holds."""
    service.start()
    with quark.start_run(project="p", name="n") as run:
        run.log({"loss": 0.5}, step=3)
    where = []
    if named:
        monkeypatch.delenv("QUARK_PERSISTENCE_URL")
        where = ["--url", service.url]
    capsys.readouterr()

    def asked(*arguments: str) -> dict[str, object]:
        assert quark_command([*arguments, *where, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert [found["id"] for found in asked("runs")["runs"]] == [run.run_id]  # type: ignore[attr-defined]
    assert asked("show", "n")["metrics"]["loss"]["last"] == 0.5  # type: ignore[index]
    assert asked("tail")["run"]["status"] == "completed"  # type: ignore[index]
    assert asked("export", "--out", str(tmp_path / "run.jsonl"))["run_id"] == run.run_id
    assert b'"loss"' in (tmp_path / "run.jsonl").read_bytes()


def test_the_commands_change_a_service_that_is_named(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Analyzes, stops, deletes, restores runs, and sets blueprints; to purge needs another key."""
    service.start()
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object"}')
    with quark.start_run(project="p", name="n") as run:
        run.log({"loss": 0.5}, step=3)
        run.flush()

        def asked(*arguments: str) -> dict[str, object]:
            capsys.readouterr()
            quark_command([*arguments, "--url", service.url, "--json"])
            return json.loads(capsys.readouterr().out)

        assert asked("analyze", "n")["run"] == run.run_id
        assert asked("stop", "n", "--grace", "30")["grace_period_s"] == 30.0
    monkeypatch.setenv("QUARK_PERSISTENCE_URL", "http://127.0.0.1:9")  # --url goes first
    assert asked("delete", "n", "--yes") == {"deleted": [run.run_id]}
    assert asked("runs")["runs"] == []
    assert [run["name"] for run in asked("runs", "--deleted")["runs"]] == ["n"]  # type: ignore[attr-defined]
    assert asked("restore", "n") == {"restored": run.run_id}
    assert asked("runs", "--deleted")["runs"] == []
    assert asked("purge", "--yes")["error"]["code"] == "forbidden"  # type: ignore[index]  it needs the scope admin
    assert asked("blueprint", "set", "p", str(schema))["blueprint"] == {"type": "object"}
    assert asked("blueprint", "show", "p")["blueprint"] == {"type": "object"}
    assert asked("blueprint", "remove", "p") == {"project": "p", "blueprint": None}


def test_a_service_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A line that says what to look at, and exit code 1."""
    assert quark_command(["runs", "--url", "http://127.0.0.1:9"]) == 1
    assert "is it running" in capsys.readouterr().err


def test_a_run_of_a_folder_is_given_to_a_service(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name, its end, its records and its files, once, however often."""
    url, key = service.url, service.key
    monkeypatch.delenv("QUARK_PERSISTENCE_URL")
    monkeypatch.delenv("QUARK_USER_KEY")
    with quark.start_run(project="p", name="n") as run:
        run.log({"loss": 0.5}, step=3)
        quark.ArtifactStore(run).store("snapshot", "w", b"abc")
    service.start()
    monkeypatch.setenv("QUARK_USER_KEY", key)
    with quark.open(tmp_path) as store:
        for _ in range(2):
            replay(store.run("n"), quark.ServiceSink(url))
    with quark.connect(url) as store:
        (view,) = store.runs()
        assert (view.project, view.name, view.status) == ("p", "n", "completed")
        assert view.series("loss").values.tolist() == [0.5]
        assert view.load(view.artifacts()[0]) == b"abc"
