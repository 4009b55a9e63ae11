"""Runs that record something of what the rest of the suite has switched off."""

import pytest

import quark


@pytest.fixture
def capture(monkeypatch, tmp_path):
    """``capture("DIFF")`` starts a run that captures that; ``view_of`` reads a run when it has ended."""

    def start(*names, **arguments):
        for name in names:
            monkeypatch.setenv(f"QUARK_CAPTURE_{name}", "1")
        return quark.start_run(project="p", storage_dir=tmp_path / "store", **arguments)

    return start


@pytest.fixture
def view_of(tmp_path):
    """The stored run behind a session that has ended."""
    opened = []

    def view(run):
        store = quark.open(tmp_path / "store")
        opened.append(store)
        return store.run(run.run_id)

    yield view
    for store in opened:
        store.close()
