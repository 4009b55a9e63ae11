"""A run that its owner shares: what starts a run inside of it joins, and the owner ends it."""

import subprocess
import sys

import pytest

import quark


def test_a_start_inside_of_a_shared_run_joins_it(tmp_path):
    """One run, with the configuration, tags and trackers of both; the block inside does not end it."""
    told = quark.MemorySink()
    with quark.start_run(project="host", storage_dir=tmp_path, tags=["a"]) as host:
        host.share()
        with quark.start_run(project="guest", config={"lr": 1, "token": "hush"}, tags=["b"], trackers=[told]) as guest:
            assert guest is host
            guest.log({"loss": 1.0}, step=0)
        assert host.status == "running"
        host.share(False)
    with quark.open(tmp_path) as store:
        (view,) = store.runs()
        assert (view.tags, view.status, view.project) == (("a", "b"), "completed", "host")
        assert view.config == {"lr": 1, "token": "[redacted]"}
    assert told.batches


def test_a_run_that_is_not_shared_is_not_joined(tmp_path):
    """Two nested runs are two, and so is one that names another id."""
    with quark.start_run(project="outer", storage_dir=tmp_path) as outer:
        with quark.start_run(project="inner", storage_dir=tmp_path) as inner:
            assert inner is not outer
        outer.share()
        with quark.start_run(project="named", run_id="mine", storage_dir=tmp_path) as named:
            assert named.run_id == "mine"
        outer.share(False)
        assert outer.status == "running"


@pytest.mark.parametrize(("reason", "status"), [("max_steps", "completed"), ("error", "failed")])
def test_the_end_that_is_said_inside_is_that_of_the_run(tmp_path, reason, status):
    """Unless its owner knows better."""
    with quark.start_run(project="host", storage_dir=tmp_path) as host:
        host.share()
        host.finish(reason)
        assert host.status == "running"
        host.share(False)
    assert (host.context.run.reason, host.status) == (reason, status)


def test_an_exception_that_leaves_both_is_told_once(tmp_path):
    """The run failed, and its log says why in one message."""
    error = ValueError("broken")
    with pytest.raises(ValueError, match="broken"), quark.start_run(project="host", storage_dir=tmp_path) as host:
        host.share()
        try:
            with quark.start_run(project="guest"):
                raise error
        finally:
            host.share(False)
    with quark.open(tmp_path) as store:
        (view,) = store.runs()
        assert view.status == "failed"
        assert [event.payload["message"] for event in view.events("runtime_error")] == ["ValueError: broken"]


def test_a_shared_run_ends_with_its_process(tmp_path):
    """Nobody took it back; the interpreter's end does."""
    code = (
        "import quark, sys\nrun = quark.start_run(project='host', storage_dir=sys.argv[1])\nrun.share()\n"
        "quark.start_run().log({'loss': 1.0}, step=0)\nraise ValueError('broken')"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    with quark.open(tmp_path) as store:
        (view,) = store.runs()
        assert (view.status, view.keys()) == ("failed", ["loss"]), done.stderr
