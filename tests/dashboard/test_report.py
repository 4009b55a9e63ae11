"""`quark report`: one file that holds the page and its data, loads nothing and lets no name out of its place."""

import base64
import hashlib
import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quark
from quark.cli import run as run_command
from quark.dashboard.document import document
from quark.service import ServiceConfig
from quark.service.report import KINDS, RECORD_BYTES, Report, collected

from ..service.serving import Threaded

MOST_BYTES = 2_000_000


def written(path: Path, *arguments: object) -> bytes:
    """The report that the command writes."""
    assert run_command(["report", *map(str, arguments), "-o", str(path)]) == 0
    return path.read_bytes()


def inside(report: bytes, kind: str) -> list[str]:
    """The content of the elements of a kind, such as ``style`` or ``script type="module"``."""
    name = kind.split()[0]
    return re.findall(f"<{kind}[^>]*>(.*?)</{name}>", report.decode(), re.DOTALL)


def data_of(report: bytes) -> dict[str, Any]:
    """What the page in a report reads."""
    (text,) = inside(report, 'script type="application/json"')
    return json.loads(text)


def test_a_report_holds_the_run(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The run by its name, its charts to the last point, its records, and the page that shows them."""
    report = written(tmp_path / "report.html", "good", "-d", recorded)
    data = data_of(report)
    assert data["path"] == "/r/good-run"
    assert data["answers"]["/runs/good-run"]["status"] == "completed"
    (chart,) = (chart for chart in data["charts"] if chart["key"] == "train/loss")
    assert (chart["x"], chart["count"]) == (list(range(20)), 20)
    assert chart["mean"] == pytest.approx([1 / (step + 1) for step in range(20)], rel=1e-5)
    assert len(data["answers"]["/runs/good-run/records/artifact"]["records"]) == 1
    assert "report.html" in capsys.readouterr().out


def test_several_runs_are_compared(recorded: Path, tmp_path: Path) -> None:
    """A report of two runs is the page of their comparison, with the rows of its table."""
    data = data_of(written(tmp_path / "report.html", "good-run", "bad-run", "good", "-d", recorded))
    assert data["path"] == "/c?runs=good-run,bad-run"
    rows = {row["id"]: row["columns"] for row in data["answers"]["/runs/query"]["runs"]}
    assert set(rows) == {"good-run", "bad-run"}
    assert rows["good-run"]["min:train/loss"] == pytest.approx(0.05)


def test_only_what_is_inside_may_run(recorded: Path, tmp_path: Path) -> None:
    """The policy names the script and the style by their content, and nothing is loaded from anywhere."""
    report = written(tmp_path / "report.html", "good", "-d", recorded)
    (policy,) = re.findall('http-equiv="Content-Security-Policy" content="([^"]*)"', report.decode())
    parts = dict(part.split(" ", 1) for part in html.unescape(policy).split("; "))
    for name, kind in (("script-src", 'script type="module"'), ("style-src", "style")):
        (content,) = inside(report, kind)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert parts[name] == f"'sha256-{digest}'"
    assert (parts["default-src"], parts["require-trusted-types-for"]) == ("'none'", "'script'")
    markup = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", report.decode(), flags=re.DOTALL)
    assert re.findall(r"(?:src|href|action)=[\"']?([^\"' >]+)", markup) == ["data:,"]


HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "\u2028\u2029",
    "]]>",
    "&lt;",
    "\u202eabc",
    '"\\',
    "x" * 10_000,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_gets_out_of_its_place(name: str) -> None:
    """Whatever a name, a title or a note holds, the document has its two scripts and the data come back."""
    data = {"path": "/r/x", "answers": {name: {"name": name}}, "charts": []}
    report = document(data, title=name, notes=[name])
    assert data_of(report) == data
    assert [kind for kind in re.findall(rb"<script[^>]*>", report)] == [
        b'<script type="application/json" id="quark-report">', b'<script type="module">',
    ]  # fmt: skip
    (title,) = inside(report, "title")
    assert html.unescape(title) == name


@pytest.mark.slow
def test_a_million_points_are_below_two_megabytes(tmp_path: Path) -> None:
    """The file stays small, and each of four spikes of one step is in it at its full height."""
    spikes = {17: 60.0, 123_456: 42.0, 500_001: 25.0, 999_998: 33.0}
    values = np.abs(np.sin(np.arange(1_000_000) / 5000)) + 0.5
    with quark.start_run(project="p", storage_dir=tmp_path / "runs", run_id="long-run") as run:
        for step, value in enumerate(values.tolist()):
            run.log({"train/loss": spikes.get(step, value)}, step=step)
    report = written(tmp_path / "report.html", "long-run", "-d", tmp_path / "runs")
    assert len(report) < MOST_BYTES
    (chart,) = data_of(report)["charts"]
    assert chart["count"] == 1_000_000
    assert set(spikes.values()) <= set(chart["max"])


class Answers:
    """An API that has as many records as it is told; the only stand-in here, for a store of that size takes minutes."""

    def __init__(self, kind: str, records: int, keys: int) -> None:
        self._kind = kind
        self._records = [{"step": number // 50, "text": "x" * 400, "number": number} for number in range(records)]
        self._keys = [f"k/{number}" for number in range(keys)]

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        if path == "/charts":
            column = [1.23456789] * body["buckets"]
            columns = dict.fromkeys(("x", "mean", "min", "max", "n"), column)
            return {"charts": [{"run": "r", "key": key, **columns} for key in body["keys"]]}
        if path.endswith("/overview"):
            return {"keys": self._keys, "counts": {self._kind: len(self._records)}}
        if "/records/" in path:
            after = int(re.findall(r"after=(\d+)", path)[0]) if "after=" in path else 0
            following = after + 1000 if after + 1000 < len(self._records) else None
            return {"records": self._records[after : after + 1000], "next": following and str(following)}
        return {"id": "r"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_does_not_fit_is_left_out_and_said(kind: str) -> None:
    """Of many records the report keeps as many as fit, and says how many it has not; of many metrics too."""
    made: Report = collected(Answers(kind, 5000, 300), ["r"])
    kept = made.data["answers"][f"/runs/r/records/{kind}"]["records"]
    assert 0 < len(kept) < 5000
    assert sum(len(json.dumps(record)) for record in kept) <= 1.1 * RECORD_BYTES
    assert f"{5000 - len(kept):,} of 5,000" in made.left_out[-1]
    assert "100 of 300 metrics" in made.left_out[0]
    if kind not in ("layer", "parameter"):
        assert kept[-1]["number"] == 4999
    assert len(document(made.data, title="t", notes=made.left_out)) < MOST_BYTES


def test_an_unknown_run_is_named(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the run, and no file is written."""
    assert run_command(["report", "nothing", "-d", str(recorded), "-o", str(tmp_path / "report.html")]) == 1
    assert "nothing" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_a_service_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command works where runs live in a service."""
    service = Threaded(ServiceConfig.of(f"sqlite:///{tmp_path}/served/quark.db"))
    try:
        monkeypatch.setenv("QUARK_PERSISTENCE_URL", service.url)
        monkeypatch.setenv("QUARK_USER_KEY", service.key)
        with quark.start_run(project="p", storage_dir=str(tmp_path / "here"), run_id="far-run") as run:
            run.log({"train/loss": 0.5}, step=0)
        monkeypatch.setenv("QUARK_STORAGE_DIR", str(tmp_path / "here"))
        data = data_of(written(tmp_path / "report.html", "far-run"))
        assert [chart["mean"] for chart in data["charts"]] == [[0.5]]
    finally:
        service.close()


def test_without_a_browser_no_pdf(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error says what is missing and what to do, and the HTML file is there."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert run_command(["report", "good", "-d", str(recorded), "-o", str(tmp_path / "report.html"), "--pdf"]) == 1
    assert "Chromium" in capsys.readouterr().err
    assert (tmp_path / "report.html").exists()
