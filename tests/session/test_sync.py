"""What a dead process left behind reaches the store and the other sinks, once, by whoever comes next."""

import os
import signal
import subprocess
import sys
import time

import quark
from quark.delivery.place import WriterPlace
from quark.records.base import Origin
from quark.session.placement import Placement
from quark.session.sync import leftover_runs, sync

DYING = """
import os, sys, quark
run = quark.start_run(project="dying", storage_dir=sys.argv[1], trackers=[quark.JsonlSink(sys.argv[1] + "/run.jsonl")])
for n in range(100):
    quark.MetricsLogger(run).log("m", float(n), step=n)
run.add_tag("t")
print(run.run_id, flush=True)
os.kill(os.getpid(), 9)
"""


def die(directory) -> str:
    process = subprocess.run([sys.executable, "-c", DYING, str(directory)], capture_output=True, text=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    return process.stdout.strip()


def stored(directory, run_id):
    with quark.open(directory, sync=False) as store:
        view = store.run(run_id)
        return view.status, view.reason, view.tags, view.series("m").values.tolist()


LOST = ("failed", "lost", ("t",), [float(n) for n in range(100)])


def test_sync_delivers_and_closes_as_lost(tmp_path):
    """Everything is in the store and in the JSONL file once, the run reads failed and lost, the journal is gone."""
    run_id = die(tmp_path)
    report = sync(tmp_path)
    assert report.lost == [run_id]
    assert not report.problems
    assert stored(tmp_path, run_id) == LOST
    lines = (tmp_path / "run.jsonl").read_text().splitlines()
    assert sum('"kind":"metric"' in line for line in lines) == 100
    assert '"reason":"lost"' in lines[-1]
    assert not any((tmp_path / ".quark" / "journal").iterdir())
    again = sync(tmp_path)
    assert (again.lost, again.delivered) == ([], {})


def test_opening_a_folder_and_starting_a_run_do_it_too(tmp_path):
    """Reading, and the next run in the same directory, bring a dead process's records home."""
    first = die(tmp_path)
    with quark.open(tmp_path) as store:
        assert store.run(first).status == "failed"
    second = die(tmp_path)
    with quark.start_run(project="next", storage_dir=tmp_path):
        pass
    assert stored(tmp_path, second) == LOST


def test_a_living_run_is_left_alone(tmp_path):
    """sync touches nothing of a process that lives, and says so."""
    with quark.start_run(project="alive", storage_dir=tmp_path) as run:
        quark.MetricsLogger(run).log("m", 1.0, step=0)
        report = sync(tmp_path)
        assert (report.alive, report.lost) == ([run.run_id], [])
        assert run.status == "running"
    assert stored(tmp_path, run.run_id)[:2] == ("completed", "completed")


def test_a_lost_run_is_resumed_with_its_history(tmp_path):
    """A run that was lost goes on as a further attempt, without a sync by hand."""
    run_id = die(tmp_path)
    with quark.resume_run(run_id=run_id, storage_dir=tmp_path) as run:
        quark.MetricsLogger(run).log("m", 100.0, step=100)
    status, reason, _, values = stored(tmp_path, run_id)
    assert (status, reason, values) == ("completed", "completed", [float(n) for n in range(101)])


def test_two_syncs_at_once_deliver_once(tmp_path):
    """Several processes that find the same leftovers do not deliver them twice."""
    run_ids = [die(tmp_path) for _ in range(2)]
    code = "import sys; from quark.session.sync import sync; sync(sys.argv[1])"
    processes = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    sync(tmp_path)
    for run_id in run_ids:
        assert stored(tmp_path, run_id) == LOST


def test_a_damaged_journal_stops_nobody(tmp_path):
    """A journal without its description is reported and left; the others are delivered."""
    broken, good = die(tmp_path), die(tmp_path)
    (place,) = (tmp_path / ".quark" / "journal" / broken).iterdir()
    (place / "writer.json").write_text("{")
    report = sync(tmp_path)
    assert report.lost == [good]
    assert any(broken in problem for problem in report.problems)
    assert place.exists()


def test_a_forked_child_is_silent_and_harmless(tmp_path):
    """A child that logs, flushes, ends the run and exits changes nothing of its parent's run."""
    with quark.start_run(project="fork", storage_dir=tmp_path) as run:
        metrics = quark.MetricsLogger(run)
        metrics.log("m", 0.0, step=0)
        child = os.fork()
        if child == 0:
            metrics.log("m", 66.0, step=66)
            run.log({"m": 66.0}, step=67)
            run.add_log("child")
            run.flush()
            run.end_run("failed")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        metrics.log("m", 1.0, step=1)
    assert stored(tmp_path, run.run_id)[3] == [0.0, 1.0]
    assert run.status == "completed"


def test_an_orphaned_child_does_not_keep_a_dead_run_alive(tmp_path):
    """A DataLoader worker that outlives its killed parent does not stop sync from closing the run."""
    fork = "os.fork() or __import__('time').sleep(30)"
    code = DYING.replace("os.kill(os.getpid(), 9)", f"{fork}\nos.kill(os.getpid(), 9)")
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    run_id = process.stdout.readline().strip()
    assert process.wait(30) == -signal.SIGKILL
    try:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and not (report := sync(tmp_path)).lost:
            time.sleep(0.05)
        assert report.lost == [run_id]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()


def test_dataloader_workers_do_not_disturb(tmp_path):
    """Real forked loader workers that log on their own leave the run as the parent wrote it."""
    torch = __import__("torch")

    class Data(torch.utils.data.Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            quark.current_run().log({"m": 99.0}, step=99)
            return index

    with quark.start_run(project="loader", storage_dir=tmp_path) as run:
        loader = torch.utils.data.DataLoader(Data(), num_workers=2, batch_size=2)
        for number, _ in enumerate(run.steps(loader, progress=False)):
            run.log({"m": float(number)})
    assert stored(tmp_path, run.run_id)[3] == [0.0, 1.0, 2.0, 3.0]


def test_a_shared_journal_directory_keeps_stores_apart(tmp_path, monkeypatch):
    """With one QUARK_JOURNAL_DIR for several stores, each run comes home to its own store."""
    monkeypatch.setenv("QUARK_JOURNAL_DIR", str(tmp_path / "journals"))
    one, other = tmp_path / "one", tmp_path / "other"
    run_id = die(one)
    assert sync(other).lost == []
    assert sync(one).lost == [run_id]
    assert stored(one, run_id) == LOST


def test_a_process_that_died_before_its_first_record(tmp_path):
    """A journal without a line is no run: it is cleared away, and keeps no other run from being delivered."""
    placement = Placement(tmp_path)
    place = WriterPlace(placement.journals("empty") / "w")
    place.create(Origin("empty", "w"), {"sinks": [], "storage_dir": str(tmp_path)})
    place.lock.release()
    with quark.start_run(project="p", storage_dir=tmp_path) as run:
        run.log({"loss": 1.0}, step=0)
    report = sync(tmp_path)
    assert (report.problems, report.lost, leftover_runs(placement)) == ([], [], [])
    with quark.open(tmp_path) as store:
        assert [view.id for view in store.runs()] == [run.run_id]
