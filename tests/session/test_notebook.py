"""In a notebook: a session shows itself, and a cell that runs again ends the run that it had opened."""

import hashlib
import logging
import sys
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import pytest

import quark
from quark.delivery import exits

REAL = find_spec("IPython") is not None


class Shell:
    """A double of IPython's InteractiveShell: runs cells in one namespace, names their code as IPython does."""

    def __init__(self, namespace):
        self.user_ns = {"__name__": "__main__", **namespace}
        self.execution_count = 1
        self.events = self
        self.callbacks = {"post_run_cell": []}

    def register(self, event, function):
        self.callbacks[event].append(function)

    def unregister(self, event, function):
        self.callbacks[event].remove(function)

    def run_cell(self, code, store_history=True):
        name = f"<ipython-input-{self.execution_count}-{hashlib.sha1(code.encode()).hexdigest()[:12]}>"
        failed = None
        try:
            exec(compile(code, name, "exec"), self.user_ns)
        except BaseException as error:
            failed = error
        for function in list(self.callbacks["post_run_cell"]):
            function(SimpleNamespace(error_before_exec=None, error_in_exec=failed))
        self.execution_count += 1


@pytest.fixture(params=["double", *(["IPython"] if REAL else [])])
def shell(request, monkeypatch, tmp_path):
    namespace = {"quark": quark, "place": tmp_path}
    if request.param == "double":
        made = Shell(namespace)
        module = ModuleType("IPython")
        module.get_ipython = lambda: made
        monkeypatch.setitem(sys.modules, "IPython", module)
        yield made
        return
    from IPython.core.interactiveshell import InteractiveShell

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    made = InteractiveShell.instance(user_ns=namespace)
    yield made
    made.history_manager.end_session()
    InteractiveShell.clear_instance()


OPEN = """
run = quark.start_run(project='cells', storage_dir=place)
runs = globals().setdefault('runs', [])
runs.append(run)
"""


def ends(shell):
    return [(run.status, run.context.run.reason) for run in shell.user_ns["runs"]]


def test_a_cell_that_runs_again_ends_its_earlier_run(shell, caplog):
    """The earlier run of the cell is interrupted, says why, and one notice names it; the new one records on."""
    shell.run_cell(OPEN, store_history=True)
    with caplog.at_level(logging.WARNING, "quark"):
        shell.run_cell(OPEN, store_history=True)
    first, second = shell.user_ns["runs"]
    assert ends(shell) == [("interrupted", "interrupted"), ("running", None)]
    (notice,) = [record.getMessage() for record in caplog.records if "runs again" in record.getMessage()]
    assert first.run_id in notice
    with quark.open(first.storage_dir) as store:
        (event,) = store.run(first.run_id).events(event_type="runtime_interruption")
    assert "run again" in event.payload["message"]
    second.end_run()


KERNEL_ENDS = {
    # the last cell: (code, status, what is kept)
    "a cell has failed": ("1 / 0", "failed", "ZeroDivisionError: division by zero"),
    "a cell was interrupted": ("raise KeyboardInterrupt", "interrupted", "KeyboardInterrupt"),
    "a cell has exited": ("import sys; sys.exit(3)", "interrupted", "SystemExit: 3"),
    "a cell has exited behind an exception": (
        "import sys\ntry: 1 / 0\nexcept ArithmeticError: sys.exit(1)", "failed", "ZeroDivisionError: division by zero"),
    "all cells ran through": ("pass", "interrupted", "InterruptedError: the interactive session ended"),
    "a cell has failed, the next one not": (
        "1 / 0", "interrupted", "InterruptedError: the interactive session ended"),
    "the run has ended": ("run.end_run()\n1 / 0", "completed", None),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:To exit")
@pytest.mark.parametrize("way", KERNEL_ENDS)
def test_a_kernel_ends(shell, monkeypatch, way):
    """A kernel that is shut down or restarted ends the runs that are still open: by the last cell, never completed."""
    code, status, message = KERNEL_ENDS[way]
    monkeypatch.setattr(sys, "ps1", "In : ", raising=False)
    shell.run_cell(OPEN, store_history=True)
    shell.run_cell(code, store_history=True)
    if way.endswith("the next one not"):
        shell.run_cell("1", store_history=True)
    exits.end_open_runs()
    (run,) = shell.user_ns["runs"]
    with quark.open(run.storage_dir) as store:
        events = store.run(run.run_id).events()
        kept = [event.payload["message"] for event in events if event.event_type.startswith("runtime_")]
    assert (run.status, len(kept)) == (status, message is not None)
    assert all(text.startswith(message) for text in kept)


def test_other_cells_and_one_execution_may_hold_several_runs(shell):
    """Runs of other cells stay open, and so do two that one execution opens."""
    shell.run_cell(OPEN, store_history=True)
    shell.run_cell(OPEN + "\n" + OPEN, store_history=True)
    assert ends(shell) == [("running", None)] * 3
    for run in shell.user_ns["runs"]:
        run.end_run()


def test_a_cell_that_failed_before_runs_again(shell):
    """An exception in a cell does not end the process: the run that it left open ends when the cell runs again."""
    loop = (
        "loop = quark.Loop(project='cells', storage_dir=place)\n"
        "loop.task('work')(lambda: {'x': 1.0})\n"
        "runs = globals().setdefault('runs', [])\n"
        "for state in loop.start(max_steps=2):\n"
        "    runs.append(loop.run)\n"
        "    if len(runs) == 1: raise ValueError('typo')\n"
    )
    shell.run_cell(loop, store_history=True)
    assert ends(shell) == [("running", None)]
    shell.run_cell(loop, store_history=True)
    assert ends(shell)[0] == ("interrupted", "interrupted")
    assert ends(shell)[-1] == ("completed", "max_steps")


def test_a_cell_with_an_identity_is_the_same_after_an_edit(monkeypatch, tmp_path):
    """Where the front end names its cells, an edited cell is still the one that opened the run."""
    shell = Shell({"quark": quark, "place": tmp_path})
    shell.get_parent = lambda: {"metadata": {"cellId": "abc"}}
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    shell.run_cell(OPEN)
    shell.run_cell(OPEN + "  # edited")
    assert [status for status, _ in ends(shell)] == ["interrupted", "running"]
    shell.user_ns["run"].end_run()


def test_a_session_shows_itself_while_it_runs_and_after(tmp_path):
    """Status, the last metrics with a chart, and alerts; text that is HTML stays text."""
    with quark.start_run(project="p", name="<script>x</script>", storage_dir=tmp_path) as run:
        assert "no metrics" in run._repr_html_()
        for step in range(3):
            run.log({"loss": 1.0 / (step + 1)}, step=step)
        shown = run._repr_html_()
        assert "<svg" in shown and "0.333333" in shown and "running" in shown
        assert "<script" not in shown and "&lt;script&gt;" in shown
    assert "completed" in run._repr_html_()


def test_a_session_that_records_nothing_shows_its_status(monkeypatch):
    """QUARK_DISABLE=1: there is nothing to draw, and nothing fails."""
    monkeypatch.setenv("QUARK_DISABLE", "1")
    with quark.start_run(project="p") as run:
        assert "running" in run._repr_html_()
    assert "completed" in run._repr_html_()
