"""A kind of record that another package adds is written and read wherever Quark's own kinds are."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import quark
from quark import ConfigurationError, Record, record_kind
from quark.records.base import REGISTERED
from tests.children import child_environment

PACKAGE = '''
"""A package that adds the kind ``memo``."""

from typing import Annotated, Any, ClassVar

import quark


@quark.record_kind
class MemoRecord(quark.Record):
    """What a person noted."""

    kind: ClassVar[str] = "memo"
    label_field: ClassVar[str | None] = "author"
    free_text: ClassVar[tuple[str, ...]] = ("text",)
    noun: ClassVar[str] = "personal memos"
    tailed: ClassVar[bool] = True

    author: str
    text: str
    details: dict[str, Any]
    step: int | None = None
'''

WRITE = """
import sys
import quark
from memos import MemoRecord

with quark.start_run(project="kinds", run_id="memo-run", storage_dir=sys.argv[1], trackers=["jsonl"]) as run:
    run.log({"train/loss": 1.0}, step=0)
    record = run.emit(MemoRecord, {"author": "Ada", "text": "password=hunter22 looks good"}, step=3)
    assert (record.author, record.details, record.step) == ("Ada", {}, 3)
"""

READ = """
import json, sys
from pathlib import Path

import quark
from quark.reading.replay import replay
from quark.testing import MemoryRunHandle

store = Path(sys.argv[1])
with quark.open(store) as opened:
    view = opened.run("memo-run")
    (record,) = view.records("memo")
    memory = quark.MemorySink()
    replay(view, memory)
    print(json.dumps({
        "class": type(record).__name__,
        "fields": {name: getattr(record, name) for name in ("author", "text", "details", "step")},
        "by_label": len(list(view.records("memo", quark.RecordFilter(where={"author": "Ada"})))),
        "by_other_label": len(list(view.records("memo", quark.RecordFilter(where={"author": "Bob"})))),
        "replayed": [record.to_dict() for record in memory.of("memo")] == [record.to_dict()],
        "count": view.counts()["memo"],
        "valid": quark.dump_record(record)["author"],
    }))
"""

SERVE = """
import json, sys

from litestar.testing import TestClient
from memos import MemoRecord
from quark.records.base import Origin
from quark.service import ServiceConfig, create_app
from quark.testing import MemoryRunHandle, make_batch, start_line

origin = Origin("memo-run", "0-1-aaaaaaaaaaaa")
memo = MemoryRunHandle().emit(MemoRecord, {"author": "Ada", "text": "fine"}, step=3)
batch = make_batch(origin, [start_line(origin), memo], 0)
with TestClient(create_app(ServiceConfig.of(f"sqlite:///{sys.argv[1]}/served/quark.db"))) as client:
    client.headers = {"X-Quark-API-Key": client.app.state.key_store.create("test", ["admin"])[0]}
    path = f"/api/v1/runs/{origin.run_id}/writers/{origin.writer_id}/records"
    taken = client.post(path, params={"first": batch.first, "stop": batch.stop}, content=batch.data)
    answer = client.get("/api/v1/runs/memo-run/records/memo")
    unknown = client.get("/api/v1/runs/memo-run/records/hologram")
    described = "MemoRecord" in client.get("/schema/openapi.json").text
    codes = [taken.status_code, answer.status_code, unknown.status_code]
    print(json.dumps({"codes": codes, "records": answer.json()["records"], "described": described}))
"""

MIRROR = """
import json
from memos import MemoRecord
from quark.testing import MemoryRunHandle
from quark_integrations.sinks.mirror import TABLES, row_of

table = TABLES["memo"]
record = MemoryRunHandle().emit(MemoRecord, {"author": "Ada", "text": "fine", "details": {"a": 1}}, step=3)
print(json.dumps({"name": table.name, "row": dict(zip(table.columns, row_of(record)))}))
"""


class Elsewhere:
    """Processes that find the package, as they would if it was installed."""

    def __init__(self, directory: Path) -> None:
        packages = directory / "packages"
        info = packages / "memos-1.0.dist-info"
        info.mkdir(parents=True)
        (packages / "memos.py").write_text(PACKAGE)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: memos\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[quark.kinds]\nmemo = memos:MemoRecord\nbroken = memos:Missing\n")
        self.store = directory / "store"
        self.store.mkdir()
        root = str(Path(quark.__file__).parents[1])
        self._environment = {**child_environment(), "PYTHONPATH": f"{packages}:{root}"}

    def __call__(self, *arguments: str) -> str:
        """What a Python process with these arguments prints."""
        done = subprocess.run(
            [sys.executable, *arguments], env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def script(self, text: str) -> Any:
        """The JSON that a script prints which gets the store."""
        return json.loads(self("-c", text, str(self.store)) or "null")

    def quark(self, *arguments: str) -> str:
        """What a command prints."""
        return self("-m", "quark.cli", *arguments, "-d", str(self.store))


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    """A run with a memo, in a directory of its own."""
    made = Elsewhere(tmp_path_factory.mktemp("kinds"))
    made.script(WRITE)
    return made


def test_a_store_has_it(elsewhere: Elsewhere) -> None:
    """Another process reads the records as their class, filters by their label, replays and validates them."""
    text = "password=<redacted> looks good"
    read = elsewhere.script(READ)
    assert read.pop("fields") | {"text": text} == {"author": "Ada", "text": text, "details": {}, "step": 3}
    assert read == {
        "class": "MemoRecord", "by_label": 1, "by_other_label": 0, "replayed": True, "count": 1, "valid": "Ada",
    }  # fmt: skip


def test_the_file_has_it(elsewhere: Elsewhere) -> None:
    """A line of JSON with its label, its secret hidden."""
    (path,) = elsewhere.store.rglob("*.jsonl")
    (line,) = [line for line in map(json.loads, path.read_text().splitlines()) if line["kind"] == "memo"]
    assert (line["label"], line["step"], line["body"]["author"]) == ("Ada", 3, "Ada")
    assert "hunter22" not in path.read_text()


def test_the_service_has_it(elsewhere: Elsewhere) -> None:
    """It has a path, and the description of the API names its class."""
    served = elsewhere.script(SERVE)
    assert (served["codes"], served["described"]) == ([200, 200, 400], True), served
    assert [(record["author"], record["step"]) for record in served["records"]] == [("Ada", 3)]


def test_commands_have_it(elsewhere: Elsewhere) -> None:
    """Exports hold it, ``--kind`` takes it, ``quark tail`` prints it, and ``quark show`` counts it by its noun."""
    document = json.loads(elsewhere.quark("export", "memo-run", "-f", "json"))
    assert [memo["author"] for memo in document["memos"]] == ["Ada"]
    head, row = elsewhere.quark("export", "memo-run", "-f", "csv", "-k", "memo").splitlines()
    assert "author,text,details,step" in head and "Ada," in row
    assert "step 3  memo: author=Ada" in elsewhere.quark("tail", "memo-run")
    assert "1 personal memos" in elsewhere.quark("show", "memo-run")


def test_mirrors_have_it(elsewhere: Elsewhere) -> None:
    """It is a table of its fields."""
    assert elsewhere.script(MIRROR) | {"row": None} == {"name": "memos", "row": None}
    row = elsewhere.script(MIRROR)["row"]
    assert {name: row[name] for name in ("author", "text", "details", "step")} == {
        "author": "Ada", "text": "fine", "details": '{"a": 1}', "step": 3,
    }  # fmt: skip


def test_without_its_package_the_rest_is_read(elsewhere: Elsewhere) -> None:
    """Where the package is not installed the records stay in the store, and everything else is read."""
    with quark.open(elsewhere.store) as store:
        view = store.run("memo-run")
        assert view.counts()["memo"] == 1 and view.latest() == {"train/loss": (0, 1.0)}
        with pytest.raises(quark.SchemaValidationError, match="memo"):
            view.records("memo")


@pytest.fixture
def _registry_as_before() -> Iterator[None]:
    kept = dict(REGISTERED)
    yield
    REGISTERED.clear()
    REGISTERED.update(kept)


@pytest.mark.usefixtures("_registry_as_before")
def test_a_kind_that_is_defined_again_replaces_itself() -> None:
    """A notebook's cell may run twice."""

    def cell() -> type[Record]:
        @record_kind
        class Twice(Record):
            kind: ClassVar[str] = "twice"
            text: str

        return Twice

    first, second = cell(), cell()
    assert quark.RECORD_KINDS["twice"] is second is not first
    assert (second.__module__, "twice" in quark.RECORD_KINDS) == (__name__, True)


def wrong(name: object, **more: Any) -> type:
    return type("Wrong", (Record,), {"__annotations__": {"text": str}, "kind": name, **more})


@pytest.mark.usefixtures("_registry_as_before")
@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (int, "subclass of quark.Record"),
        (wrong("metrics"), "lower-case word"),
        (wrong("Memo"), "lower-case word"),
        (wrong(3), "lower-case word"),
        (wrong("../memo"), "lower-case word"),
        (wrong("metric"), "another record's kind"),
        (wrong("memo", label_field="author"), "not a field"),
        (wrong("memo", __annotations__={"text": "str"}), "from __future__"),
    ],
    ids=["no record", "reserved", "upper case", "no text", "path", "taken", "label", "text annotation"],
)
def test_a_kind_that_cannot_work_is_refused(cls: Any, message: str) -> None:
    """At its definition, with what to do."""
    before = set(REGISTERED)
    with pytest.raises(ConfigurationError, match=message):
        record_kind(cls)
    assert set(REGISTERED) == before
