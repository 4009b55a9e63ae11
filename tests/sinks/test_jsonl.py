"""JsonlSink: what stands in the file, torn ends, several writers, changes of files."""

import json
import logging
import os
import signal
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quark.errors import ClosedError, ConfigurationError
from quark.records.base import Origin
from quark.sinks.jsonl import JsonlSink
from quark.testing import event_line, make_batch, make_manifest, metric_lines, run_line, wide_lines

from .files import ORIGIN, decoded, numbers, opened, written


def test_the_bytes_of_the_journal_stand_under_a_header(tmp_path):
    """A file is a header that says whose records follow, and then the journal's own bytes, lifecycle lines too."""
    path = tmp_path / "deep" / "er" / "run.jsonl"
    batch = make_batch(ORIGIN, [run_line("tag", {"tag": "x"}), *metric_lines(2), *wide_lines(1), event_line("note")])
    written(path, batch)
    header, rest = path.read_bytes().split(b"\n", 1)
    assert rest == batch.data
    told = json.loads(header)
    assert isinstance(told.pop("time"), int)
    assert told == {
        "kind": "writer", "sequence": 0, "run_id": "run-1", "writer_id": "writer-a", "rank": 0, "attempt": 1,
        "schema_version": 1, "project": "digits",
    }  # fmt: skip


@pytest.mark.parametrize("address", ["s3://bucket/run.jsonl", "s3:/bucket/run.jsonl", "https://u:PW@h/run.jsonl"])
def test_an_address_is_no_file(address, tmp_path, monkeypatch):
    """It is refused, without its password, instead of becoming a local file of that name."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="got the address") as caught:
        JsonlSink(address)
    assert "PW" not in str(caught.value) and list(tmp_path.iterdir()) == []


def test_only_the_owner_may_read_it(tmp_path):
    """Records may hold anything, so the file is nobody else's to read."""
    written(tmp_path / "run.jsonl", make_batch(ORIGIN, metric_lines(1)))
    assert (tmp_path / "run.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_body_cannot_overwrite_the_envelope(tmp_path):
    """Fields of a record that are called like the envelope's stay inside the body."""
    payload = {"kind": "writer", "sequence": 99, "writer_id": "writer-b"}
    written(tmp_path / "run.jsonl", make_batch(ORIGIN, [event_line("note", payload=payload)]))
    assert decoded(tmp_path / "run.jsonl")[1]["sequence"] == 0
    again = opened(tmp_path / "run.jsonl")
    assert (again.position("writer-b"), again.position("writer-a")) == (0, 1)
    again.close()


def test_existing_content_stays(tmp_path):
    """Lines that others wrote stay byte for byte, also a last one that lacks its newline."""
    path = tmp_path / "run.jsonl"
    path.write_bytes(b'{"mine": 1}\nplain text\n{"whole": 2}')
    written(path, make_batch(ORIGIN, metric_lines(1)))
    assert path.read_bytes().startswith(b'{"mine": 1}\nplain text\n{"whole": 2}\n{"kind":"writer"')


def test_text_of_others_without_newline_stays(tmp_path):
    """What does not even begin like a record is none of ours to cut."""
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"notes of mine")
    written(path, make_batch(ORIGIN, metric_lines(1)))
    assert path.read_bytes().startswith(b'notes of mine\n{"kind":"writer"')


_WHOLE = [*metric_lines(3), event_line("note", payload={"text": 'é{\\"🔥'}), *wide_lines(2)]


@settings(max_examples=60, deadline=None, database=None)
@given(st.data())
def test_a_file_cut_anywhere(data):
    """Cut at any byte, with zeros of a power loss behind or not: whole lines stay, and all records arrive once."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "run.jsonl"
        batch = make_batch(ORIGIN, _WHOLE)
        written(path, batch, fsync="never")
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        zeros = data.draw(st.sampled_from([0, 0, 1, 5000]))
        path.write_bytes(whole[:cut] + b"\0" * zeros)
        sink = opened(path, fsync="never")
        kept = whole[:cut].count(b"\n")
        position = sink.position("writer-a")
        assert max(0, kept - 1) <= position <= kept
        sink.write(batch)
        sink.close()
        assert numbers(path) == list(range(len(_WHOLE)))
        assert path.read_bytes().startswith(whole[:cut][: whole[:cut].rfind(b"\n") + 1])


def test_every_cut_of_the_last_line(tmp_path):
    """A last line torn at every one of its bytes is cut, and the next record is never glued to it."""
    path = tmp_path / "run.jsonl"
    batch = make_batch(ORIGIN, metric_lines(2))
    written(path, batch, fsync="never")
    whole = path.read_bytes()
    last = whole.rfind(b"\n", 0, len(whole) - 1) + 1
    for cut in range(last, len(whole)):
        path.write_bytes(whole[:cut])
        written(path, batch, fsync="never")
        assert numbers(path) == [0, 1]


def test_a_new_attempt_appends(tmp_path):
    """A resumed run writes on under a header of its own, and each writer's position is told from the file."""
    path = tmp_path / "run.jsonl"
    second = Origin("run-1", "writer-b", attempt=2)
    written(path, make_batch(ORIGIN, metric_lines(3)))
    written(path, make_batch(second, metric_lines(5)), origin=second)
    sink = opened(path)
    assert [sink.position(name) for name in ("writer-a", "writer-b", "writer-c")] == [3, 5, 0]
    sink.close()
    assert [line["attempt"] for line in decoded(path) if line["kind"] == "writer"] == [1, 2]


def test_the_same_writer_name_in_another_run(tmp_path):
    """Two runs whose writers are called alike do not take each other's position."""
    path = tmp_path / "run.jsonl"
    written(path, make_batch(ORIGIN, metric_lines(3)))
    other = Origin("run-2", "writer-a")
    written(path, make_batch(other, metric_lines(2)), origin=other)
    assert numbers(path) == [0, 1, 2, 0, 1]


def test_the_header_is_found_far_from_the_end(tmp_path):
    """The position is right when the header lies several blocks of reading before the end."""
    path = tmp_path / "run.jsonl"
    big = [event_line("note", payload={"text": "x" * 300_000}) for _ in range(12)]
    written(path, make_batch(ORIGIN, big), fsync="never")
    sink = opened(path)
    assert sink.position("writer-a") == 12
    sink.close()


def test_ranks_write_files_of_their_own(tmp_path):
    """Under distributed training the rank stands in the name; a single process has the plain name."""
    for rank in (0, 3):
        origin = Origin("run-1", f"writer-{rank}", rank)
        written(tmp_path / "run.jsonl", make_batch(origin, metric_lines(1)), origin=origin, world_size=4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.rank0.jsonl", "run.rank3.jsonl"]


def test_a_second_process_steps_aside(tmp_path, caplog):
    """While one writes a file, another gets a name of its own and says so once; later it goes on there."""
    path = tmp_path / "run.jsonl"
    first = opened(path)
    first.write(make_batch(ORIGIN, metric_lines(2)))
    other = Origin("run-2", "1234")
    with caplog.at_level(logging.WARNING, "quark"):
        written(path, make_batch(other, metric_lines(3)), make_batch(other, metric_lines(1), 3), origin=other)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    first.close()
    assert numbers(tmp_path / "run.w1234.jsonl") == [0, 1, 2, 3]
    again = opened(path, other)
    assert again.position("1234") == 4
    again.close()
    assert numbers(path) == [0, 1]


def test_a_writer_that_lives_is_not_written_twice(tmp_path):
    """`quark sync` beside a process that still writes is refused, so that nothing arrives in two files."""
    path = tmp_path / "run.jsonl"
    living = opened(path)
    living.write(make_batch(ORIGIN, metric_lines(2)))
    beside = opened(path)
    with pytest.raises(BlockingIOError, match="another process"):
        beside.write(make_batch(ORIGIN, metric_lines(2)))
    living.close()
    beside.write(make_batch(ORIGIN, metric_lines(3)))
    beside.close()
    assert numbers(path) == [0, 1, 2]


def test_a_forked_child_does_not_keep_the_file(tmp_path):
    """A child that inherited the open file (a data loader's worker) does not lock it beyond the sink's end."""
    path = tmp_path / "run.jsonl"
    sink = opened(path)
    sink.write(make_batch(ORIGIN, metric_lines(1)))
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        sink.close()
        written(path, make_batch(ORIGIN, metric_lines(2)))
        assert numbers(path) == [0, 1]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_files_change_at_their_size(tmp_path):
    """No file grows beyond max_bytes, each begins with a header, and all records are there once, in order."""
    path = tmp_path / "run.jsonl"
    batches = [make_batch(ORIGIN, metric_lines(40, first_step=first), first) for first in (0, 40, 80)]
    written(path, *batches, batches[-1], max_bytes=2000)
    files = [path, *(tmp_path / f"run.{number}.jsonl" for number in range(1, len(list(tmp_path.iterdir()))))]
    assert len(files) > 3
    assert all(file.stat().st_size <= 2000 and decoded(file)[0]["kind"] == "writer" for file in files)
    assert [number for file in files for number in numbers(file)] == list(range(120))
    again = opened(path, max_bytes=2000)
    assert again.position("writer-a") == 120
    again.close()


def test_the_oldest_files_go(tmp_path):
    """max_files keeps the newest files and never deletes the open one; the position survives it."""
    path = tmp_path / "run.jsonl"
    sink = written(path, make_batch(ORIGIN, metric_lines(100)), max_bytes=1000, max_files=2)
    names = sorted(tmp_path.iterdir(), key=lambda file: int(file.name.split(".")[1]))
    assert len(names) == 2
    assert numbers(names[-1])[-1] == 99
    assert sink.position("writer-a") == 100
    again = opened(path, max_bytes=1000, max_files=2)
    assert again.position("writer-a") == 100
    again.close()


def test_a_line_larger_than_a_file(tmp_path):
    """A line that is larger than max_bytes gets a file for itself instead of being refused or looped over."""
    path = tmp_path / "run.jsonl"
    lines = [*metric_lines(1), event_line("note", payload={"text": "x" * 5000}), *metric_lines(1)]
    written(path, make_batch(ORIGIN, lines), max_bytes=1000)
    assert len(list(tmp_path.iterdir())) == 3
    assert sorted(number for file in tmp_path.iterdir() for number in numbers(file)) == [0, 1, 2]


def test_a_crash_right_after_the_change_of_files(tmp_path):
    """A new file that a crash left empty does not hide the position, which stands in the one before it."""
    path = tmp_path / "run.jsonl"
    written(path, make_batch(ORIGIN, metric_lines(4)))
    (tmp_path / "run.1.jsonl").touch()
    sink = opened(path)
    assert sink.position("writer-a") == 4
    sink.write(make_batch(ORIGIN, metric_lines(2, first_step=4), 4))
    sink.close()
    assert numbers(tmp_path / "run.1.jsonl") == [4, 5]


def test_a_moved_file_is_begun_anew(tmp_path, caplog):
    """Somebody rotates or deletes the file while it is written: the records go on under its name."""
    path = tmp_path / "run.jsonl"
    sink = opened(path)
    sink.write(make_batch(ORIGIN, metric_lines(2)))
    path.rename(tmp_path / "elsewhere")
    with caplog.at_level(logging.WARNING, "quark"):
        sink.write(make_batch(ORIGIN, metric_lines(2), 2))
    sink.close()
    assert (numbers(tmp_path / "elsewhere"), numbers(path)) == ([0, 1], [2, 3])
    assert "moved or deleted" in caplog.text


@pytest.mark.parametrize("fsync", ["always", "interval", "never"])
def test_when_it_is_brought_to_the_disk(tmp_path, monkeypatch, fsync):
    """always: after every batch; interval: when the interval is over; never: never; at the end all but never do."""
    calls = []
    monkeypatch.setattr(os, "fdatasync", calls.append)
    now = [0.0]
    sink = opened(tmp_path / "run.jsonl", fsync=fsync, fsync_interval_s=10, monotonic=lambda: now[0])
    counts = []
    for first, at in enumerate((1.0, 2.0, 12.0, 13.0)):
        now[0] = at
        sink.write(make_batch(ORIGIN, metric_lines(1), first))
        counts.append(len(calls))
    sink.on_stop(None, "completed")
    counts.append(len(calls))
    sink.close()
    assert counts == {"always": [1, 2, 3, 4, 4], "interval": [0, 0, 1, 1, 2], "never": [0, 0, 0, 0, 0]}[fsync]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"path": ""}, "name of a file"),
        ({"path": "runs/"}, "runs/run.jsonl"),
        ({"path": "run\0.jsonl"}, "name of a file"),
        ({"path": "x", "fsync": "sometimes"}, "always"),
        ({"path": "x", "fsync_interval_s": -1.0}, "fsync_interval_s"),
        ({"path": "x", "max_bytes": 0}, "max_bytes"),
        ({"path": "x", "max_files": 2}, "max_bytes too"),
        ({"path": "x", "max_bytes": 10, "max_files": True}, "max_files"),
    ],
)
def test_options_that_cannot_be_used(options, words):
    """A wrong option is told when the sink is made, with what to do."""
    with pytest.raises(ConfigurationError, match=words):
        JsonlSink(**options)


def test_a_directory_is_no_file(tmp_path):
    """The path of a directory is refused with the name that was probably meant."""
    with pytest.raises(ConfigurationError, match=r"run\.jsonl"):
        JsonlSink(tmp_path)


def test_a_pipe_is_no_file(tmp_path):
    """A named pipe is refused instead of being waited for."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="regular file"):
        opened(tmp_path / "pipe").write(make_batch(ORIGIN, metric_lines(1)))


def test_the_path_is_fixed_when_the_sink_is_made(tmp_path, monkeypatch):
    """A working directory that changes later does not move the file, nor what `quark sync` is told."""
    monkeypatch.chdir(tmp_path)
    sink = JsonlSink("run.jsonl")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    sink.write(make_batch(ORIGIN, metric_lines(1)))
    sink.close()
    assert sink.spec()["path"] == str(tmp_path / "run.jsonl")
    assert numbers(tmp_path / "run.jsonl") == [0]


def test_without_a_path_it_lies_in_the_runs_directory(tmp_path):
    """``JsonlSink()`` writes run.jsonl beside the run's other files."""
    sink = JsonlSink()
    sink.on_start(make_manifest(ORIGIN, run_path=str(tmp_path)))
    sink.write(make_batch(ORIGIN, metric_lines(1)))
    assert sink.file == tmp_path / "run.jsonl"
    sink.close()


def test_a_closed_sink_takes_nothing(tmp_path):
    """A write after close raises instead of vanishing."""
    sink = written(tmp_path / "run.jsonl", make_batch(ORIGIN, metric_lines(1)))
    with pytest.raises(ClosedError, match="closed"):
        sink.write(make_batch(ORIGIN, metric_lines(1), 1))
