"""A folder that a stranger made is data: whoever opens, reads, syncs or records in it carries nothing of it out."""

import hashlib
import json
import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import msgspec
import pytest

import quark
from quark.cli import run as command
from quark.errors import QuarkError
from quark.records.base import Origin
from quark.records.line import Line
from quark.session.sync import sync
from quark.storage.artifacts import opened_payload
from quark.testing import event_line, make_batch, metric_lines, start_line

RUN, WRITER = "stranger", "0-1-aaaaaaaaaaaa"
SECRET = "-----BEGIN OPENSSH PRIVATE KEY----- s3cret"
KEY = "qk_victim00_REALKEYOFVICTIM"


class Listener:
    """A server of the attacker's; ``calls`` counts who connects."""

    def __init__(self) -> None:
        self.calls: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection:
                    self.calls.append(connection.recv(1 << 16))
                    connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{"next":0}')

    def close(self) -> None:
        """No more connections."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


@pytest.fixture
def listener() -> Iterator[Listener]:
    """The attacker's server; at the end nobody must have come."""
    made = Listener()
    yield made
    made.close()
    assert made.calls == []


class Scene:
    """A victim's home, and a folder from somewhere else with a run, and with a journal that wants to be carried out."""

    def __init__(self, root: Path, attacker: str) -> None:
        self.home = root / "home"
        self.folder = root / "clone"
        (self.home / ".ssh").mkdir(parents=True)
        (self.home / ".ssh" / "id_rsa").write_text(SECRET)
        (self.home / ".ssh" / "authorized_keys").write_text("mine\n")
        (self.home / ".bashrc").write_text("# mine\n")
        (self.home / "notes.txt").write_text("mine\n")
        with quark.start_run(project="p", storage_dir=self.folder, run_id="recorded") as run:
            run.log({"loss": 1.0}, step=0)
        self.before = self.files()
        sinks = [
            {"name": "store", "kind": "store", "options": {"store_path": str(self.home / "other.db")}},
            {"name": "jsonl", "kind": "jsonl", "options": {"path": str(self.home / ".bashrc")}},
            {"name": "jsonl-2", "kind": "jsonl", "options": {}},
            {"name": "store-2", "kind": "store", "options": {"store_path": str(self.home / "new.db")}},
            {"name": "service-files", "kind": "service-files", "options": {"url": attacker}},
            {"name": "service", "kind": "service", "options": {"url": attacker}},
            {"name": "x/../../../../../../home/.ssh/authorized_keys", "kind": "memory", "options": {}},
        ]
        place = self.plant(sinks)
        (place / "quarantine-journal.jsonl").symlink_to(self.home / "notes.txt")

    def plant(self, sinks: object, **content: object) -> Path:
        """Write the journal by hand, as finding 1 did."""
        place = self.folder / ".quark" / "journal" / RUN / WRITER
        (place / "cursor-x").mkdir(parents=True, exist_ok=True)
        (place / "lock").touch()
        described = {"run_id": RUN, "writer_id": WRITER, "rank": 0, "attempt": 1, "run_path": "/", **content}
        (place / "writer.json").write_text(json.dumps({**described, "sinks": sinks, "signature": "0" * 64}))
        origin = Origin(RUN, WRITER)
        event = event_line("log", payload={"message": "$(id > ~/PWNED)"})
        artifact = Line("artifact", 0, 1, label="k", body=msgspec.Raw(json.dumps(self.stolen()).encode()))
        batch = make_batch(origin, [start_line(origin), event, *metric_lines(5), artifact, b"damaged"])
        (place / "00000000.jsonl").write_bytes(batch.data)
        (place / "quarantine-journal.jsonl").unlink(missing_ok=True)
        return place

    def stolen(self) -> dict[str, object]:
        """An artifact whose payload is the victim's private key."""
        path = str(self.home / ".ssh" / "id_rsa")
        return {
            "artifact_type": "t", "artifact_name": "k", "artifact_key": "k", "payload_format": "bytes", "metadata": {},
            "payload_relative_path": path, "metadata_relative_path": path, "size_bytes": len(SECRET),
            "sha256": hashlib.sha256(SECRET.encode()).hexdigest(),
        }  # fmt: skip

    def files(self) -> dict[str, bytes]:
        """What the victim has, by path, but for the user's own state."""
        paths = [path for path in sorted(self.home.rglob("*")) if path.is_file() and ".local" not in path.parts]
        return {str(path): path.read_bytes() for path in paths}


@pytest.fixture
def scene(tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """The victim has a key of a service in the environment, and stands in the folder."""
    made = Scene(tmp_path, listener.url)
    monkeypatch.setenv("HOME", str(made.home))
    monkeypatch.chdir(made.folder)
    return made


def _read(scene: Scene) -> None:
    with quark.open(scene.folder) as store:
        assert {view.id for view in store.runs()} >= {"recorded"}


def _record(scene: Scene) -> None:
    with quark.start_run(project="p", storage_dir=scene.folder) as run:
        run.log({"loss": 1.0}, step=0)
        run.flush()


def _resume(scene: Scene) -> None:
    with suppress(QuarkError):
        quark.resume_run(run_id=RUN, storage_dir=scene.folder).end_run()


WAYS_IN: dict[str, Callable[[Scene], object]] = {
    "open": _read,
    "runs": lambda scene: command(["runs"]),
    "show": lambda scene: command(["show", RUN]),
    "tail": lambda scene: command(["tail", "recorded"]),
    "export": lambda scene: command(["export", "recorded", "--format", "json", "-o", str(scene.folder / "out.json")]),
    "analyze": lambda scene: command(["analyze", "recorded"]),
    "compare": lambda scene: command(["compare", "recorded", RUN]),
    "purge": lambda scene: command(["purge", "--older-than", "0s", "-y"]),
    "sync": lambda scene: command(["sync"]),
    "sync in Python": lambda scene: sync(scene.folder),
    "start_run": _record,
    "resume_run": _resume,
    "doctor": lambda scene: command(["doctor"]),
}


@pytest.mark.parametrize("with_key", [True, False])
@pytest.mark.parametrize("way", WAYS_IN)
def test_nothing_of_a_strangers_journal_is_carried_out(
    scene: Scene, way: str, with_key: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file of the user's changes or appears, and no key or file reaches the address that the journal names."""
    if with_key:  # the service that it is for is the user's own, and not there at the moment
        monkeypatch.setenv("QUARK_USER_KEY", KEY)
        monkeypatch.setenv("QUARK_PERSISTENCE_TIMEOUT_SECONDS", "0.2")
        monkeypatch.setenv("QUARK_CLOSE_TIMEOUT", "0.2")
    with suppress(QuarkError):
        WAYS_IN[way](scene)
    assert scene.files() == scene.before
    assert not (scene.home / "PWNED").exists()


def test_the_store_of_the_folder_gets_the_records_and_the_rest_is_named(scene: Scene) -> None:
    """A stranger's run can be read; one message per sink says that it waits, and how to allow it."""
    (scene.folder / ".quark" / "journal" / RUN / WRITER / "quarantine-journal.jsonl").unlink()
    report = sync(scene.folder)
    waiting = "\n".join(report.waiting)
    assert report.delivered[RUN] > 5 and "'jsonl'" in waiting and "quark sync --trust" in waiting
    assert "'service'" in waiting and "you did not name" in waiting
    with quark.open(scene.folder, sync=False) as store:
        assert len(store.run(RUN).metrics()) == 5
    assert (scene.folder / ".quark" / "journal" / RUN / WRITER / "writer.json").exists()


def test_the_users_word_is_enough(scene: Scene) -> None:
    """With trust the sinks that can be made are used; a service still only at an address that the user names."""
    scene.plant([{"name": "jsonl", "kind": "jsonl", "options": {"path": str(scene.home / "run.jsonl")}}])
    assert sync(scene.folder, trust=True).waiting == []
    assert '"kind":"metric"' in (scene.home / "run.jsonl").read_text()


@pytest.mark.parametrize("name", ["../x", "x/y", "", "-x", "X", "x\n", "x\0", "é", "a" * 200, "."])
def test_names_of_sinks_make_no_paths(scene: Scene, name: str) -> None:
    """What is no name of a sink becomes no file, whoever trusts the journal."""
    scene.plant([{"name": name, "kind": "memory", "options": {}}])
    before = sorted(scene.folder.rglob("*"))
    report = sync(scene.folder, trust=True)
    assert any("name of a sink" in problem for problem in report.problems)
    assert {path.name for path in set(scene.folder.rglob("*")) - set(before)} <= {"hosts", "quarantine-journal.jsonl"}


@pytest.mark.parametrize(
    "content",
    [
        {"sinks": 5}, {"sinks": [5]}, {"sinks": [{"name": 1}]}, {"rank": "x"}, {"rank": 10**30}, {"attempt": -1},
        {"run_id": 7}, {"run_id": "recorded"}, {"writer_id": "../x"}, {"run_id": None}, {"started_at": []},
    ],
)  # fmt: skip
def test_a_description_of_any_shape_is_a_problem_and_no_crash(scene: Scene, content: dict[str, object]) -> None:
    """Wrong types, numbers and identities in writer.json are named; the run that is here already stays as it was."""
    scene.plant(content.pop("sinks", []), **content)
    report = sync(scene.folder)
    assert len(report.problems) == 1
    with quark.open(scene.folder, sync=False) as store:
        assert [view.id for view in store.runs()] == ["recorded"]
        assert store.run("recorded").series("loss").values.tolist() == [1.0]


@pytest.mark.parametrize("label", ["start", "config", "event"])
def test_a_line_that_nobody_can_decode_is_set_aside_alone(scene: Scene, label: str) -> None:
    """A line nested a hundred thousand times costs itself: all other records of its journal are delivered."""
    place = scene.plant([])
    kind = "event" if label == "event" else "run"
    deep = b'{"kind":"%s","sequence":2,"time":1,"label":"%s","body":{"values":{"a":%s}}}' % (
        kind.encode(), label.encode(), b"[" * 100_000 + b"]" * 100_000,
    )  # fmt: skip
    origin = Origin(RUN, WRITER)
    batch = make_batch(origin, [start_line(origin), event_line("log"), deep, *metric_lines(5)])
    (place / "00000000.jsonl").write_bytes(batch.data)
    with quark.open(scene.folder) as store:
        assert len(store.run(RUN).series("train/loss")) == 5
    aside = (place / "quarantine-journal.jsonl").read_text()
    assert aside.count("\n") == 1 and "recursion" in aside


LINKS = ["writer.json", "00000000.jsonl", "lock", "hosts", "cursor-jsonl", "quarantine-journal.jsonl"]
STORES = [f"../../../quark.db{side}" for side in ("", "-journal", "-wal", "-shm", ".lock")]


@pytest.mark.parametrize("name", [*LINKS, *STORES, "..", "../..", "../../..", "../../../runs"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_links_and_pipes_are_neither_followed_nor_waited_for(scene: Scene, name: str, kind: str) -> None:
    """A link in the place of any file or directory on the way to a journal leads nowhere; a pipe holds nobody."""
    path = Path(os.path.normpath(scene.folder / ".quark" / "journal" / RUN / WRITER / name))
    target = scene.home / ("elsewhere" if path.suffix or not path.is_dir() else "directory")
    if path.is_dir():
        path.rename(target)
    else:
        target.write_bytes(path.read_bytes() if path.is_file() else b"")
        path.unlink(missing_ok=True)
    before = scene.files()
    if kind == "link":
        path.symlink_to(target)
    else:
        os.mkfifo(path)
    with suppress(QuarkError):
        sync(scene.folder, trust=True)
    with suppress(QuarkError), quark.open(scene.folder) as store:
        list(store.runs())
    with suppress(QuarkError):
        command(["doctor"])
    _record(scene)
    assert scene.files() == before


def test_a_store_does_not_say_where_files_are(scene: Scene, tmp_path: Path) -> None:
    """A run whose stored path is the user's home is read, exported and resumed with the files of the folder itself."""
    with closing(sqlite3.connect(scene.folder / ".quark" / "quark.db")) as connection:
        connection.execute("UPDATE runs SET run_path = ?, status = 'failed'", (str(scene.home),))
        connection.commit()
    (scene.folder / ".quark" / "journal" / RUN / WRITER / "writer.json").unlink()
    with quark.open(scene.folder) as store:
        assert store.run("recorded").files == scene.folder / ".quark" / "runs" / "recorded"
    with quark.resume_run(run_id="recorded", storage_dir=scene.folder, trackers=[quark.JsonlSink()]) as run:
        quark.ArtifactStore(run).store("t", "k", "text", payload_format="text")
    assert scene.files() == scene.before
    assert (scene.folder / ".quark" / "runs" / "recorded" / "run.jsonl").exists()


def test_the_file_of_a_run_is_not_written_through_a_link(scene: Scene) -> None:
    """A run of a stranger's folder is resumed with a JSONL file, in whose place a link to a file of the user lies."""
    with closing(sqlite3.connect(scene.folder / ".quark" / "quark.db")) as connection:
        connection.execute("UPDATE runs SET status = 'failed'")
        connection.commit()
    (scene.folder / ".quark" / "runs" / "recorded" / "run.jsonl").symlink_to(scene.home / ".bashrc")
    with quark.resume_run(
        run_id="recorded", storage_dir=scene.folder, trackers=[quark.JsonlSink()], close_timeout_s=0.5
    ) as run:
        run.log({"loss": 2.0}, step=1)
    assert scene.files() == scene.before
    assert "sink_jsonl" in run.health()["faults"]


def artifact(path: str) -> quark.ArtifactRecord:
    return quark.ArtifactRecord(
        id="a", run_id="r", sequence=0, timestamp="2026-05-07T00:00:00Z", artifact_type="t", artifact_name="k",
        artifact_key="k", payload_format="bytes", payload_relative_path=path, metadata_relative_path="m", size_bytes=1,
        sha256="0" * 64, metadata={},
    )  # fmt: skip


@pytest.mark.parametrize(
    "path", ["/etc/hostname", "../../../home/notes.txt", "link/notes.txt", "file", "a/../b", "x\0"]
)
def test_a_payload_lies_below_its_run(tmp_path: Path, path: str) -> None:
    """Absolute paths, ways upwards and links give no file to anything that would send it."""
    run = tmp_path / "clone" / "runs" / "r"
    run.mkdir(parents=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "notes.txt").write_text("mine")
    (run / "link").symlink_to(tmp_path / "home")
    (run / "file").symlink_to(tmp_path / "home" / "notes.txt")
    (run / "b").write_text("inside")
    record = artifact(path)
    assert record.payload_in(run) is None
    with pytest.raises((OSError, QuarkError, ValueError)), opened_payload(run, path):
        pass
    fine = artifact("b")
    assert fine.payload_in(run) == run / "b"
