"""What every test starts from: no settings of the machine that runs it, no progress bars."""

import os
import signal
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from .children import CAPTURE_NOTHING
from .postgres import _template, bare_postgres_url, postgres_server, postgres_url  # noqa: F401  fixtures for all areas

# No deadline, and drawing may be slow: the machine may be busy. No database: tests leave nothing behind, and a failure
# prints its example.
slow = [HealthCheck.too_slow]
settings.register_profile("quark", deadline=None, suppress_health_check=slow, database=None, print_blob=True)
settings.load_profile("quark")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background, where Ctrl-C would reach no test
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The workers of pytest-xdist share the cores already. Here, as torch reads it when it is imported; children inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.update(CAPTURE_NOTHING)  # for fixtures of a session, which come before the variables of a test

LAUNCHERS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "NODE_RANK", "MASTER_ADDR", "TORCHELASTIC_RUN_ID")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Variables of Quark and of job launchers are those that the test sets, and the user's key is one for tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))
    for name in list(os.environ):
        if name.startswith(("QUARK_", "SLURM_")) or name in LAUNCHERS:
            monkeypatch.delenv(name)
    monkeypatch.setenv("QUARK_PROGRESS", "0")
    monkeypatch.setenv("QUARK_GOODBYE", "0")
    for name, value in CAPTURE_NOTHING.items():  # tests count records, and run in a repository that is being changed
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def _runs_end_with_their_test(_own_environment: None) -> Iterator[None]:
    """A test that leaves a run open leaves its neighbours no current run, no handlers and no thread that beats."""
    yield
    exits = sys.modules.get("quark.delivery.exits")
    if exits is None:
        return
    exits.end_open_runs()
    exits._open.clear()
    exits._give_back()  # again: wandb puts our sys.exit back when it ends after the run that it mirrored
