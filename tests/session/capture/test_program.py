"""The program that ran: its script, the packages around it, the cells of a notebook."""

import importlib.metadata
import os
import re
import subprocess
import sys
import time
import types

import pytest

import quark
from quark.session.capture import packages as packages_module
from quark.session.capture import script as script_module
from quark.session.capture.packages import installed_packages
from quark.session.capture.script import notebook_text, script_key, script_path, script_text

PROGRAM = """\
import quark
with quark.start_run(project="p", run_id="r"):
    api_key = "hunter2-canary"
"""


def _ran(tmp_path, *arguments, text=None, **variables):
    environment = {
        **os.environ, "QUARK_CAPTURE_SCRIPT": "1", "QUARK_CAPTURE_PACKAGES": "1", "QUARK_STORAGE_DIR": str(tmp_path),
        **variables,
    }  # fmt: skip
    subprocess.run(
        [sys.executable, *arguments], input=text, env=environment, cwd=tmp_path, check=True, capture_output=True,
        text=True, timeout=120,
    )  # fmt: skip
    with quark.open(tmp_path) as store:
        view = store.run("r")
        return view, {artifact.artifact_key: view.load(artifact) for artifact in view.artifacts()}


def test_a_run_keeps_its_script_and_its_packages(tmp_path):
    """The path of the script and its text, without secrets, and what is installed, as a requirements file."""
    (tmp_path / "train it.py").write_text(PROGRAM)
    view, kept = _ran(tmp_path, "train it.py")
    assert view.environment["script"] == str(tmp_path / "train it.py")
    assert kept["environment/script/train-it.py"] == PROGRAM.replace("hunter2-canary", "[redacted]")
    lines = kept["environment/packages"].splitlines()
    assert f"numpy=={importlib.metadata.version('numpy')}" in lines
    assert lines == sorted(lines, key=lambda line: line.partition("==")[0])


@pytest.mark.parametrize(("arguments", "text"), [(("-c", PROGRAM), None), (("-",), PROGRAM)], ids=["-c", "stdin"])
def test_a_program_without_a_file_has_no_script(tmp_path, arguments, text):
    """Neither a path nor a text is made up."""
    view, kept = _ran(tmp_path, *arguments, text=text)
    assert view.environment["script"] is None
    assert list(kept) == ["environment/packages"]


def test_each_is_switched_off_by_its_variable(tmp_path):
    """Nothing of it is stored."""
    (tmp_path / "train.py").write_text(PROGRAM)
    _, kept = _ran(tmp_path, "train.py", QUARK_CAPTURE_SCRIPT="0", QUARK_CAPTURE_PACKAGES="0")
    assert kept == {}


def test_other_ranks_keep_nothing_of_it(tmp_path):
    """The code of a job is kept once."""
    from quark.session.capture.capture import Wanted

    wanted = Wanted.from_settings(rank=1)
    assert not (wanted.diff or wanted.packages or wanted.script)


def test_nested_runs_leave_the_code_to_their_parent(capture, view_of, tmp_path):
    """A sweep of a hundred runs in one process holds its packages once; a run of another process holds its own."""
    outer = capture("PACKAGES")
    inner = capture(parent_run_id=outer.run_id)
    for run in (inner, outer):
        run.end_run()
    later = capture(parent_run_id=outer.run_id)
    later.end_run()
    assert [len(view_of(run).artifacts()) for run in (outer, inner, later)] == [1, 0, 1]


def test_an_argument_overrules_the_variables(capture, view_of, monkeypatch):
    """``capture=False`` records none of it, ``capture=True`` all of it."""
    on = capture(capture=True)
    print("a line")
    on.end_run()
    for name in ("DIFF", "OUTPUT", "PACKAGES", "SCRIPT", "SYSTEM"):
        monkeypatch.setenv(f"QUARK_CAPTURE_{name}", "1")
    off = capture(capture=False)
    print("another line")
    off.end_run()
    assert "environment/packages" in [artifact.artifact_key for artifact in view_of(on).artifacts()]
    assert [line.payload["message"] for line in view_of(on).log_lines()] == ["a line"]
    assert (off.capture, view_of(off).artifacts(), view_of(off).log_lines()) == (None, (), ())


def test_the_versions_are_those_that_are_imported():
    """As importlib.metadata tells them, which takes a hundred times as long."""
    expected = {}
    for found in importlib.metadata.distributions():
        expected.setdefault(re.sub(r"[-_.]+", "-", found.name).lower(), found.version)
    listed = dict(line.split("==") for line in installed_packages())
    wrong = {name: (listed.get(name), version) for name, version in expected.items() if listed.get(name) != version}
    assert wrong == {}


def test_the_list_of_packages_is_bounded_and_reads_what_it_finds(tmp_path, monkeypatch):
    """Old and new kinds of metadata, the first of two versions, directories that are gone, and an end."""
    first, second = tmp_path / "first", tmp_path / "second"
    for name in ("My_Package-1.0.dist-info", "old.style-2.1-py3.11.egg-info", "no-version.dist-info", "x.py"):
        (first / name).mkdir(parents=True)
    (second / "my.package-0.9.dist-info").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "gone"), str(first), str(second), str(tmp_path / "a.zip")])
    assert installed_packages() == ["my-package==1.0", "no==version", "old-style==2.1"]
    monkeypatch.setattr(packages_module, "MAX_PACKAGES", 1)
    assert len(installed_packages()) == 1


@pytest.mark.parametrize("content", [b"\0PK", None], ids=["binary", "pipe"])
def test_a_script_that_is_no_text_is_not_kept(tmp_path, content):
    """A zip application has no text; a pipe is not waited for."""
    path = tmp_path / "program"
    if content is None:
        os.mkfifo(path)
    else:
        path.write_bytes(content)
    assert script_text(str(path)) is None


def test_an_installed_program_is_not_copied():
    """The script of pytest is known by its version."""
    assert script_text(pytest.__file__) is None


def test_a_long_script_is_cut_and_says_so(tmp_path, monkeypatch):
    """At the end of a line, with a mark."""
    monkeypatch.setattr(script_module, "MAX_BYTES", 100)
    path = tmp_path / "long.py"
    path.write_text("".join(f"x = {number}\n" for number in range(1000)))
    text = script_text(str(path)) or ""
    assert text.endswith("\n# [cut here: the file is longer]\n")
    assert len(text) < 150


@pytest.mark.parametrize(
    ("path", "key"),
    [("/a/train.py", "train.py"), ("/a/größe 2.py", "gr-e-2.py"), ("/a/__main__.py", "main__.py"), ("/ü", "script")],
)
def test_any_name_of_a_script_makes_a_key(path, key):
    """The name of the file, as far as a key may hold it."""
    assert script_key(path) == key


def test_the_path_of_a_script_may_be_anything(monkeypatch):
    """An embedding program may set what it likes."""
    for value in (None, 5, "<stdin>"):
        monkeypatch.setattr(sys.modules["__main__"], "__file__", value, raising=False)
        assert script_path() is None


def test_the_cells_of_a_notebook_are_its_script(monkeypatch):
    """In the order in which they ran, without secrets; the last ones where they are too many.

    IPython is not among what the suite installs: an object with its list of cells stands in for it.
    """
    cells = ["", "import quark", "  ", "token = 'hunter2-canary'", 5, "run.log({'a': 1})"]
    shell = types.SimpleNamespace(user_ns={"In": cells})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]
    assert notebook_text() == (
        "# %% [1]\nimport quark\n\n# %% [3]\ntoken = '[redacted]'\n\n# %% [5]\nrun.log({'a': 1})\n"
    )
    monkeypatch.setattr(script_module, "MAX_BYTES", 40)
    assert notebook_text() == "# %% [5]\nrun.log({'a': 1})\n"
    shell.user_ns.clear()
    assert notebook_text() is None


def test_the_cells_are_those_of_the_whole_run(capture, view_of, monkeypatch):
    """They are kept when the run ends, and a slow list of packages does not push them out."""
    cells = ["start"]
    monkeypatch.setattr("quark.session.capture.capture.notebook_text", lambda: "\n".join(cells))
    monkeypatch.setattr("quark.session.capture.capture.installed_packages", lambda: time.sleep(0.5) or [])
    monkeypatch.setattr("quark.session.capture.capture.CLOSE_S", 0.1)
    run = capture("SCRIPT", "PACKAGES")
    cells.append("more")
    run.end_run()
    view = view_of(run)
    assert [view.load(one) for one in view.artifacts() if one.artifact_key.endswith("notebook")] == ["start\nmore"]


def test_what_comes_after_the_end_is_left_out_without_a_warning(capture, monkeypatch, caplog):
    """On a busy machine the list of packages may take longer than the end of a short run waits; nobody is to blame."""
    monkeypatch.setattr("quark.session.capture.capture.installed_packages", lambda: time.sleep(1.0) or [])
    monkeypatch.setattr("quark.session.capture.capture.CLOSE_S", 0.1)
    monkeypatch.setattr("quark.session.capture.capture.CANCEL_S", 0.1)
    capture("PACKAGES").end_run()
    time.sleep(1.5)
    assert not caplog.records
