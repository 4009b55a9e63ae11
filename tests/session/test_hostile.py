"""Hostile objects and names at every logging door: outside strict mode nothing raises, and every refusal is counted."""

import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import quark


class Strange(BaseException):
    """An exception that no ``except Exception`` takes, as Rust extensions raise it."""


class Hostile:
    """Raises one kind of exception from some of its methods and answers the others with nonsense."""

    def __init__(self, draw: random.Random) -> None:
        self.error = draw.choice([RuntimeError, ValueError, TypeError, Strange, RecursionError, MemoryError, KeyError])
        self.raises = {name for name in METHODS if draw.random() < 0.5}
        self.shape = draw.choice([(), (1,), "wide", None])
        self.is_cuda = draw.choice([True, False, None])

    def answer(self, name: str, value: Any) -> Any:
        """What a method does."""
        if name in self.raises:
            raise self.error(name)
        return value


def _method(name: str, value: Any) -> Callable[..., Any]:
    return lambda self, *arguments, **options: self.answer(name, value)


METHODS: dict[str, Any] = {
    "__str__": "text", "__repr__": "repr\ud800", "__float__": 0.5, "__int__": 1, "__index__": 2, "__len__": 3,
    "__bool__": True, "__iter__": iter(()), "__radd__": 1.0, "__add__": 1.0, "__eq__": True, "__hash__": 5,
    "__contains__": True, "__getitem__": 1, "__lt__": True, "__call__": None, "__fspath__": "path", "item": object(),
    "tolist": [object()], "keys": ["a"], "items": [("a", 1)], "to_dict": {"a": 1}, "detach": None, "__array__": None,
}  # fmt: skip
for _name, _value in METHODS.items():
    setattr(Hostile, _name, _method(_name, _value))


class HostileMapping(Mapping[str, Any]):
    """A mapping that raises half way."""

    def __init__(self, draw: random.Random) -> None:
        self.after = draw.randrange(3)
        self.error = draw.choice([RuntimeError, Strange, KeyError])

    def __getitem__(self, key: str) -> Any:
        raise self.error(key)

    def __iter__(self) -> Iterator[str]:
        for number in range(self.after):
            yield f"k{number}"
        raise self.error("iteration")

    def __len__(self) -> int:
        raise self.error("len")


class HostileText(str):
    """Text that cannot be hashed or compared."""

    __slots__ = ()

    def __hash__(self) -> int:
        raise Strange("hash")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")


def value(draw: random.Random) -> Any:
    """Any object that a program may hand over by mistake."""
    cycle: dict[Any, Any] = {}
    cycle["self"] = cycle
    return draw.choice([
        lambda: Hostile(draw), lambda: HostileMapping(draw), lambda: HostileText("a"), lambda: cycle,
        lambda: 10 ** draw.choice([3, 400, 5000]), lambda: draw.choice([float("nan"), float("inf"), -0.0, 1e308]),
        lambda: draw.choice([None, True, "", "text", "\ud800", b"x", 1j, object(), int, len, ..., NotImplemented]),
        lambda: [Hostile(draw)], lambda: {Hostile: Hostile(draw), 5: {None: 1}}, lambda: {"a": Hostile(draw), "b": 1.0},
        lambda: draw.randrange(-5, 5), lambda: (n for n in range(3)), lambda: "x" * draw.choice([1, 600]),
        lambda: draw.choice(["a/b", "a//b", "../a", "bad name", "\0", "a\n", "💥"]),
    ])()  # fmt: skip


def doors(run: Any) -> list[Callable[[random.Random], Any]]:
    """Every way to record something, called with what is drawn."""
    metrics, events, artifacts = quark.MetricsLogger(run), quark.EventLogger(run), quark.ArtifactStore(run)
    telemetry, diagnostics, throughput = quark.SystemTelemetry(run), quark.DataDiagnostics(run), quark.Throughput(run)

    def scope(draw: random.Random) -> None:
        with telemetry.start_step(value(draw), epoch=value(draw), metadata=value(draw)) as step:
            step.mark_data_ready()

    def checkpoint(draw: random.Random) -> None:
        with run.checkpoint(value(draw), step=value(draw), artifact=value(draw)):
            pass

    v = value
    return [
        lambda d: metrics.log(v(d), v(d), step=v(d), epoch=v(d)), lambda d: metrics.log("good", v(d), step=1),
        lambda d: metrics.log("good", 1.0, step=1, metadata=v(d), description=v(d), namespace=v(d), timestamp=v(d)),
        lambda d: run.log(v(d)), lambda d: run.log({"good": 1.0, "other": v(d)}),
        lambda d: run.log({"a": v(d)}, step=v(d)),
        lambda d: run.log({v2: 1.0} if (v2 := hashable(d)) is not None else {}, epoch=v(d)),
        lambda d: run.step(v(d), v(d), epoch=v(d), worker_id=v(d)), lambda d: run.step(1, {"good": v(d)}),
        lambda d: run.add_log(v(d), identifier=v(d), payload=v(d), status=v(d)),
        lambda d: run.add_log("m", payload=v(d)),
        lambda d: run.add_tag(v(d)), lambda d: run.note(v(d)), lambda d: run.set_progress(v(d), v(d), operation=v(d)),
        lambda d: run.set_progress(v(d)), lambda d: run.summary.update(v(d)), lambda d: run.set_summary({"a": v(d)}),
        lambda d: events.log(v(d), severity=v(d), status=v(d), step=v(d)), lambda d: events.log("e", payload=v(d)),
        lambda d: events.add_log("m", payload={"a": v(d)}, timestamp=v(d), event_type=v(d)),
        lambda d: artifacts.log_histogram(v(d), bins=v(d), counts=v(d)),
        lambda d: telemetry.record_step(v(d), step_time_ms=v(d), overflow_occurred=v(d), metadata=v(d)),
        lambda d: telemetry.record_step(1, data_time_ms=v(d), skipped_step=v(d), timestamp=v(d)), scope, checkpoint,
        lambda d: diagnostics.log_batch(v(d), step=v(d), sample_ids=v(d), labels=v(d), sequence_lengths=v(d)),
        lambda d: diagnostics.log_batch(1.0, step=1, batch_size=v(d), metadata=v(d), batch=v(d)),
        lambda d: throughput.step(v(d), samples=v(d), tokens=v(d)),
        lambda d: quark.add_log(run, v(d)), lambda d: quark.add_tag(run, v(d)),
    ]  # fmt: skip


def hashable(draw: random.Random) -> Any:
    """A key that a dictionary takes."""
    made = value(draw)
    try:
        hash(made)
    except BaseException:
        return None
    return made


def bombard(run: Any, count: int, seed: int) -> None:
    """Call the doors ``count`` times; whatever comes out of one is a failure that names it and its seed."""
    chosen = doors(run)
    for number in range(count):
        draw = random.Random(seed * 1_000_003 + number)
        door = draw.randrange(len(chosen))
        try:
            chosen[door](draw)
        except BaseException as error:
            raise AssertionError(f"door {door}, seed {seed}, call {number}: {type(error).__name__}") from error


@pytest.mark.parametrize("count", [1500, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_nothing_raises_and_every_refusal_is_counted(count: int, tmp_path: Path) -> None:
    """Random doors, random objects; the run is whole afterwards, and its store has the counts of its health."""
    logging_off = pytest.MonkeyPatch()
    logging_off.setattr("quark.delivery.health.logger.disabled", True)
    try:
        with quark.start_run(project="p", storage_dir=tmp_path, close_timeout_s=120) as run:
            bombard(run, count, seed=random.randrange(10**6))
            run.log({"last": 1.0}, step=0)
            health = run.health()
    finally:
        logging_off.undo()
    refused = {cause: found["count"] for cause, found in health["faults"].items() if cause.startswith("refused_")}
    assert health["refused"] == sum(refused.values()) > count / 10
    assert set(health["faults"]) <= {*refused, "sink_store", "metric_nonfinite"}
    with quark.open(tmp_path) as store:
        view = store.run(run.run_id)
        assert (view.status, view.latest()["last"]) == ("completed", (0, 1.0))
        assert view.unrecorded().refused == health["refused"]


@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
def test_interrupts_pass_through(strict: bool, tmp_path: Path) -> None:
    """A Ctrl-C or an exit while a value is read is the program's, at every door."""

    class Interrupted:
        def __float__(self) -> float:
            raise KeyboardInterrupt

        __index__ = __str__ = __repr__ = __float__  # type: ignore[assignment]

    with quark.start_run(project="p", storage_dir=tmp_path, strict_mode=strict) as run:
        for call in (
            lambda: run.log({"a": Interrupted()}, step=0),
            lambda: quark.MetricsLogger(run).log("a", Interrupted(), step=0),
            lambda: run.step(Interrupted()), lambda: run.add_log("m", step=Interrupted()),
        ):  # fmt: skip
            with pytest.raises(KeyboardInterrupt):
                call()
