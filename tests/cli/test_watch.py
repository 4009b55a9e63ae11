"""`quark watch`: the live screen, on a real terminal and without one."""

import math
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import quark
from quark import AlertRecord, LayerSummaryRecord, ParameterSummaryRecord, SystemTelemetryRecord
from quark.cli.watching.charts import ALERT, chart
from quark.cli.watching.data import Watched
from quark.cli.watching.frame import frame
from quark.cli.watching.heat import MARK, Heat, heat_lines, heat_of
from quark.cli.watching.keyboard import split_keys
from quark.cli.watching.state import HEATS, State
from quark.drawing.course import Course

from ..children import child_environment
from ..client.conftest import Service, service  # noqa: F401  a service in a process of its own
from .conftest import Command
from .screen import Screen

HOSTILE = "lo\x1b[2Jss\x1b]0;PWNED\x07\u202eflip"
SPIKE_AT = 1234


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run ``hot`` with a spike, NaN, a gap, alerts, layers, a machine and printed lines; ``calm``; ``hostile``."""
    found = tmp_path_factory.mktemp("watch")
    with quark.start_run(project="p", name="hot", storage_dir=found) as run:
        for step in range(2000):
            if not 1500 < step < 1800:
                loss = 30.0 if step == SPIKE_AT else math.exp(-step / 500) + 0.1
                run.log({"train/loss": loss, "lr": 0.1}, step=step)
            if step % 200 == 0:
                run.log({"val/acc": step / 2000}, step=step)
                record_layers(run, step)
        run.log({"val/acc": math.nan}, step=1900)
        for number, severity in enumerate(("warning", "critical")):
            run.emit(AlertRecord, alert(f"Alert {number}", severity))
        run.emit(SystemTelemetryRecord, {"boundary": "time", "cpu_usage_percent": 42.0})
        run.emit(
            SystemTelemetryRecord, {"boundary": "time", "gpu_index": 0, "gpu_utilization_percent": 87.0}
        )  # fmt: skip
        printed(run, "epoch 1 done", "epoch 2 done")
    with quark.start_run(project="p", name="calm", storage_dir=found) as run:
        for step in range(2000):
            run.log({"train/loss": math.exp(-step / 400) + 0.1}, step=step)
    with quark.start_run(project=HOSTILE, name=HOSTILE, storage_dir=found, run_id="hostile-run") as run:
        run.log({HOSTILE: 1.0, "loss": 2.0}, step=0)
        run.emit(AlertRecord, alert(HOSTILE, "error"))
        printed(run, HOSTILE)
    return found


def alert(title: str, severity: str) -> dict[str, object]:
    return {
        "rule_id": "a_rule", "category": "optimization", "severity": severity, "title": title, "summary": title,
        "fact": f"fact of {title}", "inference": "so it is", "step_start": 3, "actions": ("Lower the rate.",),
        "evidence": ({"kind": "metric", "source": "loss", "summary": f"evidence of {title}"},),
    }  # fmt: skip


def record_layers(run: quark.TrainingSession, step: int) -> None:
    for name in ("conv1", "fc"):
        fields = {"parameter_name": f"{name}.weight", "weight_norm": 1.0, "gradient_norm": 0.1 + step}
        broken = name == "fc" and step == 1000
        metadata = {"nonfinite": ["gradient_norm"]} if broken else {}
        run.emit(ParameterSummaryRecord, {**fields, "metadata": metadata}, step=step)
        run.emit(LayerSummaryRecord, {
            "module_name": name, "module_type": "Linear", "summary_type": "activation", "hook_direction": "forward",
            "std": 1.0,
        }, step=step)  # fmt: skip


def printed(run: quark.TrainingSession, *lines: str) -> None:
    for number, line in enumerate(lines):
        payload = {"message": line, "stream": "stdout", "line": number}
        run.emit(
            quark.EventRecord, {"event_type": "log_line", "severity": "info", "status": None, "payload": payload}
        )  # fmt: skip


# Without a terminal


def test_without_a_terminal_one_picture_is_printed(command: Command, place: Path) -> None:
    """Head, charts with their extremes, alerts, machine, printed lines; and the command ends."""
    answer = command("watch", "hot", "-d", place)
    assert answer.code == 0 and answer.out == command("watch", "hot", "-d", place, "--once").out
    for word in ("hot", "completed", "train/loss", "30", "×1", "▲", "critical: Alert 1", "cpu 42 %", "epoch 2 done"):
        assert word in answer.out
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", answer.out)
    assert max(map(len, answer.out.splitlines())) <= 100


def test_json_is_what_the_picture_shows(command: Command, place: Path) -> None:
    """Values, alerts, machine, printed lines and charts of every run, in one document."""
    document = command("watch", "hot", "calm", "-d", place, "--json").json()
    hot, calm = document["runs"]
    assert (hot["run"]["name"], calm["run"]["name"]) == ("hot", "calm")
    assert hot["step"] == 1999 and hot["metrics"]["val/acc"]["nonfinite"] == 1
    assert [one["title"] for one in hot["alerts"]] == ["Alert 1", "Alert 0"]
    assert [line["payload"]["message"] for line in hot["lines"]] == ["epoch 1 done", "epoch 2 done"]
    assert hot["machine"][1]["gpu_utilization_percent"] == 87.0
    chart = hot["charts"]["train/loss"]
    assert max(chart["high"]) == 30.0 and chart["count"] == 1701
    assert hot["charts"]["val/acc"]["marks"] == [1900.0]
    assert list(command("watch", "hot", "-d", place, "--json", "--filter", "^val").json()["runs"][0]["charts"]) == [
        "val/acc"
    ]


@pytest.mark.parametrize("width", [1, 7, 20, 45, 300])
def test_any_width_will_do(command: Command, place: Path, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """A window can be narrower than a name."""
    command("runs", "-d", place)
    monkeypatch.setenv("COLUMNS", str(width))
    answer = command("watch", "hot", "calm", "-d", place)
    assert answer.code == 0 and max(map(len, answer.out.splitlines())) <= width


def test_no_escape_of_a_name_or_line_passes(command: Command, place: Path) -> None:
    """Names, alerts and printed lines are text, in the picture as in the document."""
    for options in ((), ("--json",)):
        out = command("watch", "hostile-run", "-d", place, *options).out
        assert [letter for letter in out if letter != "\n" and not letter.isprintable()] == []
    assert "PWNED" in command("watch", "hostile-run", "-d", place).out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("nobody",), 1), (("hot", "--filter", "("), 1), (("hot",) * 9, 2), (("hot", "--filter", "nothing"), 0)],
)
def test_what_cannot_be_watched_is_an_error_in_words(
    command: Command, place: Path, arguments: tuple[str, ...], code: int
) -> None:
    """And a filter that nothing passes is no error: the next metric may pass it."""
    answer = command("watch", *arguments, "-d", place)
    assert answer.code == code and bool(answer.err) is (code != 0)


def test_a_run_without_metrics_has_a_picture(command: Command, tmp_path: Path) -> None:
    """It has just begun, or never recorded any."""
    quark.start_run(project="p", name="empty", storage_dir=tmp_path).end_run()
    assert "no metrics yet" in command("watch", "-d", tmp_path).out


def test_the_runs_of_a_service_are_watched(command: Command, service: Service) -> None:  # noqa: F811
    """As those of a directory."""
    service.start()
    with quark.start_run(project="p", name="there") as run:
        for step in range(50):
            run.log({"loss": 1.0 / (step + 1)}, step=step)
        record_layers(run, 7)
        run.flush()
        assert command("watch", "there", "--json").json()["runs"][0]["charts"]["loss"]["count"] == 50
        assert "running" in command("watch").out


# Keys


def test_keys_are_read_one_by_one() -> None:
    """Arrows and pages have names, an escape alone is a key, what is not known is none."""
    assert split_keys(b"q/\x1b[A\x1b[6~\x1bOB\x1b") == ["q", "/", "up", "page down", "down", "escape"]
    assert split_keys("é\x1b[200~x\x1b[I".encode()) == ["é", "x"]
    assert split_keys(b"\x1b\x1b[B\xff") == ["escape", "down"]


def pressed(*keys: str, alerts: int = 2) -> State:
    state = State()
    for key in keys:
        state.press(key, alerts)
    return state


def test_every_key_does_what_the_help_says() -> None:
    """Filters, columns, pages, panes, axes, heat maps, alerts; a key that is not known does nothing."""
    assert pressed("q").quit and pressed("\x03").quit
    assert pressed("/", *"loss", "\r").filter == "loss"
    assert pressed("/", *"loss", "\x7f").typing == "los"
    assert pressed("/", *"q1", "escape").filter == "" and not pressed("/", "q").quit
    assert (pressed("4").columns, pressed("4", "0").columns) == (4, 0)
    assert (pressed("j", "j", "k").page, pressed("k").page, pressed("j", "3").page) == (1, 0, 0)
    assert [pressed(*["\t"] * count).pane for count in range(4)] == [0, 1, 2, 0]
    assert pressed("y").log and not pressed("y", "y").log
    assert [pressed(*["x"] * count).axis for count in range(3)] == [0, 1, 0]
    assert pressed("h").heat == 1 and pressed(*["h"] * 5).heat == 0 and pressed("h", "escape").heat == 0
    assert [pressed(*"n" * count).alert for count in range(4)] == [None, 0, 1, 0]
    assert (pressed("p").alert, pressed("n", alerts=0).alert) == (1, None)
    assert pressed("Z", "page up") == State()


def test_a_filter_that_is_half_typed_keeps_what_was_shown() -> None:
    """``(loss`` is no regular expression yet: the metrics stay, and the line says why."""
    state = pressed("/", *"loss")
    assert state.matching(["lr", "train/loss"]) == ["train/loss"]
    state.press("(", 0)
    assert state.matching(["lr", "train/loss"]) == ["train/loss"] and "no regular expression" in state.error
    state.press("\x15", 0)
    assert state.matching(["lr", "train/loss"]) == ["lr", "train/loss"] and state.error == ""


# On a terminal


def test_a_person_looks_at_a_run_with_every_key(place: Path) -> None:
    """Charts, filter as it is typed, panes, axes, heat map, alerts; q gives the terminal back as it was."""
    with Screen("watch", "hot", "-d", place) as screen:
        wanted = ("q quit", "train/loss", "critical: Alert 1", "×1")
        screen.until(lambda text: all(word in text for word in wanted))
        assert "hot" in screen.lines[0]
        screen.press("/", "v", "a", "l")
        screen.until(lambda text: "val/acc" in text and "train/loss" not in text and "/val" in text)
        screen.press("\r", "y")
        screen.until("step 1900 log")
        screen.press("x")
        screen.until(lambda text: "0 s" in text and "step 0" not in text)
        screen.press("/", "\x15", "\r")
        screen.until("train/loss")
        screen.press("n")
        screen.until(lambda text: "Lower the rate." in text and "evidence of Alert 1" in text)
        screen.press("n")
        screen.until("evidence of Alert 0")
        screen.press("\x1b")
        screen.until(lambda text: "evidence" not in text)
        screen.press("h")
        heat = screen.until(lambda text: re.search(r"fc\.weight .*×", text) is not None)
        assert "gradient norm of 2 layers" in heat and "conv1.weight" in heat
        screen.press("h", "h", "h", "h")
        screen.until("train/loss")
        screen.press("\t", "\t")
        screen.until("gpu 0: gpu 87 %")
        screen.press("q")
        assert screen.end() == 0
        assert screen.current_settings() == screen.settings
        assert screen.raw.rstrip().endswith(b"\x1b[?25h") or b"\x1b[?1049l" in screen.raw[-200:]


@pytest.mark.parametrize(("columns", "lines"), [(40, 12), (10, 4), (200, 70)])
def test_the_window_is_resized(place: Path, columns: int, lines: int) -> None:
    """The picture fits the window at once, larger or smaller; nothing of the old one is left."""
    with Screen("watch", "hot", "calm", "-d", place) as screen:
        screen.until("q quit")
        screen.resize(columns, lines)
        screen.until(
            lambda text: (
                text.startswith("● hot") and "calm" in screen.lines[1] and screen.lines[-1].startswith("q quit")
            )
        )
        screen.press("q")
        assert screen.end() == 0


def test_no_escape_of_a_name_reaches_the_terminal(place: Path) -> None:
    """The title of the window stays, the screen is not cleared."""
    with Screen("watch", "hostile-run", "-d", place) as screen:
        screen.until("PWNED")
        screen.press("q")
        screen.end()
    assert b"\x1b]0;" not in screen.raw and b"\x1b[2Jss" not in screen.raw and "\u202e".encode() not in screen.raw


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_gives_the_terminal_back(place: Path, number: signal.Signals, code: int) -> None:
    """The shell behind it can be used."""
    with Screen("watch", "hot", "-d", place) as screen:
        screen.until("q quit")
        screen.process.send_signal(number)
        assert screen.end() == code
        assert screen.current_settings() == screen.settings and b"\x1b[?1049l" in screen.raw


def test_a_run_is_watched_while_it_goes_on(tmp_path: Path) -> None:
    """New values, new metrics and the end appear by themselves; the screen stays until q."""
    run = quark.start_run(project="p", name="live", storage_dir=tmp_path)
    run.log({"loss": 1.0}, step=0)
    run.flush()
    with Screen("watch", "live", "-d", tmp_path) as screen:
        screen.until(lambda text: "step 0" in text and "running" in text)
        run.log({"loss": 0.5, "later": 77.0}, step=7)
        run.flush()
        screen.until(lambda text: "step 7" in text and "later  77" in text)
        run.end_run()
        screen.until("completed")
        assert screen.process.poll() is None
        screen.press("q")
        assert screen.end() == 0


@pytest.mark.parametrize("width", [1, 2, 5, 20, 100])
@pytest.mark.parametrize("title", HEATS[1:])
def test_a_heat_map_fits_any_width(place: Path, title: str, width: int) -> None:
    """A row a layer, at most as wide as the screen, whatever the number of steps."""
    with quark.open(place) as store:
        lines = heat_lines(heat_of(store.run("hot"), title), (width, 3))
    assert len(lines) <= 3
    for line in lines[1:]:
        assert len(line.plain) <= max(width, len("and 9 more layers"))


def test_layers_are_in_the_order_of_the_network_and_gaps_are_empty() -> None:
    """A step that was not looked at has no shade, what was not finite is a mark, however narrow the screen is."""
    steps = [0, 10, 20, 50]
    heat = Heat("gradient norm", {"last.10": {step: 1.0 for step in steps}, "last.9": {0: math.nan, 10: 0.1}})
    first, second = (line.plain[len("last.10 ") :] for line in heat_lines(heat, (8 + 60, 5))[1:])
    assert first[:30].strip() and first[32:48].strip() == "" and first[52:].strip()
    assert second[0] == MARK and second[20:].strip() == ""
    assert MARK in heat_lines(heat, (10, 5))[2].plain


WAITING = """
import sys
import quark
run = quark.start_run(project="p", name="killed", storage_dir=sys.argv[1])
run.log({"loss": 1.0}, step=0)
run.flush()
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_run_whose_process_is_killed_ends_on_the_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process left behind is delivered while the run is watched, its end with it."""
    monkeypatch.setattr("quark.cli.watching.data.REOPEN_S", 0.0)
    with subprocess.Popen(
        [sys.executable, "-c", WAITING, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=child_environment(),
    ) as child:  # fmt: skip
        try:
            assert child.stdout is not None and child.stdout.readline() == b"ready\n"
            store = quark.open(tmp_path)
            watched = Watched(store, lambda: quark.open(tmp_path), [store.run("killed").id])
            watched.look()
            assert watched.running and watched.snapshots[0].step == 0
        finally:
            child.kill()
            child.wait()
    watched.look()
    watched.store.close()
    assert not watched.running and watched.snapshots[0].view.status in ("failed", "interrupted")


def test_a_store_that_cannot_be_read_for_a_while_leaves_the_last_picture(place: Path) -> None:
    """The reason is below it, and the next look that succeeds removes it; the first look must succeed."""
    store = quark.open(place)
    watched = Watched(store, lambda: quark.open(place), [store.run("hot").id])
    watched.look()
    watched.runs = ["nobody"]
    watched.look()
    assert "nobody" in frame(watched, State(), (100, 40))[-1].plain and watched.keys
    watched.runs = [store.run("hot").id]
    watched.look()
    assert watched.error == ""
    watched.store.close()


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (80, 1), (80, 3), (17, 9), (500, 200)])
def test_the_picture_fits_every_size_with_every_choice(place: Path, size: tuple[int, int]) -> None:
    """Never more lines or columns than the window has, whatever is chosen."""
    with quark.open(place) as store:
        ids = [store.run(name).id for name in ("hot", "calm")]
        watched = Watched(store, lambda: quark.open(place), ids)
        watched.look()
        for keys in ("", "9", "1j", "y", "x", "h", "hh", "n", "\t", "\t\t", "/(", "/none\r"):
            lines = frame(watched, pressed(*keys), size)
            assert len(lines) <= size[1] and max(line.cell_len for line in lines) <= size[0]


def test_on_a_terminal_without_escapes_one_picture_is_printed(place: Path) -> None:
    """TERM=dumb cannot move a cursor."""
    with Screen("watch", "hot", "-d", place, term="dumb") as screen:
        assert screen.end() == 0
    assert b"train/loss" in screen.raw and b"\x1b" not in screen.raw


def test_a_long_name_leaves_room_for_the_value_and_alerts_mark_the_axis() -> None:
    """The value is what one looks for; of several alerts at one place the gravest is shown."""
    course = Course([0.0, 100.0], [0.0, 100.0], [1.0, 2.0], [1.0, 2.0], count=2)
    lines = chart("名" * 500, [course], ["0.125"], (60, 6), alerts=[(50, "critical"), (51, "warning"), (900, "error")])
    assert lines[0].plain.endswith("0.125") and lines[0].cell_len <= 60
    axis = lines[4]
    assert axis.plain.count(ALERT) == 1
    place = axis.plain.index(ALERT)
    assert [str(span.style) for span in axis.spans if span.start <= place < span.end][-1] == "bold red"
    assert ALERT not in chart("x", [course], ["1"], (60, 6), axis="time", alerts=[(50, "error")])[4].plain
